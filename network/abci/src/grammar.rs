//! The order in which CometBFT may call (ABCI 2.0, "Requirements for the application"; conformance C14).
//!
//! ```text
//! start            = clean-start / recovery
//! clean-start      = *info ( init-chain / state-sync ) consensus-exec
//! recovery         = *info consensus-exec
//! state-sync       = *( offer-snapshot *apply-chunk ) offer-snapshot 1*apply-chunk *info
//! consensus-exec   = *( *round finalize-block commit )
//! round            = prepare-proposal [ process-proposal ] / process-proposal
//! ```
//!
//! Queries, CheckTx, echoes and the serving of snapshots may come at any time. Vote extensions are off.

/// A call, as far as its place among others matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Info,
    InitChain {
        initial_height: u64,
    },
    OfferSnapshot {
        height: u64,
    },
    ApplySnapshotChunk,
    PrepareProposal {
        height: u64,
    },
    ProcessProposal {
        height: u64,
    },
    FinalizeBlock {
        height: u64,
    },
    Commit,
    /// With extensions off, neither call of them may come.
    VoteExtension,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A process has begun: its first call tells whether the chain is new.
    Started,
    /// A snapshot of this height was offered; chunks may follow.
    Syncing { height: u64 },
    /// Between blocks; the next one has this height, where it is known.
    Between { next: Option<u64> },
    /// Executed, not committed.
    Executed { height: u64 },
}

/// Follows the calls to one process of the application.
#[derive(Debug)]
pub struct Grammar {
    phase: Phase,
    initialised: bool,
}

/// A call that may not come now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call:?} may not come: the application is {phase}")]
pub struct Violation {
    pub call: Call,
    phase: String,
}

impl Default for Grammar {
    fn default() -> Self {
        Self { phase: Phase::Started, initialised: false }
    }
}

impl Grammar {
    /// # Errors
    /// [`Violation`]; the phase stays as it was.
    pub fn call(&mut self, call: Call) -> Result<(), Violation> {
        let phase = self.phase;
        let next = match (phase, call) {
            // From the query connection it may come at any time.
            (_, Call::Info) => Some(phase),
            (Phase::Started, Call::InitChain { initial_height }) if !self.initialised => {
                self.initialised = true;
                Some(Phase::Between { next: Some(initial_height) })
            }
            (Phase::Started | Phase::Syncing { .. }, Call::OfferSnapshot { height }) => {
                Some(Phase::Syncing { height })
            }
            (Phase::Syncing { .. }, Call::ApplySnapshotChunk) => Some(phase),
            (_, Call::PrepareProposal { height } | Call::ProcessProposal { height }) => {
                self.may_propose(height).then_some(Phase::Between { next: Some(height) })
            }
            (_, Call::FinalizeBlock { height }) => {
                self.may_propose(height).then_some(Phase::Executed { height })
            }
            (Phase::Executed { height }, Call::Commit) => Some(Phase::Between { next: Some(height + 1) }),
            _ => None,
        };
        self.phase = next.ok_or_else(|| Violation { call, phase: format!("{phase:?}") })?;
        Ok(())
    }

    /// Whether a block of `height` may be proposed or executed now.
    fn may_propose(&self, height: u64) -> bool {
        match self.phase {
            Phase::Started => true,
            Phase::Syncing { height: snapshot } => height == snapshot + 1,
            Phase::Between { next } => next.is_none_or(|next| next == height),
            Phase::Executed { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(calls: &[Call]) -> Result<(), Violation> {
        let mut grammar = Grammar::default();
        calls.iter().try_for_each(|call| grammar.call(*call))
    }

    const INIT: Call = Call::InitChain { initial_height: 1 };
    const fn finalize(height: u64) -> Call {
        Call::FinalizeBlock { height }
    }

    #[test]
    fn clean_starts_recoveries_and_state_sync_are_accepted() {
        let prepare = Call::PrepareProposal { height: 1 };
        let process = Call::ProcessProposal { height: 1 };
        follow(&[Call::Info, INIT, prepare, process, process, finalize(1), Call::Commit, finalize(2)])
            .unwrap();
        follow(&[Call::Info, finalize(7), Call::Commit, Call::Info, finalize(8), Call::Commit]).unwrap();
        let offer = |height| Call::OfferSnapshot { height };
        follow(&[
            offer(9),
            Call::ApplySnapshotChunk,
            offer(8),
            Call::ApplySnapshotChunk,
            Call::Info,
            finalize(9),
        ])
        .unwrap();
    }

    #[test]
    fn calls_out_of_order_are_refused() {
        let wrong: [&[Call]; 9] = [
            &[INIT, INIT],
            &[INIT, finalize(2)],
            &[finalize(1), finalize(1)],
            &[finalize(1), Call::ProcessProposal { height: 2 }],
            &[INIT, Call::Commit],
            &[finalize(1), Call::Commit, finalize(3)],
            &[finalize(1), Call::Commit, Call::OfferSnapshot { height: 5 }],
            &[Call::ApplySnapshotChunk],
            &[Call::VoteExtension],
        ];
        for calls in wrong {
            let (last, before) = calls.split_last().unwrap();
            follow(before).unwrap();
            assert_eq!(follow(calls).unwrap_err().call, *last, "{calls:?}");
        }
    }
}
