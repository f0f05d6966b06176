//! The service against a real chain, through everything that goes wrong: each time every batch is anchored exactly once,
//! none is lost, and the operator is told what to do.

#![allow(clippy::print_stderr, reason = "what is not tested is said")]

mod crashes;
mod faults;
mod proxy;
mod senders;
mod undone;
mod work;
mod world;
