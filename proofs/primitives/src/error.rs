//! Why a proof was not made or not accepted, by what the caller can do.

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Refused before anything is allocated for it.
    #[error("the proof has {bytes} bytes, more than {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// The bytes are not a proof of this suite: damaged, truncated, or with something after them.
    #[error("the proof is malformed: {what}")]
    Malformed { what: &'static str },
    /// Made with other parameters or for another circuit than those compiled in; never obeyed.
    #[error("the proof was made with other parameters: {what}")]
    Parameters { what: &'static str },
    /// Well formed, and not a proof of the statement.
    #[error("the proof does not hold for this statement: {what}")]
    Invalid { what: &'static str },
    /// Nothing here verifies the suite.
    #[error("proofs of {suite} are not verified here")]
    Unsupported { suite: &'static str },
}

/// Why no proof was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// The value itself is not repeated: it is the secret.
    #[error("the value does not satisfy the policy")]
    PolicyNotSatisfied,
    #[error("the opening does not open the commitment of the statement")]
    OtherCommitment,
    /// At binding level `circuit`: another payload than the event hashes, or one that does not hold the amount at the key.
    #[error(
        "payload or opening are not the statement's, or the payload does not hold the amount at its key in digits alone"
    )]
    OtherPayload,
    #[error("proofs of {suite} are not made here")]
    Unsupported { suite: &'static str },
    #[error("the random source failed: {0}")]
    Random(String),
}
