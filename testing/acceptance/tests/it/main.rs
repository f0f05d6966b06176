//! Whole-process scenarios, named after what a user does or suffers.

mod crash;
mod database;
mod demo;
mod import;
mod proof;
mod sequencer;
mod up;
