//! What a compliance proof says, before any proof system is chosen.
//!
//! A verifier that accepts a proof for event E and policy Q learns that the agent that signed E committed to a private
//! value v, and that v satisfies Q. This crate holds everything in that sentence but the proof itself:
//!
//! - Q: [`policy`], and amounts in minor units in [`decimal`], found in a payload by [`payload`];
//! - the language of composed policies: [`clauses`];
//! - "committed to v": [`commitment`] over [`poseidon2`], opened by an [`Opening`], kept as [`openings`];
//! - "the agent that signed E": [`binding`];
//! - E and the rest of the statement: [`public_inputs`], brought down to field elements in [`statement`];
//! - how it travels: [`bundle`].
//!
//! The crate is pure: no clock, file, socket or random source, and no type of any proof system. Section numbers in its
//! comments are those of the specification of compliance proofs. Secrets ([`Opening`]) are wiped when dropped and
//! never printed.

pub mod binding;
pub mod bundle;
pub mod clauses;
pub mod commitment;
pub mod decimal;
pub mod error;
pub mod openings;
pub mod payload;
pub mod policy;
pub mod poseidon2;
pub mod public_inputs;
pub mod report;
pub mod statement;
pub mod suite;

pub use binding::{BindingError, CommitmentBinding};
pub use bundle::{Bundle, BundleError};
pub use clauses::{ClauseError, ClausePolicy};
pub use commitment::{CommitmentError, CommittedField, FieldCommitment, FieldDescription, Opening};
pub use decimal::DecimalError;
pub use error::{ProofError, ProveError};
pub use openings::{FieldOpening, OpeningError};
pub use policy::{AmountPolicy, PolicyError};
pub use public_inputs::{BindingLevel, EventInputs, InputsError, PublicInputs};
pub use report::SecurityReport;
pub use statement::{ClausesStatement, EventStatement, PayloadStatement, PayloadTable, Statement};
pub use suite::SuiteId;
