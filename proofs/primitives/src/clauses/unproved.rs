//! Why no proof of clauses was made, by what the caller can do. No number is repeated: they are the secrets.

use super::evaluate::Unsatisfied;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// The policy does not hold for these inputs and this evidence.
    #[error(transparent)]
    Unsatisfied(#[from] Unsatisfied),
    #[error("{expected} openings and as many commitments and capacities are expected, one for each input")]
    InputCount { expected: usize },
    #[error("the opening of input {input} does not open its commitment")]
    OtherCommitment { input: usize },
    /// A verifier refuses proofs that name such a list, in a branch that is not shown as well.
    #[error("roots[{root}] is not valid now; a proof needs a policy that names the list's version of today")]
    RootNotValid { root: usize },
    #[error("the policy needs {rows} rows, more than {rows_max}: split it into several policies")]
    TooManyRows { rows: usize, rows_max: usize },
    #[error("the capacity of input {input} holds an element that is not below the modulus")]
    Capacity { input: usize },
    #[error("proofs of {suite} are not made here")]
    Unsupported { suite: &'static str },
}
