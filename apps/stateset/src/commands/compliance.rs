//! `stateset prove` and `stateset verify`: compliance proofs about events of a running service.

pub mod payload;
pub mod prove;
pub mod verify;

use ves_stark_client::{ClientError, ProposalError};
use ves_stark_primitives::{InputsError, PolicyError};

use crate::error::{CliError, printable};

pub use prove::ProveArgs;
pub use verify::VerifyArgs;

impl From<PolicyError> for CliError {
    fn from(error: PolicyError) -> Self {
        Self::input("BAD_POLICY", error.to_string())
    }
}

impl From<InputsError> for CliError {
    fn from(error: InputsError) -> Self {
        Self::failure("BAD_INPUTS", error.to_string())
    }
}

impl From<ProposalError> for CliError {
    fn from(error: ProposalError) -> Self {
        let code = match error {
            ProposalError::Prove(_) | ProposalError::Unproved(_) => "NOT_PROVED",
            ProposalError::Composed
            | ProposalError::OneAmount
            | ProposalError::Inputs(_)
            | ProposalError::AmountBinding
            | ProposalError::UnitNotSigned => "BAD_INPUTS",
            ProposalError::OtherPayload | ProposalError::OtherAmount { .. } => "OTHER_PAYLOAD",
            ProposalError::Payload(_) => "NO_AMOUNT",
            ProposalError::PayloadTooLong { .. } => "TOO_LARGE",
            ProposalError::Signing(_) => "SIGNING_FAILED",
            ProposalError::OwnProof(_) => "INTERNAL",
        };
        Self::failure(code, error.to_string())
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        // One line: the server's words must not look like ours.
        let message = printable(&error.to_string());
        match error {
            ClientError::Address { .. } => Self::input("BAD_ADDRESS", message),
            ClientError::Unreachable { .. } => Self::failure("SERVER_UNREACHABLE", message)
                .hint("start one with `stateset up`, or name one with --server"),
            ClientError::Refused { status: 400 | 404 | 409 | 413, code, .. } => Self::input(&code, message),
            ClientError::Refused { code, .. } => Self::failure(&code, message),
            ClientError::Unreadable { .. } => Self::failure("UNREADABLE_ANSWER", message),
            ClientError::Inputs(_) | ClientError::Untrue(_) => {
                Self::failure("NOT_VERIFIED", message).hint("do not use this answer; keep it as evidence")
            }
        }
    }
}
