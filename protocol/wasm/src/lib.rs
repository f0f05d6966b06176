//! What a library in another language needs of VES, behind one function: a call as JSON in, its answer as JSON out.
//! `agents/sdk/typescript` is built on it; `testing/vectors/libraries.json` holds the same calls for every language.
//!
//! A request is `{"call": NAME, "input": {…}}`, an answer `{"output": {…}}` or `{"error": {"code": …, "message": …}}`.
//! Hashes, keys and signatures are hex; an event is the envelope of section 5.
//!
//! Invariants. No clock, no thread, no random source: randomness is in the request. Any request gets an answer. Secrets
//! that pass through are wiped here; what JavaScript keeps of them is its own.

#![forbid(unsafe_code)]

mod calls;
mod events;
#[cfg(target_family = "wasm")]
mod exports;
mod proofs;
mod refusal;

pub use calls::answer;
