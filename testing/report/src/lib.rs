//! What benchmarks share: one form of [`report`], cores, CPU time and memory of processes ([`machine`]), and options and verdict
//! of those that lie beside their crate ([`beside`]).

pub mod beside;
pub mod machine;
pub mod report;
