//! What benchmarks share: one form of [`report`], [`options`] and verdict, cores, CPU time and memory of processes
//! ([`machine`]), and the whole of those that lie beside their crate ([`beside`]).

pub mod beside;
pub mod machine;
pub mod options;
pub mod report;
