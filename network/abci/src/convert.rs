//! Between the words of the state machine and those of ABCI. Pure.

use std::time::Duration;

use stateset_ledger_app::TxResult;
use stateset_ledger_app::application::{BlockBounds, Event, ValidatorUpdate};
use tendermint::abci::types::ExecTxResult;
use tendermint::abci::{self, Code};
use tendermint::consensus::params::{AbciParams, ValidatorParams, VersionParams};
use tendermint::{AppHash, PublicKey, Time, block, consensus, evidence, public_key, validator, vote};

use crate::EngineError;

/// Codespace of the result codes of network.md 15.
pub(crate) const CODESPACE: &str = "ssn";

/// Of one block; at most the least `max_block_bytes` that governance may set, since CometBFT refuses more.
const EVIDENCE_BYTES_MAX: i64 = 65_536;
const EVIDENCE_AGE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);
/// Blocks of 5 s in [`EVIDENCE_AGE_MAX`]. Evidence is refused when it is too old by both.
const EVIDENCE_AGE_BLOCKS_MAX: u64 = 241_920;

/// A header's time as Unix milliseconds, rounded down. Times before 1970 do not occur: 0.
pub(crate) fn milliseconds(time: Time) -> u64 {
    u64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(0)
}

pub(crate) fn height(height: u64) -> Result<block::Height, EngineError> {
    block::Height::try_from(height).map_err(|_| EngineError::Order(format!("height {height} is too large")))
}

pub(crate) fn app_hash(hash: [u8; 32]) -> AppHash {
    AppHash::try_from(hash.to_vec()).expect("an app hash may have any bytes")
}

pub(crate) fn validator(update: ValidatorUpdate) -> Result<validator::Update, EngineError> {
    let wrong = |what: &str| EngineError::Order(format!("a validator's {what} is not valid"));
    Ok(validator::Update {
        pub_key: PublicKey::from_raw_ed25519(&update.public_key).ok_or_else(|| wrong("key"))?,
        power: vote::Power::try_from(update.power).map_err(|_| wrong("power"))?,
    })
}

/// All consensus parameters, since CometBFT takes over every part that it is given.
///
/// The version has to be among them: CometBFT writes the version of its parameters into the next headers, which is 0
/// where nobody set it.
pub(crate) fn params(bounds: BlockBounds, app_version: u64) -> Result<consensus::Params, EngineError> {
    let max_gas = i64::try_from(bounds.gas_max)
        .map_err(|_| EngineError::Genesis(format!("max_block_gas {} is too large", bounds.gas_max)))?;
    Ok(consensus::Params {
        block: block::Size {
            max_bytes: bounds.bytes_max,
            max_gas,
            time_iota_ms: block::Size::default_time_iota_ms(),
        },
        evidence: evidence::Params {
            max_age_num_blocks: EVIDENCE_AGE_BLOCKS_MAX,
            max_age_duration: evidence::Duration(EVIDENCE_AGE_MAX),
            max_bytes: EVIDENCE_BYTES_MAX,
        },
        validator: ValidatorParams { pub_key_types: vec![public_key::Algorithm::Ed25519] },
        version: Some(VersionParams { app: app_version }),
        abci: AbciParams::default(),
    })
}

pub(crate) fn event(event: Event) -> abci::Event {
    let attributes = event
        .attributes
        .into_iter()
        .map(|attribute| abci::EventAttribute::from((attribute.key, attribute.value, attribute.index)));
    abci::Event::new(event.kind, attributes)
}

pub(crate) fn codespace(code: u32) -> String {
    if code == 0 { String::new() } else { CODESPACE.to_owned() }
}

pub(crate) fn tx_result(result: TxResult) -> ExecTxResult {
    ExecTxResult {
        code: Code::from(result.code),
        data: result.data.into(),
        log: result.log,
        info: String::new(),
        gas_wanted: result.gas_wanted,
        gas_used: result.gas_used,
        events: result.events.into_iter().map(event).collect(),
        codespace: codespace(result.code),
    }
}

pub(crate) fn checked_tx(result: TxResult) -> abci::response::CheckTx {
    let result = tx_result(result);
    abci::response::CheckTx {
        code: result.code,
        data: result.data,
        log: result.log,
        gas_wanted: result.gas_wanted,
        gas_used: result.gas_used,
        events: result.events,
        codespace: result.codespace,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_down_to_milliseconds() {
        let at = |secs, nanos| milliseconds(Time::from_unix_timestamp(secs, nanos).unwrap());
        assert_eq!(at(1_700_000_000, 999_999), 1_700_000_000_000);
        assert_eq!(at(1_700_000_000, 1_999_999), 1_700_000_000_001);
        assert_eq!(at(-1, 0), 0);
    }

    #[test]
    fn parameters_carry_the_application_version_and_fit_the_least_block() {
        let params = params(BlockBounds { bytes_max: 65_536, gas_max: 7 }, 3).unwrap();
        assert_eq!(params.version, Some(VersionParams { app: 3 }));
        assert!(params.evidence.max_bytes as u64 <= params.block.max_bytes);
        assert_eq!(params.block.max_gas, 7);
    }

    #[test]
    fn only_failures_have_a_codespace() {
        let failed = tx_result(TxResult { code: 10, ..TxResult::default() });
        assert_eq!((u32::from(failed.code), failed.codespace.as_str()), (10, "ssn"));
        assert_eq!(tx_result(TxResult::default()).codespace, "");
    }
}
