//! Values of the state as JSON: what `statesetd query` shows instead of bytes.

use serde::Serialize;
use serde_json::{Value, json};
use stateset_ledger_types::anchor::{AnchorBatch, AnchorHead};
use stateset_ledger_types::bank::{AgentDay, Batch, Channel, DenomRecord, Escrow, Settlement};
use stateset_ledger_types::codec::{Decode, DecodeError, List, Reader};
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::genesis::{ChainRecord, GenesisValidator};
use stateset_ledger_types::governance::{
    AttesterPolicy, ContractRecord, ContractSet, Electorate, Proposal, RecordBases, SoftwareUpgrade,
    VoteChoice,
};
use stateset_ledger_types::ids::{AccountId, ChainId, Denom, EntityId, SettlementId, TxId, Units};
use stateset_ledger_types::notary::{CapsuleEntry, CapsulePage, NotaryRecord};
use stateset_ledger_types::query::key_of;
use stateset_ledger_types::registry::{FingerprintRecord, PublicOutput};
use stateset_ledger_types::{Params, StateKey, Substore};
use ves::Digest;

use crate::lists::ROWS_MAX;

/// The answer to `path`, whose data was `key`, as JSON; `None` for bytes that are no record this program knows.
pub fn answer(path: &str, key: &[u8], value: &[u8]) -> Option<Value> {
    if let Some(key) = key_of(path) {
        return record(&key, value);
    }
    let place = path.split_once('?').map_or(path, |(place, _)| place);
    let parts: Vec<&str> = place.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["ssn", "entities"] => rows::<Entity>(value),
        ["ssn", "params", _] => plain::<u64>(value),
        ["ssn", "gov", "proposals"] => rows::<Proposal>(value),
        ["ssn", "gov", "proposals", _, "votes"] => rows::<VoteChoice>(value),
        ["ssn", "bank", "audit"] => each(value, audited),
        ["ssn", "bank", _] => each(value, |reader| {
            let (denom, units) = (Denom::decode(reader)?, Units::decode(reader)?);
            Ok(json!({"denom": denom, "units": units}))
        }),
        ["ssn", "status"] => read(value, status),
        ["ssn", "capsules"] => plain::<CapsulePage>(value),
        ["store", name, "key"] => {
            record(&StateKey { substore: Substore::from_name(name)?, path: key.to_vec() }, value)
        }
        _ => None,
    }
}

/// The value at `key` as JSON; `None` for one that is no record this program knows.
pub fn record(key: &StateKey, value: &[u8]) -> Option<Value> {
    let path = std::str::from_utf8(&key.path).ok()?;
    let (word, rest) = path.split_once('/').unwrap_or((path, ""));
    match (key.substore, word) {
        (Substore::Notary, "tx") => plain::<NotaryRecord>(value),
        (Substore::Notary, "spent") => plain::<TxId>(value),
        (Substore::Notary, "seq") => plain::<u64>(value),
        (Substore::Entities, "cert") => plain::<EntityId>(value),
        (Substore::Entities, _) if path.len() == 40 => plain::<Entity>(value),
        (Substore::Gov, "proposal") => plain::<Proposal>(value),
        (Substore::Gov, "vote") => plain::<VoteChoice>(value),
        (Substore::Gov, "voters") => plain::<Electorate>(value),
        (Substore::Gov, "bases") => plain::<RecordBases>(value),
        (Substore::Gov, "params") => plain::<Params>(value),
        (Substore::Gov, "params_hash") => plain::<Digest>(value),
        (Substore::Gov, "attester") => plain::<AttesterPolicy>(value),
        (Substore::Gov, "next_id" | "queue" | "circuit" | "upgraded") => plain::<u64>(value),
        (Substore::Gov, "upgrade_plan") => plain::<SoftwareUpgrade>(value),
        (Substore::Gov, "chain") => plain::<ChainRecord>(value),
        (Substore::Gov, "validator") => plain::<GenesisValidator>(value),
        (Substore::Contracts, "set") => plain::<ContractSet>(value),
        (Substore::Contracts, "id") => plain::<ContractRecord>(value),
        (Substore::Bank, "bal" | "supply") => plain::<Units>(value),
        (Substore::Bank, "denom") => plain::<DenomRecord>(value),
        (Substore::Bank, "collector") => plain::<AccountId>(value),
        (Substore::Settle, "s") => plain::<Settlement>(value),
        (Substore::Settle, "escrow") => plain::<Escrow>(value),
        (Substore::Settle, "chan") => plain::<Channel>(value),
        (Substore::Settle, "batch") => plain::<Batch>(value),
        (Substore::Settle, "agent") => plain::<AgentDay>(value),
        (Substore::Settle, "ref") => plain::<SettlementId>(value),
        (Substore::Settle, "merchant") => plain::<u16>(value),
        (Substore::Settle, "fingerprint") => plain::<FingerprintRecord>(value),
        (Substore::Utxo, _) if !rest.is_empty() => plain::<PublicOutput>(value),
        (Substore::Capsule, _) if !rest.is_empty() => plain::<CapsuleEntry>(value),
        (Substore::Anchor, _) if rest == "head" => plain::<AnchorHead>(value),
        (Substore::Anchor, _) if !rest.is_empty() => plain::<AnchorBatch>(value),
        _ => None,
    }
}

