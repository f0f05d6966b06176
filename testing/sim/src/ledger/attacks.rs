//! What byzantine submitters try in every hostile world of the ledger, counted once it was refused as the rules say.

use stateset_ledger_types::Code;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// Another key's signature under a member's name.
    ForgedSignature,
    /// Bytes that were carried out before.
    Replay,
    /// A state that is consumed already, or twice in one block.
    DoubleSpend,
    /// Bytes that are no request.
    Malformed,
    /// More requests of one member than a block may have.
    OverQuota,
}

impl Attack {
    pub const ALL: [Self; 5] =
        [Self::ForgedSignature, Self::Replay, Self::DoubleSpend, Self::Malformed, Self::OverQuota];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ForgedSignature => "forged signature",
            Self::Replay => "replay",
            Self::DoubleSpend => "double spend",
            Self::Malformed => "malformed",
            Self::OverQuota => "over quota",
        }
    }

    /// Whether `code`, of CheckTx or of a block, is how the rules refuse it.
    pub fn is_refused_by(self, code: Code) -> bool {
        match self {
            Self::ForgedSignature => code == Code::BadSignature,
            Self::Replay => matches!(code, Code::AlreadyNotarised | Code::BadSequence),
            Self::DoubleSpend => code == Code::Conflict,
            Self::Malformed => matches!(code, Code::Malformed | Code::Unsupported | Code::TooLarge),
            Self::OverQuota => code == Code::Quota,
        }
    }
}
