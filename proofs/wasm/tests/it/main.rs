//! Requests and verdicts, and the golden request that JavaScript reads as well (`js/ves-stark.test.mjs`).

mod golden;
mod verdict;
