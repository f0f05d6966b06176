//! Proofs about batches (validity) and events (compliance): kept beside what they are about, and checked.
//!
//! What a proof must prove is never taken from its sender: the statement is made from the batch or event itself, and
//! whatever the sender says about it has to agree. A proof is `valid` only when a [`ComplianceVerifier`] accepted its
//! bytes for that statement; without one the answer is "not checked", never "valid" (decision 19).

mod check;
mod record;
mod replace;
mod setting;
mod statement;
mod submit;
mod totals;
mod verifier;

pub use check::{ProofReport, Verification};
pub use record::ProofRecord;
pub use replace::Superseded;
pub use statement::{Author, ProofSubject, Statement};
pub use submit::{NewProof, SubmitProofError};
pub use totals::TotalsTaken;
pub(crate) use verifier::Verifying;
pub use verifier::{
    BatchEvent, ComplianceVerifier, ProofClaim, Proved, Setting, TotalStep, Verdict, VerifierError,
};
