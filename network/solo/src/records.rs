//! What the engine keeps of the chain, in the same transaction as the state: blocks, commits, results, sets, indexes.

use std::collections::BTreeMap;

use prost::Message;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stateset_ledger_app::application::{BlockBounds, Event as AppEvent, Outcome, TxResult};
use stateset_ledger_store::{Column, RecordBatch, View};
use tendermint_proto::v0_38::abci::{
    Event, EventAttribute, ExecTxResult, ResponseFinalizeBlock, ValidatorUpdate,
};
use tendermint_proto::v0_38::crypto::{PublicKey, public_key};
use tendermint_proto::v0_38::types::{Block, Commit};

use crate::block::{Limits, Tip, UnixNanos, Validator, Validators};
use crate::engine::EngineError;
use crate::mempool::TxHash;

/// Name of results' error codes (network.md 15).
pub const CODESPACE: &str = "ssn";

const TIP: &[u8] = b"tip";
const GENESIS: &[u8] = b"genesis";
const START: &[u8] = b"start";
const VALIDATORS: &[u8] = b"validators/";
const LIMITS: &[u8] = b"limits/";

/// What executing a block gave, in the form of the protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Results(pub ResponseFinalizeBlock);

impl Results {
    pub(crate) fn new(outcome: &Outcome, app_hash: &[u8; 32]) -> Self {
        let update = |update: &stateset_ledger_app::application::ValidatorUpdate| ValidatorUpdate {
            pub_key: Some(PublicKey { sum: Some(public_key::Sum::Ed25519(update.public_key.to_vec())) }),
            power: i64::try_from(update.power).unwrap_or(i64::MAX),
        };
        Self(ResponseFinalizeBlock {
            events: outcome.events.iter().map(event).collect(),
            tx_results: outcome.results.iter().map(tx_result).collect(),
            validator_updates: outcome.validators.iter().map(update).collect(),
            consensus_param_updates: None,
            app_hash: app_hash.to_vec().into(),
        })
    }
}

pub(crate) fn tx_result(result: &TxResult) -> ExecTxResult {
    ExecTxResult {
        code: result.code,
        data: result.data.clone().into(),
        log: result.log.clone(),
        info: String::new(),
        gas_wanted: result.gas_wanted,
        gas_used: result.gas_used,
        events: result.events.iter().map(event).collect(),
        codespace: if result.code == 0 { String::new() } else { CODESPACE.into() },
    }
}

