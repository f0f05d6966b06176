//! Codes of the codespace `ssn` (section 15).

use std::fmt;

use crate::codec::{DecodeError, Problem, codes};

/// The codespace of [`Code`].
pub const CODESPACE: &str = "ssn";

codes! {
    /// Why a request was refused; 0 stands for success and is no refusal.
    pub enum Code: u32 {
        Malformed = 1,
        TooLarge = 2,
        BadSignature = 3,
        UnknownEntity = 4,
        EntityNotActive = 5,
        Quota = 6,
        BadSequence = 7,
        BadTxId = 8,
        PolicyNotMet = 9,
        Conflict = 10,
        ReferenceSpent = 11,
        WindowNotOpen = 12,
        WindowClosed = 13,
        Expired = 14,
        ParamsMismatch = 15,
        AlreadyNotarised = 16,
        ContractUnknown = 17,
        ContractRejected = 18,
        OutOfGas = 19,
        NotAuthorised = 20,
        BadTransition = 21,
        Invariant = 22,
        InsufficientFunds = 23,
        ComplianceBlocked = 24,
        DuplicateFinance = 25,
        NotFound = 26,
        CircuitOpen = 27,
        AttestationMissing = 28,
        CapsuleMissing = 29,
        PromotionRefused = 30,
        ContestState = 31,
        Ibc = 32,
        Upgrade = 33,
        BackchainLimit = 34,
        NullifierMismatch = 35,
        Unsupported = 36,
        Internal = 255,
    }
}

impl Code {
    /// The name of section 15, as `CONFLICT`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for (i, c) in format!("{self:?}").chars().enumerate() {
            if i > 0 && c.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        }
        name
    }
}

/// A request that is refused: code, what is wrong with it, and data for a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", .code.name())]
pub struct Refusal {
    pub code: Code,
    /// For a person; not part of consensus.
    pub text: String,
    /// Deterministic; in the result (6.3).
    pub data: Vec<u8>,
}

impl Refusal {
    pub fn new(code: Code, text: impl fmt::Display) -> Self {
        Self { code, text: text.to_string(), data: Vec::new() }
    }
    #[must_use]
    pub fn with_data(self, data: Vec<u8>) -> Self {
        Self { data, ..self }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let code = match error.problem {
            Problem::TooLong { .. } => Code::TooLarge,
            _ => Code::Malformed,
        };
        Self::new(code, error)
    }
}
