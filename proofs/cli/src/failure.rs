//! Failures as a person and a program see them: exit status, code, message, hint.

use ves_stark_client::{ClientError, ProposalError};
use ves_stark_primitives::clauses::Unproved;
use ves_stark_primitives::payload::PayloadError;
use ves_stark_primitives::{
    CommitmentError, DecimalError, InputsError, OpeningError, PolicyError, ProveError,
};

/// Why a command ends with something else than 0.
#[derive(Debug)]
pub struct Failure {
    pub exit: u8,
    /// Stable, in capitals.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<&'static str>,
}

impl Failure {
    /// Exit 1: it could not be done.
    pub fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self { exit: 1, code, message: message.into(), hint: None }
    }
    /// Exit 2: wrong usage or input.
    pub fn input(code: &'static str, message: impl Into<String>) -> Self {
        Self { exit: 2, ..Self::failed(code, message) }
    }
    pub fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        Self::input("USAGE", text.trim().trim_start_matches("error: "))
    }
}

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        let failure = Self::input("BAD_POLICY", error.to_string());
        match error {
            PolicyError::IntentMissing => failure.hint("give it with --intent-hash HEX"),
            _ => failure,
        }
    }
}
impl From<InputsError> for Failure {
    fn from(error: InputsError) -> Self {
        Self::input("BAD_INPUTS", error.to_string())
    }
}
impl From<OpeningError> for Failure {
    fn from(error: OpeningError) -> Self {
        Self::input("BAD_OPENING", error.to_string())
    }
}
impl From<CommitmentError> for Failure {
    fn from(error: CommitmentError) -> Self {
        Self::input("BAD_COMMITMENT", error.to_string())
    }
}
impl From<DecimalError> for Failure {
    fn from(error: DecimalError) -> Self {
        Self::input("BAD_AMOUNT", error.to_string())
    }
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        let code = match error {
            ProveError::PolicyNotSatisfied => "POLICY_NOT_SATISFIED",
            ProveError::OtherCommitment => "OTHER_COMMITMENT",
            ProveError::OtherPayload => "OTHER_PAYLOAD",
            ProveError::Unsupported { .. } => "UNSUPPORTED_SUITE",
            ProveError::Random(_) => "NO_RANDOMNESS",
        };
        Self::failed(code, error.to_string())
    }
}

impl From<PayloadError> for Failure {
    fn from(error: PayloadError) -> Self {
        Self::input("NO_AMOUNT", error.to_string())
    }
}

impl From<ProposalError> for Failure {
    fn from(error: ProposalError) -> Self {
        match error {
            ProposalError::Inputs(error) => error.into(),
            ProposalError::Prove(error) => error.into(),
            ProposalError::AmountBinding | ProposalError::OtherAmount { .. } => {
                Self::failed("OTHER_AMOUNT", error.to_string())
            }
            ProposalError::OtherPayload => Self::failed("OTHER_PAYLOAD", error.to_string())
                .hint("a sealed payload is hashed with its salt: give it with --payload-salt FILE"),
            ProposalError::Payload(error) => error.into(),
            ProposalError::PayloadTooLong { .. } => Self::input("TOO_LARGE", error.to_string()),
            ProposalError::UnitNotSigned => Self::input("NO_KEY", error.to_string())
                .hint("put the seed of the agent's key into VES_AGENT_KEY"),
            ProposalError::Composed | ProposalError::OneAmount => {
                Self::input("OTHER_POLICY", error.to_string())
            }
            ProposalError::Unproved(Unproved::Unsatisfied(_)) => {
                Self::failed("POLICY_NOT_SATISFIED", error.to_string())
                    .hint("clauses are numbered from 0, those of one_of after it")
            }
            ProposalError::Unproved(_) => Self::failed("NOT_PROVED", error.to_string()),
            ProposalError::Signing(_) => Self::failed("SIGNING_FAILED", error.to_string()),
            ProposalError::OwnProof(_) => Self::failed("INTERNAL", error.to_string()),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message: String = error.to_string().chars().flat_map(printable).collect();
        match error {
            ClientError::Address { .. } => Self::input("BAD_ADDRESS", message),
            ClientError::Unreachable { .. } => Self::failed("SERVER_UNREACHABLE", message),
            ClientError::Refused { status: 401, .. } => {
                Self::failed("REFUSED", message).hint("the API key comes from STATESET_API_KEY")
            }
            ClientError::Refused { status: 409, ref code, .. } if code == "ALREADY_EXISTS" => {
                Self::failed("REFUSED", message).hint(
                    "it keeps one proof for an event or batch and a policy; with the openings of that one (--opening, --openings), this is the same statement",
                )
            }
            ClientError::Refused { status: 404, .. } => Self::input("NOT_FOUND", message),
            ClientError::Refused { .. } => Self::failed("REFUSED", message),
            ClientError::Unreadable { .. } => Self::failed("UNREADABLE_ANSWER", message),
            ClientError::Inputs(_) | ClientError::Untrue(_) => Self::failed("NOT_VERIFIED", message),
        }
    }
}

/// A server's words must not steer the terminal.
fn printable(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}