fn event(event: &AppEvent) -> Event {
    let attributes = event.attributes.iter().map(|attribute| EventAttribute {
        key: attribute.key.clone(),
        value: attribute.value.clone(),
        index: attribute.index,
    });
    Event { r#type: event.kind.clone(), attributes: attributes.collect() }
}

pub(crate) fn limits(bounds: BlockBounds) -> Limits {
    let signed = |bound: u64| i64::try_from(bound).unwrap_or(-1);
    Limits { block_bytes_max: signed(bounds.bytes_max), block_gas_max: signed(bounds.gas_max) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct SavedValidator {
    public_key: [u8; 32],
    power: u64,
}

fn save(validators: &Validators) -> Vec<SavedValidator> {
    let save = |v: &Validator| SavedValidator { public_key: v.public_key, power: v.power };
    validators.as_slice().iter().map(save).collect()
}

fn load(saved: &[SavedValidator]) -> Validators {
    let load = |v: &SavedValidator| Validator { public_key: v.public_key, power: v.power };
    Validators::new(saved.iter().map(load).collect())
}

/// The tip as stored: all but the application's version, which the program knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedTip {
    chain_id: String,
    pub(crate) initial_height: u64,
    height: u64,
    time_ns: i64,
    /// Protobuf; the id of the last block is in it.
    last_commit: Vec<u8>,
    app_hash: Vec<u8>,
    last_results_hash: [u8; 32],
    validators: Vec<SavedValidator>,
    next_validators: Vec<SavedValidator>,
    block_bytes_max: i64,
    block_gas_max: i64,
    pub(crate) proof_block_due: bool,
}

impl SavedTip {
    pub(crate) fn new(tip: &Tip, initial_height: u64, proof_block_due: bool) -> Self {
        Self {
            chain_id: tip.chain_id.clone(),
            initial_height,
            height: tip.height,
            time_ns: tip.time.0,
            last_commit: tip.last_commit.encode_to_vec(),
            app_hash: tip.app_hash.clone(),
            last_results_hash: tip.last_results_hash,
            validators: save(&tip.validators),
            next_validators: save(&tip.next_validators),
            block_bytes_max: tip.limits.block_bytes_max,
            block_gas_max: tip.limits.block_gas_max,
            proof_block_due,
        }
    }

    pub(crate) fn tip(&self, app_version: u64) -> Tip {
        let validators = load(&self.validators);
        let commit = Commit::decode(self.last_commit.as_slice()).unwrap_or_default();
        Tip {
            chain_id: self.chain_id.clone(),
            app_version,
            height: self.height,
            time: UnixNanos(self.time_ns),
            last_block_id: commit.block_id.clone().unwrap_or_else(crate::block::empty_block_id),
            last_commit: commit,
            app_hash: self.app_hash.clone(),
            last_results_hash: self.last_results_hash,
            proposer: validators.as_slice().first().map(Validator::address).unwrap_or_default(),
            next_validators: load(&self.next_validators),
            validators,
            limits: Limits { block_bytes_max: self.block_bytes_max, block_gas_max: self.block_gas_max },
        }
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain values become JSON")
}

fn with_height(prefix: &[u8], height: u64) -> Vec<u8> {
    [prefix, &height.to_be_bytes()].concat()
}

pub(crate) fn genesis(saved: &SavedTip, genesis_json: &[u8]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    batch.put(Column::Engine, TIP, json(saved));
    batch.put(Column::Engine, GENESIS, genesis_json);
    batch.put(Column::Engine, START, json(&(saved.time_ns, &saved.app_hash)));
    batch.put(Column::Engine, with_height(VALIDATORS, saved.initial_height), json(&saved.validators));
    let limits = (saved.block_bytes_max, saved.block_gas_max);
    batch.put(Column::Engine, with_height(LIMITS, saved.initial_height), json(&limits));
    batch
}

/// The records of one block: `tip` is what it was built on, `next` what the one after it will be built on.
pub(crate) fn block(
    tip: &Tip,
    next: &Tip,
    block: &Block,
    commit: &Commit,
    results: &Results,
    (initial_height, proof_block_due): (u64, bool),
) -> RecordBatch {
    let (height, mut batch) = (tip.height, RecordBatch::default());
    batch.put(Column::Blocks, height.to_be_bytes(), block.encode_to_vec());
    batch.put(Column::Commits, height.to_be_bytes(), commit.encode_to_vec());
    batch.put(Column::Results, height.to_be_bytes(), results.0.encode_to_vec());
    let transactions = block.data.as_ref().map_or(&[][..], |data| &data.txs);
    for (index, transaction) in transactions.iter().enumerate() {
        let place = place(height, index as u32);
        batch.put(Column::Transactions, &Sha256::digest(transaction)[..], place);
    }
    let mut found = Found::new();
    for (index, result) in results.0.tx_results.iter().enumerate() {
        find_attributes(&mut found, &result.events, index as u32);
    }
    find_attributes(&mut found, &results.0.events, OF_BLOCK);
    for ((kind, key, value), indexes) in found {
        let row = [&event_prefix(&format!("{kind}.{key}"), value)[..], &height.to_be_bytes()].concat();
        batch.put(Column::Events, row, indexes);
    }
    if next.validators != tip.validators {
        batch.put(Column::Engine, with_height(VALIDATORS, next.height), json(&save(&next.validators)));
    }
    if next.limits != tip.limits {
        let limits = (next.limits.block_bytes_max, next.limits.block_gas_max);
        batch.put(Column::Engine, with_height(LIMITS, next.height), json(&limits));
    }
    batch.put(Column::Engine, TIP, json(&SavedTip::new(next, initial_height, proof_block_due)));
    batch
}

/// Index of a place that stands for the block's own events.
pub const OF_BLOCK: u32 = u32::MAX;

/// height ‖ index: where a transaction stands.
pub fn place(height: u64, index: u32) -> [u8; 12] {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&height.to_be_bytes());
    place[8..].copy_from_slice(&index.to_be_bytes());
    place
}

pub fn split_place(place: &[u8]) -> Option<(u64, u32)> {
    let (height, index) = place.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*height), u32::from_be_bytes(index.try_into().ok()?)))
}

/// Start of the index rows of one attribute value: type.key ‖ 00 ‖ SHA-256 of the value.
pub fn event_prefix(attribute: &str, value: &str) -> Vec<u8> {
    [attribute.as_bytes(), &[0], &Sha256::digest(value)[..]].concat()
}

/// Kind of event, attribute and value: where in the block they are, as integers of 4 bytes.
type Found<'a> = BTreeMap<(&'a str, &'a str, &'a str), Vec<u8>>;

fn find_attributes<'a>(found: &mut Found<'a>, events: &'a [Event], index: u32) {
    for event in events {
        for attribute in event.attributes.iter().filter(|attribute| attribute.index) {
            let name = (event.r#type.as_str(), attribute.key.as_str(), attribute.value.as_str());
            found.entry(name).or_default().extend_from_slice(&index.to_be_bytes());
        }
    }
}

/// The places that a row of the index of events tells: prefix ‖ height, with a u32 for each place in the block; in a folder of an
/// older program also prefix ‖ height ‖ index, with a 1.
pub fn event_places(row: &[u8], value: &[u8]) -> Vec<(u64, u32)> {
    if value == [1] {
        return row.last_chunk::<12>().and_then(|place| split_place(place)).into_iter().collect();
    }
    let Some(height) = row.last_chunk::<8>().map(|height| u64::from_be_bytes(*height)) else {
        return Vec::new();
    };
    let (indexes, _) = value.as_chunks::<4>();
    indexes.iter().map(|index| (height, u32::from_be_bytes(*index))).collect()
}

