//! What benchmarks share: one form of [`report`], and cores, CPU time and memory of processes ([`machine`]).

pub mod machine;
pub mod report;
