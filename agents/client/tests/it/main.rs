//! The public behaviour of the client crate.

mod audit;
mod northwind;
mod proof;
mod world;