fn plain<T: Decode + Serialize>(value: &[u8]) -> Option<Value> {
    serde_json::to_value(T::from_sce(value).ok()?).ok()
}

fn rows<T: Decode + Serialize>(value: &[u8]) -> Option<Value> {
    plain::<List<T, ROWS_MAX>>(value)
}

/// The whole of `value`, and nothing behind it.
fn read(value: &[u8], read: impl FnOnce(&mut Reader<'_>) -> Result<Value, DecodeError>) -> Option<Value> {
    let mut reader = Reader::new(value);
    let read = read(&mut reader).ok()?;
    (reader.position() == value.len()).then_some(read)
}

/// u32 count, and as many items.
fn each(value: &[u8], one: impl Fn(&mut Reader<'_>) -> Result<Value, DecodeError>) -> Option<Value> {
    read(value, |reader| (0..u32::decode(reader)?).map(|_| one(reader)).collect())
}

fn audited(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let denom = Denom::decode(reader)?;
    let mut units = || Units::decode(reader);
    let (supply, balances, escrows, channels) = (units()?, units()?, units()?, units()?);
    Ok(
        json!({"denom": denom, "supply": supply, "balances": balances, "escrows": escrows, "channels": channels}),
    )
}

fn status(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let (chain_id, height) = (ChainId::decode(reader)?, u64::decode(reader)?);
    let (app_version, params_hash) = (u64::decode(reader)?, Digest::decode(reader)?);
    Ok(
        json!({"chain_id": chain_id, "height": height, "app_version": app_version, "params_hash": params_hash}),
    )
}

#[cfg(test)]
mod tests {
    use stateset_ledger_types::Encode as _;

    use super::*;

    #[test]
    fn records_are_read_by_their_paths_and_keys() {
        let params = Params::default();
        let shown = answer("/ssn/params", &[], &params.to_sce()).unwrap();
        assert_eq!(shown["voting_blocks"], params.voting_blocks);
        assert_eq!(answer("/store/gov/key", b"params", &params.to_sce()), Some(shown));
        assert_eq!(answer("/store/bank/key", b"supply/usd", &Units(7).to_sce()), Some(json!("7")));
        let account = format!("/ssn/bank/{}", "05".repeat(20));
        let denom = |name| Denom::new(name).unwrap().to_sce();
        let held = [2u32.to_sce(), denom("eur"), Units(5).to_sce(), denom("usd"), Units(6).to_sce()];
        let expected = json!([{"denom": "eur", "units": "5"}, {"denom": "usd", "units": "6"}]);
        assert_eq!(answer(&account, &[], &held.concat()), Some(expected));
        assert_eq!(answer("/ssn/gov/proposals", &[], &0u32.to_sce()), Some(json!([])));
    }

    #[test]
    fn bytes_that_are_no_record_stay_bytes() {
        assert_eq!(answer("/ssn/params", &[], &[1, 2]), None);
        assert_eq!(answer("/store/bank/key", b"supply/usd", &[Units(7).to_sce(), vec![0]].concat()), None);
        assert_eq!(answer("/store/none/key", b"a", &[]), None);
        assert_eq!(answer("/ssn/bank/audit", &[], &1u32.to_sce()), None);
        let key = StateKey::first(Substore::Bank);
        assert_eq!(record(&key, b"bank"), None);
    }
}
