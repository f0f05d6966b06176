//! The public behaviour of the crate.

mod page;
mod runner;
mod table;
mod world;
