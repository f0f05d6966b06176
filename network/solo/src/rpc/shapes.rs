//! Shapes of CometBFT 0.38 in JSON: integers of 64 bits as strings, hashes in upper-case hexadecimal, bytes in base64.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use tendermint_proto::v0_38::abci::{Event, ExecTxResult, ResponseFinalizeBlock};
use tendermint_proto::v0_38::types::{Block, BlockId, Commit, Header};

use super::RpcError;
use crate::block::{Limits, UnixNanos, Validator, Validators, data_proof};
use crate::engine::hex;

pub(super) fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

pub(super) fn id(id: &BlockId) -> Value {
    let parts = id.part_set_header.clone().unwrap_or_default();
    json!({ "hash": hex(&id.hash), "parts": { "total": parts.total, "hash": hex(&parts.hash) } })
}

fn of_message(message: &impl serde::Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(message).map_err(RpcError::internal)
}

pub(super) fn header(header: &Header) -> Result<Value, RpcError> {
    of_message(header)
}

pub(super) fn commit(commit: &Commit) -> Result<Value, RpcError> {
    of_message(commit)
}

pub(super) fn block(block: &Block) -> Result<Value, RpcError> {
    let txs: Vec<_> = block.data.iter().flat_map(|data| &data.txs).map(|tx| base64(tx)).collect();
    Ok(json!({
        "header": header(block.header.as_ref().ok_or_else(|| RpcError::internal("a block without header"))?)?,
        "data": { "txs": txs },
        "evidence": { "evidence": [] },
        "last_commit": block.last_commit.as_ref().map(commit).transpose()?,
    }))
}

/// RFC 3339 with nanoseconds, as the protobuf library writes it.
pub(super) fn time(time: UnixNanos) -> Result<Value, RpcError> {
    let header = Header { time: Some(time.timestamp()), ..Header::default() };
    Ok(of_message(&header)?["time"].take())
}

pub(super) fn public_key(key: &[u8; 32]) -> Value {
    json!({ "type": "tendermint/PubKeyEd25519", "value": base64(key) })
}

pub(super) fn validator(validator: &Validator) -> Value {
    json!({
        "address": hex(&validator.address()),
        "pub_key": public_key(&validator.public_key),
        "voting_power": validator.power.to_string(),
        "proposer_priority": "0",
    })
}

pub(super) fn genesis_validators(validators: &Validators) -> Value {
    let one = |v: &Validator| {
        json!({
            "address": hex(&v.address()),
            "pub_key": public_key(&v.public_key),
            "power": v.power.to_string(),
            "name": "",
        })
    };
    validators.as_slice().iter().map(one).collect()
}

fn event(event: &Event) -> Value {
    let attribute = |a: &tendermint_proto::v0_38::abci::EventAttribute| json!({ "key": a.key, "value": a.value, "index": a.index });
    json!({ "type": event.r#type, "attributes": event.attributes.iter().map(attribute).collect::<Vec<_>>() })
}

pub(super) fn tx_result(result: &ExecTxResult) -> Value {
    json!({
        "code": result.code,
        "data": if result.data.is_empty() { Value::Null } else { base64(&result.data).into() },
        "log": result.log,
        "info": result.info,
        "gas_wanted": result.gas_wanted.to_string(),
        "gas_used": result.gas_used.to_string(),
        "events": result.events.iter().map(event).collect::<Vec<_>>(),
        "codespace": result.codespace,
    })
}

/// That a transaction stands in its block: `TxProof`.
pub(super) fn tx_proof(txs: &[Vec<u8>], index: u32) -> Option<Value> {
    let (at, total) = (usize::try_from(index).ok()?, txs.len().to_string());
    let proof = data_proof(txs, at)?;
    let aunts: Vec<_> = proof.aunts.iter().map(|aunt| base64(aunt)).collect();
    Some(json!({
        "root_hash": hex(&proof.root),
        "data": base64(txs.get(at)?),
        "proof": { "total": total, "index": index.to_string(), "leaf_hash": base64(&proof.leaf), "aunts": aunts },
    }))
}

/// The fields that `block_results` and the event of a new block share.
pub(super) fn results(results: &ResponseFinalizeBlock) -> Value {
    use tendermint_proto::v0_38::crypto::public_key::Sum;
    let update = |update: &tendermint_proto::v0_38::abci::ValidatorUpdate| {
        let key = match update.pub_key.as_ref().and_then(|key| key.sum.as_ref()) {
            Some(Sum::Ed25519(key) | Sum::Secp256k1(key)) => base64(key),
            None => String::new(),
        };
        json!({
            "pub_key": { "Sum": { "type": "tendermint.crypto.PublicKey_Ed25519", "value": { "ed25519": key } } },
            "power": update.power.to_string(),
        })
    };
    json!({
        "events": results.events.iter().map(event).collect::<Vec<_>>(),
        "tx_results": results.tx_results.iter().map(tx_result).collect::<Vec<_>>(),
        "validator_updates": results.validator_updates.iter().map(update).collect::<Vec<_>>(),
        "consensus_param_updates": null,
        "app_hash": base64(&results.app_hash),
    })
}

/// Only the limits of blocks are ours; the rest stands for evidence, which one validator never makes.
pub(super) fn consensus_params(limits: &Limits, app_version: u64) -> Value {
    json!({
        "block": { "max_bytes": limits.block_bytes_max.to_string(), "max_gas": limits.block_gas_max.to_string() },
        "evidence": {
            "max_age_num_blocks": "100000",
            "max_age_duration": "1209600000000000",
            "max_bytes": "1048576",
        },
        "validator": { "pub_key_types": ["ed25519"] },
        "version": { "app": app_version.to_string() },
        "abci": { "vote_extensions_enable_height": "0" },
    })
}
