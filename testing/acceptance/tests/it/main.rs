//! Whole-process scenarios, named after what a user does or suffers.

mod crash;
mod demo;
mod import;
mod proof;
mod up;
