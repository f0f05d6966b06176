//! What is sealed, on every kind of log, under a running service.

mod derived;
mod faults;
mod keys;
mod metrics;
mod places;
mod proofs;
mod rotation;
mod world;
