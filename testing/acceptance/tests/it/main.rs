//! Whole-process scenarios, named after what a user does or suffers.

mod batch_proof;
mod composed_proof;
mod crash;
mod database;
mod demo;
mod disk;
mod faults;
mod import;
mod mcp;
mod metrics;
mod older;
mod outsider;
mod projections;
mod proof;
mod proof_commands;
mod replica;
mod rotation;
mod schemas;
mod sequencer;
mod shedding;
mod standby;
mod starting;
mod sync;
mod up;
mod warm;
