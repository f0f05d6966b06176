//! The public behaviour of the crate.

mod bounds;
mod page;
mod runner;
mod table;
mod world;
