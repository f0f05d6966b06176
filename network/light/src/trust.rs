//! What whoever verifies knows already.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stateset_ledger_types::Genesis;
use stateset_ledger_types::ids::ChainId;
use tendermint::{Time, validator};
use tendermint_light_client_verifier::options::Options;
use tendermint_light_client_verifier::types::TrustThreshold;
use ves::Digest;

use crate::json::ListedValidator;
use crate::{FormError, validators};

/// How far a trusted block reaches (network.md 12.2 holds the periods of the chain).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long validators are trusted after the block's time; shorter than the chain's unbonding period.
    pub trusting_period: Duration,
    /// How far a header may be ahead of `now`.
    pub clock_drift: Duration,
}

impl Default for Terms {
    /// Fourteen days, two thirds of the default unbonding period; ten seconds.
    fn default() -> Self {
        Self { trusting_period: Duration::from_secs(14 * 86_400), clock_drift: Duration::from_secs(10) }
    }
}

impl Terms {
    pub(crate) fn options(self) -> Options {
        Options {
            trust_threshold: TrustThreshold::ONE_THIRD,
            trusting_period: self.trusting_period,
            clock_drift: self.clock_drift,
        }
    }
}

/// Unix milliseconds as a time of headers. Times that no header can hold are the last one that it can.
pub fn time_of_ms(ms: u64) -> Time {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    let nanos = u32::try_from(ms % 1_000).unwrap_or_default() * 1_000_000;
    // 9999-12-31T23:59:59Z
    let last = || Time::from_unix_timestamp(253_402_300_799, 0).expect("the last time of headers");
    Time::from_unix_timestamp(seconds, nanos).unwrap_or_else(|_| last())
}

/// A block that is believed, with what later ones are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedState {
    pub chain_id: ChainId,
    pub height: u64,
    pub time: Time,
    /// `None` for a genesis, which has no header.
    pub header_hash: Option<Digest>,
    /// Who signs the next height.
    pub next_validators: validator::Set,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustedJson {
    format: String,
    chain_id: ChainId,
    height: u64,
    /// RFC 3339.
    time: Time,
    header_hash: Option<Digest>,
    next_validators: Vec<ListedValidator>,
}

const FORMAT: &str = "stateset-trusted-block-1";

impl TrustedState {
    /// The state before the first block, known to all who have the genesis.
    ///
    /// # Errors
    /// What is wrong with the validators.
    pub fn of_genesis(genesis: &Genesis) -> Result<Self, String> {
        let listed = genesis.validators.iter();
        let listed = listed.map(|one| validators::validator(&one.key.0, one.power.into()));
        // The first header has the time of the genesis, and times rise.
        let time = time_of_ms(genesis.genesis_time).checked_sub(Duration::from_nanos(1));
        Ok(Self {
            chain_id: genesis.chain_id.clone(),
            height: genesis.initial_height.saturating_sub(1),
            time: time.ok_or("the genesis time is out of range")?,
            header_hash: None,
            next_validators: validators::set(listed.collect::<Result<_, _>>()?)?,
        })
    }

    /// The file that a person keeps.
    pub fn to_json(&self) -> String {
        let json = TrustedJson {
            format: FORMAT.to_owned(),
            chain_id: self.chain_id.clone(),
            height: self.height,
            time: self.time,
            header_hash: self.header_hash,
            next_validators: ListedValidator::list(&self.next_validators),
        };
        serde_json::to_string_pretty(&json).expect("plain values") + "\n"
    }

    /// # Errors
    /// [`FormError`].
    pub fn from_json(text: &[u8]) -> Result<Self, FormError> {
        let json: TrustedJson =
            serde_json::from_slice(text).map_err(|problem| FormError::Json(problem.to_string()))?;
        if json.format != FORMAT {
            return Err(FormError::field("format", format!("it is {:?}, not {FORMAT:?}", json.format)));
        }
        Ok(Self {
            chain_id: json.chain_id,
            height: json.height,
            time: json.time,
            header_hash: json.header_hash,
            next_validators: ListedValidator::set(&json.next_validators)
                .map_err(|problem| FormError::field("next_validators", problem))?,
        })
    }
}

/// Where verification begins.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// A block known from elsewhere. Later headers are judged by the rules of light clients.
    Block(&'a TrustedState, Terms),
    /// The set of validators with this hash, at any time: more than two thirds of it signed. For those who know the set
    /// by other means, as for old certificates.
    Validators { chain_id: &'a ChainId, hash: Digest, clock_drift: Duration },
}
