//! Many proofs at once.
//!
//! Proofs of one circuit have nothing worth sharing but the reports of their parameters, which are computed once anyway:
//! each has its own challenges, so every interpolation and every hash is its own. What helps is more than one core;
//! `cargo xtask bench proofs` measures both.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ves_stark_primitives::{EventStatement, ProofError, SecurityReport};

use crate::batch::{BatchStatement, verify_batch};
use crate::one_event::verify_one_event;
use crate::payload::{PayloadStatement, verify_payload};

/// A statement of any kind.
#[derive(Debug, Clone, Copy)]
pub enum Statement<'a> {
    OneEvent(&'a EventStatement),
    Batch(&'a BatchStatement),
    Payload(&'a PayloadStatement),
}

impl Statement<'_> {
    /// Checks one proof; the answer is what its parameters are worth.
    ///
    /// # Errors
    /// [`ProofError`]: the bytes do not prove the statement, or nothing here verifies its suite.
    pub fn verify(self, proof: &[u8]) -> Result<SecurityReport, ProofError> {
        match self {
            Self::OneEvent(statement) => verify_one_event(statement, proof),
            Self::Batch(statement) => verify_batch(statement, proof),
            Self::Payload(statement) => verify_payload(statement, proof),
        }
    }
}

/// A statement and the bytes that should prove it.
#[derive(Debug, Clone, Copy)]
pub struct StatedProof<'a> {
    pub statement: Statement<'a>,
    pub proof: &'a [u8],
}

impl StatedProof<'_> {
    fn verify(&self) -> Result<SecurityReport, ProofError> {
        self.statement.verify(self.proof)
    }
}

/// Checks each proof by itself; verdicts stand in the order of `proofs` and are those of the single verifiers.
///
/// - `threads`: at most so many cores are used, the caller's own among them. One is serial, and so is WebAssembly.
pub fn verify_many(
    proofs: &[StatedProof<'_>],
    threads: NonZeroUsize,
) -> Vec<Result<SecurityReport, ProofError>> {
    let threads = if cfg!(target_family = "wasm") { 1 } else { threads.get().min(proofs.len()) };
    if threads <= 1 {
        return proofs.iter().map(StatedProof::verify).collect();
    }
    let next = AtomicUsize::new(0);
    // Proofs differ in cost by a hundred times, so each worker takes the next one when it is free.
    let work = || -> Vec<(usize, Result<SecurityReport, ProofError>)> {
        std::iter::from_fn(|| {
            let place = next.fetch_add(1, Ordering::Relaxed);
            proofs.get(place).map(|proof| (place, proof.verify()))
        })
        .collect()
    };
    let mut verdicts = thread::scope(|scope| {
        // Where the system gives no more threads, those that there are do all the work.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let helpers: Vec<_> = (1..threads).map_while(spawn).collect();
        let mut verdicts = work();
        for helper in helpers {
            verdicts.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        verdicts
    });
    verdicts.sort_unstable_by_key(|(place, _)| *place);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}
