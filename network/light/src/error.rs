//! Why a certificate is not read, and why one that was read proves nothing.

use stateset_ledger_types::DecodeError;
use ves::Digest;

/// Bytes or text that are no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("it has {found} bytes; a certificate has at most {max}")]
    TooLarge { found: usize, max: usize },
    #[error("{0}")]
    Encoding(#[from] DecodeError),
    #[error("it is not the JSON of a certificate: {0}")]
    Json(String),
    #[error("version {0} of certificates is unknown; this program reads version 1")]
    Version(u16),
    #[error("{field}: {problem}")]
    Field { field: &'static str, problem: String },
    #[error("it can be read, but is not written in the one canonical form")]
    NotCanonical,
}

impl FormError {
    pub(crate) fn field(field: &'static str, problem: impl ToString) -> Self {
        Self::Field { field, problem: problem.to_string() }
    }
}

/// Why a certificate proves nothing to whoever holds this trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("it is of chain {found}; {trusted} is trusted")]
    WrongChain { found: String, trusted: String },
    #[error(
        "the trusted block is too old: it was trusted until {until}; get a newer one from a source that you trust"
    )]
    TrustExpired { until: String },
    #[error("its header is of {header_time}, which is after now, {now}: check the clock")]
    FromTheFuture { header_time: String, now: String },
    #[error(
        "its header is of height {found}; a trusted block of height {trusted} says nothing about blocks before it: ask for a newer certificate, or trust an older block"
    )]
    BeforeTrust { found: u64, trusted: u64 },
    #[error("its header is not the one that is trusted at height {height}")]
    OtherHeader { height: u64 },
    #[error(
        "its validators share too little with those of the trusted block at height {trusted}: {tally}; follow the chain from there first"
    )]
    TrustedTooFew { trusted: u64, tally: String },
    #[error("its validators have the hash {found}; {trusted} is trusted")]
    OtherValidators { found: Digest, trusted: String },
    #[error("its validators are not those that its header names")]
    ValidatorsNotOfHeader,
    #[error("its header is not the one that was signed")]
    HeaderAltered,
    #[error("a signature of its commit is wrong")]
    BadSignature,
    #[error("no more than two thirds of its validators signed: {0}")]
    TooFewSignatures(String),
    #[error("its commit is malformed: {0}")]
    MalformedCommit(String),
    #[error("its time is not after that of the trusted block")]
    TimeNotLater,
    #[error(
        "it claims the state of height {height}, which only the header of the next height proves; its header is of {header}"
    )]
    WrongHeight { height: u64, header: u64 },
    #[error("it is about {found}; {asked} was asked for")]
    WrongKey { found: String, asked: String },
    #[error("its proof does not lead from {key} to the app hash of its header")]
    ProofRefused { key: String },
    #[error("{key} is not in the state of height {height}")]
    Absent { key: String, height: u64 },
    #[error("{key} is in the state of height {height}")]
    Present { key: String, height: u64 },
    #[error("the value at {key} is no such record: {problem}")]
    BadRecord { key: String, problem: String },
}

impl CertificateError {
    /// A stable name for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WrongChain { .. } => "WRONG_CHAIN",
            Self::TrustExpired { .. } => "TRUST_EXPIRED",
            Self::FromTheFuture { .. } => "FROM_THE_FUTURE",
            Self::BeforeTrust { .. } => "BEFORE_TRUST",
            Self::OtherHeader { .. } => "OTHER_HEADER",
            Self::TrustedTooFew { .. } => "TRUSTED_TOO_FEW",
            Self::OtherValidators { .. } => "OTHER_VALIDATORS",
            Self::ValidatorsNotOfHeader => "VALIDATORS_NOT_OF_HEADER",
            Self::HeaderAltered => "HEADER_ALTERED",
            Self::BadSignature => "BAD_SIGNATURE",
            Self::TooFewSignatures(_) => "TOO_FEW_SIGNATURES",
            Self::MalformedCommit(_) => "MALFORMED_COMMIT",
            Self::TimeNotLater => "TIME_NOT_LATER",
            Self::WrongHeight { .. } => "WRONG_HEIGHT",
            Self::WrongKey { .. } => "WRONG_KEY",
            Self::ProofRefused { .. } => "PROOF_REFUSED",
            Self::Absent { .. } => "ABSENT",
            Self::Present { .. } => "PRESENT",
            Self::BadRecord { .. } => "BAD_RECORD",
        }
    }
}
