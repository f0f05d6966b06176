//! A proof file, told by its members: of version 2, of version 1, or about a batch.
//!
//! Each kind refuses members that it does not know, so a file must be read as what it is: else the refusal names the
//! members that make it what it is, and not the one that is wrong.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use ves_stark_primitives::bundle::version1;
use ves_stark_primitives::{Bundle, BundleError, SuiteId};

use crate::failure::Failure;

/// What a proof file about an event holds.
pub enum BundleFile {
    Current(Box<Bundle>),
    /// Of older clients (section 5): read, not verified.
    Older(Box<version1::Bundle>),
}

/// Why a proof file is not read.
#[derive(Debug)]
pub enum Unread {
    Current(BundleError),
    Older(BundleError),
    /// It is about a batch, which has commands of its own.
    Batch,
}

/// The members that tell the kinds apart.
#[derive(Deserialize)]
struct Kind {
    proof_b64: Option<IgnoredAny>,
    #[serde(rename = "proofB64")]
    proof_b64_camel: Option<IgnoredAny>,
    #[serde(rename = "bundleVersion")]
    bundle_version: Option<Value>,
    kind: Option<Value>,
}

/// Reads a bundle of either version.
///
/// # Errors
/// [`Unread`], under the version that the file is of.
pub fn parse(text: &str) -> Result<BundleFile, Unread> {
    // A text that is no such object is refused as a current one.
    let kind = serde_json::from_str::<Kind>(text).ok();
    if kind.as_ref().is_some_and(Kind::is_older) {
        let older = version1::Bundle::parse(text).map_err(Unread::Older)?;
        return Ok(BundleFile::Older(Box::new(older)));
    }
    if kind.is_some_and(|kind| kind.kind.is_some_and(|kind| kind == "batch")) {
        return Err(Unread::Batch);
    }
    Bundle::parse(text).map(|bundle| BundleFile::Current(Box::new(bundle))).map_err(Unread::Current)
}

impl Kind {
    fn is_older(&self) -> bool {
        let has_older_proof = self.proof_b64.is_some() || self.proof_b64_camel.is_some();
        has_older_proof && self.bundle_version.as_ref().is_none_or(|version| version.as_u64() == Some(1))
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Current(error) => error.fmt(f),
            Self::Older(error) => write!(f, "a bundle of version 1 that cannot be read: {error}"),
            Self::Batch => f.write_str("it is a bundle about a batch: `ves-stark batch-verify` checks it"),
        }
    }
}

impl From<Unread> for Failure {
    fn from(unread: Unread) -> Self {
        Self::input("BAD_PROOF_FILE", unread.to_string())
    }
}

/// Why a bundle of version 1 that can be read does not count as a proof.
pub fn older_is_not_verified() -> String {
    format!(
        "a bundle of version 1, whose proof ({}) has no zero-knowledge and is not verified here; `ves-stark inspect` shows what it says",
        SuiteId::Legacy
    )
}
