//! What is measured, and how it is judged.

pub mod anchor;
pub mod batch;
pub mod facilitator;
pub mod feed;
pub mod flood;
pub mod long;
pub mod payments;
pub mod postgres;
pub mod projection;
pub mod proofs;
pub mod schema;
pub mod single;
pub mod telemetry;
pub mod verify;

use anyhow::Result;

use crate::report::Row;
use crate::run::Bench;

/// The parts of the floor and their sum.
pub fn floor(bench: &mut Bench) -> Result<()> {
    let floor = bench.floor()?;
    for (part, us) in &floor.parts {
        bench.rows.push(Row::new(format!("floor: {part}"), *us, "us"));
    }
    bench.rows.push(Row::new(
        "floor: verify by key tables, every event of another agent",
        floor.verify_mixed,
        "us",
    ));
    bench.rows.push(Row::new("floor: append and sync, 32 a batch", floor.append_of_32, "us"));
    bench.rows.push(Row::new("floor: one event, 100 a request", floor.batched_us(), "us"));
    bench.rows.push(Row::new("floor: one event, 1 a request, 32 a sync", floor.single_us(), "us"));
    Ok(())
}
