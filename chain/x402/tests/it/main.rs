//! The gate and the facilitator against a real anvil: by hand, under faults, and judged by public clients.

#![allow(clippy::print_stderr, reason = "what is not tested is said")]

mod batch_gas;
mod batches;
mod covered;
mod faults;
mod judges;
mod places;
mod promises;
mod refusals;
mod restored;
mod selling;
mod shaky;
mod stuck;
mod undone;
mod wallets;
mod world;
