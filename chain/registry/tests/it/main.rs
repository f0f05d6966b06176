//! The bindings against a real chain: anvil with the bytecode that is deployed everywhere.

#![allow(clippy::print_stderr, reason = "what is not tested is said")]

mod anvil;
mod batches;
mod chain;
mod payments;
mod roots;
