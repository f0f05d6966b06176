//! The benchmark of the event service: every figure stands beside the floor it is judged by, measured in the same
//! run on the same cores, so that what is compared is ratios.
//!
//! - the parts an event cannot do without, each alone: [`floor`], [`sync`];
//! - what is sent: [`events`]; who sends it: [`load`]; who answers, in a process of its own: [`server`];
//! - a store that is already long: [`fill`];
//! - what is measured: [`figures`]; how it is told: [`report`];
//! - CPU time, memory and cores of processes: [`machine`].
//!
//! Everything is bounded in time and count, binds loopback only, and writes only below its own data directory.

pub mod events;
pub mod figures;
pub mod fill;
pub mod floor;
pub mod load;
pub mod run;
pub mod server;
pub mod sync;

pub use stateset_bench_report::{machine, report};