fn damaged(what: &str, error: impl std::fmt::Display) -> EngineError {
    EngineError::Damaged(format!("{what}: {error}"))
}

pub(crate) fn tip(view: &View) -> Result<SavedTip, EngineError> {
    let bytes = view.record(Column::Engine, TIP)?.ok_or_else(|| damaged("the tip", "it is missing"))?;
    serde_json::from_slice(&bytes).map_err(|error| damaged("the tip", error))
}

/// The genesis as it was given.
///
/// # Errors
/// [`EngineError::Store`].
pub fn genesis_json(view: &View) -> Result<Option<Vec<u8>>, EngineError> {
    Ok(view.record(Column::Engine, GENESIS)?)
}

/// Time and app hash of genesis.
///
/// # Errors
/// As [`block_at`].
pub fn genesis_start(view: &View) -> Result<Option<(UnixNanos, Vec<u8>)>, EngineError> {
    let Some(bytes) = view.record(Column::Engine, START)? else { return Ok(None) };
    let (time, app_hash) =
        serde_json::from_slice(&bytes).map_err(|error| damaged("the start of the chain", error))?;
    Ok(Some((UnixNanos(time), app_hash)))
}

fn message<M: Message + Default>(view: &View, column: Column, height: u64) -> Result<Option<M>, EngineError> {
    let Some(bytes) = view.record(column, &height.to_be_bytes())? else { return Ok(None) };
    M::decode(bytes.as_slice()).map(Some).map_err(|error| damaged("a record of the chain", error))
}

/// # Errors
/// [`EngineError::Store`], [`EngineError::Damaged`]; so for the other readers.
pub fn block_at(view: &View, height: u64) -> Result<Option<Block>, EngineError> {
    message(view, Column::Blocks, height)
}

/// The commit for the block of `height`.
///
/// # Errors
/// As [`block_at`].
pub fn commit_at(view: &View, height: u64) -> Result<Option<Commit>, EngineError> {
    message(view, Column::Commits, height)
}

/// # Errors
/// As [`block_at`].
pub fn results_at(view: &View, height: u64) -> Result<Option<Results>, EngineError> {
    Ok(message(view, Column::Results, height)?.map(Results))
}

/// Where a transaction stands.
///
/// # Errors
/// As [`block_at`].
pub fn transaction_place(view: &View, hash: &TxHash) -> Result<Option<(u64, u32)>, EngineError> {
    Ok(view.record(Column::Transactions, hash)?.as_deref().and_then(split_place))
}

/// The newest entry of a history at or below `height`.
fn history<T: for<'a> Deserialize<'a>>(
    view: &View,
    prefix: &[u8],
    height: u64,
) -> Result<Option<T>, EngineError> {
    let (mut found, limit) = (None, with_height(prefix, height));
    view.records(Column::Engine, prefix, true, |key, value| {
        if *key > limit[..] {
            return true;
        }
        found = Some(serde_json::from_slice(value));
        false
    })?;
    found.transpose().map_err(|error| damaged("a history of the chain", error))
}

/// The set that signs `height`: of the newest block's two successors too.
///
/// # Errors
/// As [`block_at`].
pub fn validators_at(view: &View, height: u64) -> Result<Option<Validators>, EngineError> {
    let tip = tip(view)?;
    if height == tip.height + 1 {
        return Ok(Some(load(&tip.next_validators)));
    }
    Ok(history::<Vec<SavedValidator>>(view, VALIDATORS, height)?.map(|saved| load(&saved)))
}

/// Limits in force for `height`.
///
/// # Errors
/// As [`block_at`].
pub fn limits_at(view: &View, height: u64) -> Result<Option<Limits>, EngineError> {
    let limits = history::<(i64, i64)>(view, LIMITS, height)?;
    Ok(limits.map(|(block_bytes_max, block_gas_max)| Limits { block_bytes_max, block_gas_max }))
}

/// First and newest height of the chain's blocks.
///
/// # Errors
/// As [`block_at`].
pub fn heights(view: &View) -> Result<(u64, u64), EngineError> {
    let tip = tip(view)?;
    Ok((tip.initial_height, tip.height - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_events_tell_their_places_and_so_do_older_ones() {
        let event = |value: &str| Event {
            r#type: "note".into(),
            attributes: vec![EventAttribute { key: "text".into(), value: value.into(), index: true }],
        };
        let (a, b) = ([event("a"), event("b")], [event("a")]);
        let mut found = Found::new();
        find_attributes(&mut found, &a, 0);
        find_attributes(&mut found, &b, 7);
        find_attributes(&mut found, &b, OF_BLOCK);
        let row = [&event_prefix("note.text", "a")[..], &9u64.to_be_bytes()].concat();
        let places = |name: &str| event_places(&row, &found[&("note", "text", name)]);
        assert_eq!(places("a"), [(9, 0), (9, 7), (9, OF_BLOCK)]);
        assert_eq!(places("b"), [(9, 0)]);
        let older = [&event_prefix("note.text", "a")[..], &place(9, 7)].concat();
        assert_eq!(event_places(&older, &[1]), [(9, 7)]);
    }
}
