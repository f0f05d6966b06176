//! Many proofs at once.
//!
//! Proofs of one circuit have nothing worth sharing but the reports of their parameters, which are computed once anyway:
//! each has its own challenges, so every interpolation and every hash is its own. What helps is more than one core;
//! `cargo xtask bench proofs` measures both.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ves::TimestampMs;
use ves_stark_primitives::{ProofError, SecurityReport, Statement};

use crate::batch::{BatchStatement, verify_batch};
use crate::statement::verify_statement;

/// What one of the proofs is about.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    Event(&'a Statement),
    Batch(&'a BatchStatement),
}

/// A statement and the bytes that should prove it.
#[derive(Debug, Clone, Copy)]
pub struct StatedProof<'a> {
    pub subject: Subject<'a>,
    pub proof: &'a [u8],
}

impl StatedProof<'_> {
    fn verify(&self, now: TimestampMs) -> Result<SecurityReport, ProofError> {
        match self.subject {
            Subject::Event(statement) => verify_statement(statement, now, self.proof),
            Subject::Batch(statement) => verify_batch(statement, self.proof),
        }
    }
}

/// Checks each proof by itself; verdicts stand in the order of `proofs` and are those of the single verifiers.
///
/// - `now`: for the validity of published lists.
/// - `threads`: at most so many cores are used, the caller's own among them. One is serial, and so is WebAssembly.
pub fn verify_many(
    proofs: &[StatedProof<'_>],
    now: TimestampMs,
    threads: NonZeroUsize,
) -> Vec<Result<SecurityReport, ProofError>> {
    let threads = if cfg!(target_family = "wasm") { 1 } else { threads.get().min(proofs.len()) };
    if threads <= 1 {
        return proofs.iter().map(|proof| proof.verify(now)).collect();
    }
    let next = AtomicUsize::new(0);
    // Proofs differ in cost by a hundred times, so each worker takes the next one when it is free.
    let work = || -> Vec<(usize, Result<SecurityReport, ProofError>)> {
        std::iter::from_fn(|| {
            let place = next.fetch_add(1, Ordering::Relaxed);
            proofs.get(place).map(|proof| (place, proof.verify(now)))
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
