//! The verifier of compliance proofs elsewhere (specification section 12): one request as text in, one verdict as text
//! out. `js/ves-stark.mjs` is the other side; it runs in browsers and under Node.
//!
//! Invariants. No clock, no thread, no random source: the time is in the request. Any request gets an answer.

#![forbid(unsafe_code)]

#[cfg(target_family = "wasm")]
mod exports;
mod verdict;

pub use verdict::answer;
