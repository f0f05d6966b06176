//! What a contract says when it refuses: its custom errors as facts a caller can act on.

use alloy_primitives::hex;
use alloy_sol_types::{SolError, SolInterface};
use ves::Digest;

use crate::abi::SetRegistry::SetRegistryErrors;
use crate::abi::StateSetAnchor::StateSetAnchorErrors;
use crate::words::to_digest;

/// Why `SetRegistry` refuses a batch, or why a call of any contract was reverted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("writing is paused; the contract's owner can unpause it")]
    WritingPaused,
    #[error("the sending account is no writer of the stream, or the stream was never opened")]
    NotAuthorized,
    #[error("the stream has another batch under this id")]
    AnotherBatch,
    #[error("the stream's state root on chain is {expected}, the batch continues {provided}")]
    StateRootMismatch { expected: Digest, provided: Digest },
    #[error("the stream goes on at event {expected} on chain, the batch starts at {provided}")]
    SequenceGap { expected: u64, provided: u64 },
    #[error("the range holds {expected} events, not {provided}")]
    EventCount { expected: u64, provided: u32 },
    /// An id, range or root that no batch of the sequencer has.
    #[error("the batch is malformed: {0}")]
    Malformed(&'static str),
    #[error("only the contract's owner may do this")]
    NotOwner,
    #[error("the sending account may not anchor aggregated roots")]
    NotAnchorer,
    /// Any other error that the contracts declare.
    #[error("the contract refuses: {0}")]
    Other(String),
    /// A reason in words, of `require` or `revert`.
    #[error("the contract refuses: {0}")]
    Words(String),
    /// Nothing that the contracts declare.
    #[error("the contract refuses with {}", shown(.0))]
    Unknown(Vec<u8>),
}

impl Refusal {
    /// Reads what a reverted call of `SetRegistry` or `StateSetAnchor` returned, or the reason of `BatchSkipped`.
    pub fn decode(data: &[u8]) -> Self {
        use SetRegistryErrors as E;
        let Ok(error) = SetRegistryErrors::abi_decode(data) else { return Self::decode_of_anchor(data) };
        match error {
            E::WritingPaused(_) => Self::WritingPaused,
            E::NotAuthorizedSequencer(_) => Self::NotAuthorized,
            E::BatchAlreadyCommitted(_) => Self::AnotherBatch,
            E::StateRootMismatch(roots) => Self::StateRootMismatch {
                expected: to_digest(&roots.expected),
                provided: to_digest(&roots.provided),
            },
            E::SequenceGap(gap) => Self::SequenceGap { expected: gap.expected, provided: gap.provided },
            E::InvalidEventCount(count) => {
                Self::EventCount { expected: count.expected, provided: count.provided }
            }
            E::InvalidUuid(_) => Self::Malformed("an id is no UUID, or all of it is zero"),
            E::InvalidSequenceRange(_) => Self::Malformed("its range of sequence numbers"),
            E::EmptyEventsRoot(_) => Self::Malformed("its events root is zero"),
            E::EmptyStateRoot(_) => Self::Malformed("its state root is zero"),
            E::NotOwner(_) => Self::NotOwner,
            other => Self::Other(format!("{other:?}")),
        }
    }

    /// Errors that both contracts declare were read before.
    fn decode_of_anchor(data: &[u8]) -> Self {
        match StateSetAnchorErrors::abi_decode(data) {
            Ok(StateSetAnchorErrors::NotAnchorer(_)) => Self::NotAnchorer,
            Ok(other) => Self::Other(format!("{other:?}")),
            Err(_) => Self::decode_words(data),
        }
    }

    fn decode_words(data: &[u8]) -> Self {
        match alloy_sol_types::Revert::abi_decode(data) {
            Ok(words) => Self::Words(words.reason),
            Err(_) => Self::Unknown(data.to_vec()),
        }
    }

    /// Whether the chain has, or wants, another history than ours: only a person can decide what to do.
    pub fn is_conflict(&self) -> bool {
        !matches!(self, Self::WritingPaused | Self::NotAuthorized | Self::NotAnchorer | Self::NotOwner)
    }

    /// Whether the batch itself is refused: it would be again, whatever the chain's state.
    pub fn is_of_batch(&self) -> bool {
        matches!(self, Self::EventCount { .. } | Self::Malformed(_))
    }
}

fn shown(data: &[u8]) -> String {
    match data.len() {
        0 => "no reason".to_owned(),
        _ => hex::encode_prefixed(&data[..data.len().min(68)]),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::abi::SetRegistry;

    #[test]
    fn custom_errors_become_facts() {
        let gap = SetRegistry::SequenceGap { expected: 5, provided: 9 };
        assert_eq!(Refusal::decode(&gap.abi_encode()), Refusal::SequenceGap { expected: 5, provided: 9 });
        let roots =
            SetRegistry::StateRootMismatch { expected: B256::repeat_byte(1), provided: B256::repeat_byte(2) };
        assert_eq!(
            Refusal::decode(&roots.abi_encode()),
            Refusal::StateRootMismatch { expected: Digest([1; 32]), provided: Digest([2; 32]) }
        );
        let paused = SetRegistry::WritingPaused {};
        assert_eq!(Refusal::decode(&paused.abi_encode()), Refusal::WritingPaused);
        let no_anchorer = crate::abi::StateSetAnchor::NotAnchorer {};
        assert_eq!(Refusal::decode(&no_anchorer.abi_encode()), Refusal::NotAnchorer);
        let anchored = crate::abi::StateSetAnchor::AlreadyAnchored { headerCount: 3 };
        assert!(matches!(Refusal::decode(&anchored.abi_encode()), Refusal::Other(_)));
        assert!(!Refusal::WritingPaused.is_conflict());
        assert!(Refusal::AnotherBatch.is_conflict());
    }

    #[test]
    fn what_the_registry_does_not_declare_is_shown_as_it_came() {
        let words = alloy_sol_types::Revert::from("Not authorized").abi_encode();
        assert_eq!(Refusal::decode(&words), Refusal::Words("Not authorized".to_owned()));
        assert_eq!(
            Refusal::decode(&[0xde, 0xad, 0xbe, 0xef]).to_string(),
            "the contract refuses with 0xdeadbeef"
        );
        assert_eq!(Refusal::decode(&[]).to_string(), "the contract refuses with no reason");
        assert!(matches!(Refusal::decode(&[0; 3]), Refusal::Unknown(_)));
    }
}
