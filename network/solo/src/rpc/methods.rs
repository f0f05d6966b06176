//! The methods. Each is a function from parameters to the JSON of CometBFT.

use serde_json::{Value, json};
use stateset_ledger_app::application::Application;
use stateset_ledger_app::state::Place;
use stateset_ledger_store::{StateProof, StoreError, Substore, View};
use tendermint_proto::v0_38::types::Block;

use super::params::Params;
use super::{RpcError, VERSION, search, shapes};
use crate::block::UnixNanos;
use crate::engine::hex;
use crate::node::{Handle, SubmitError};
use crate::{MempoolError, records};

pub(super) const NAMES: &[&str] = &[
    "abci_info",
    "abci_query",
    "block",
    "block_results",
    "block_search",
    "broadcast_tx_sync",
    "commit",
    "consensus_params",
    "genesis",
    "header",
    "health",
    "status",
    "subscribe",
    "tx",
    "tx_search",
    "unsubscribe",
    "validators",
];

pub(super) fn call<A: Application>(
    node: &Handle<A>,
    method: &str,
    params: &Params,
) -> Result<Value, RpcError> {
    match method {
        "health" => Ok(json!({})),
        "status" => status(node),
        "header" => header(node, params),
        "commit" => commit(node, params),
        "validators" => validators(node, params),
        "block" => block(node, params),
        "block_results" => block_results(node, params),
        "block_search" => search::blocks(&node.view()?, params),
        "tx" => search::transaction(&node.view()?, params),
        "tx_search" => search::transactions(&node.view()?, params),
        "abci_info" => abci_info(node),
        "abci_query" => abci_query(node, params),
        "broadcast_tx_sync" => broadcast_tx_sync(node, params),
        "consensus_params" => consensus_params(node, params),
        "genesis" => genesis(node),
        "subscribe" | "unsubscribe" | "unsubscribe_all" => {
            Err(RpcError::request(format!("{method} needs a WebSocket; connect to /websocket")))
        }
        _ => Err(RpcError::method(method)),
    }
}

/// The height asked for, or the newest, if a block of it is stored.
fn height(view: &View, params: &Params) -> Result<u64, RpcError> {
    let (first, latest) = records::heights(view)?;
    let height = match params.number("height")? {
        None | Some(0) => latest,
        Some(height) => height,
    };
    if height < first || height > latest {
        return Err(RpcError::internal(format!(
            "height {height} has no block; there are those from {first} to {latest}"
        )));
    }
    Ok(height)
}

pub(super) fn block_at(view: &View, height: u64) -> Result<Block, RpcError> {
    records::block_at(view, height)?
        .ok_or_else(|| RpcError::internal(format!("height {height} has no block")))
}

fn commit_at(view: &View, height: u64) -> Result<tendermint_proto::v0_38::types::Commit, RpcError> {
    records::commit_at(view, height)?
        .ok_or_else(|| RpcError::internal(format!("height {height} has no commit")))
}

fn status<A: Application>(node: &Handle<A>) -> Result<Value, RpcError> {
    let view = node.view()?;
    let (first, latest) = records::heights(&view)?;
    let side = |name: &str, height: u64| -> Result<Vec<(String, Value)>, RpcError> {
        // Before the first block there is nothing to show.
        let (hash, app_hash, time) = match records::block_at(&view, height)?.and_then(|block| block.header) {
            Some(header) => {
                let time = header.time.as_ref().and_then(UnixNanos::from_timestamp).unwrap_or(UnixNanos(0));
                (crate::block::header_hash(&header).to_vec(), header.app_hash, time)
            }
            None => (Vec::new(), Vec::new(), UnixNanos(0)),
        };
        Ok(vec![
            (format!("{name}_block_hash"), hex(&hash).into()),
            (format!("{name}_app_hash"), hex(&app_hash).into()),
            (format!("{name}_block_height"), height.to_string().into()),
            (format!("{name}_block_time"), shapes::time(time)?),
        ])
    };
    let mut sync: serde_json::Map<String, Value> = side("latest", latest)?.into_iter().collect();
    sync.extend(side("earliest", first)?);
    sync.insert("catching_up".into(), false.into());
    let validators = records::validators_at(&view, latest.max(first))?;
    let validator = validators.as_ref().and_then(|set| set.as_slice().first());
    let validator = validator.ok_or_else(|| RpcError::internal("no validator is known"))?;
    Ok(json!({
        "node_info": {
            "protocol_version": { "p2p": "8", "block": "11", "app": version(node, &view)?.to_string() },
            "id": hex(&validator.address()).to_lowercase(),
            "listen_addr": "tcp://127.0.0.1:0",
            "network": node.chain_id(),
            "version": VERSION,
            "channels": "",
            "moniker": "solo",
            "other": { "tx_index": "on", "rpc_address": "tcp://127.0.0.1:0" },
        },
        "sync_info": sync,
        "validator_info": {
            "address": hex(&validator.address()),
            "pub_key": shapes::public_key(&validator.public_key),
            "voting_power": validator.power.to_string(),
        },
    }))
}

/// Version of the rules after the state.
fn version<A: Application>(node: &Handle<A>, view: &View) -> Result<u64, RpcError> {
    node.application().app_version(view).map_err(RpcError::internal)
}

fn header<A: Application>(node: &Handle<A>, params: &Params) -> Result<Value, RpcError> {
    let view = node.view()?;
    let block = block_at(&view, height(&view, params)?)?;
    Ok(json!({ "header": shapes::block(&block)?["header"] }))
}

fn commit<A: Application>(node: &Handle<A>, params: &Params) -> Result<Value, RpcError> {
    let view = node.view()?;
    let height = height(&view, params)?;
    let (block, commit) = (block_at(&view, height)?, commit_at(&view, height)?);
    let signed = json!({ "header": shapes::block(&block)?["header"], "commit": shapes::commit(&commit)? });
    // The newest commit is not yet part of a block.
    let canonical = height < records::heights(&view)?.1;
    Ok(json!({ "signed_header": signed, "canonical": canonical }))
}

fn validators<A: Application>(node: &Handle<A>, params: &Params) -> Result<Value, RpcError> {
    let view = node.view()?;
    let (first, latest) = records::heights(&view)?;
    let height = params.number("height")?.filter(|height| *height > 0).unwrap_or(latest.max(first));
    // Sets are known two heights ahead.
    let found =
        if (first..=latest + 2).contains(&height) { records::validators_at(&view, height)? } else { None };
    let set =
        found.ok_or_else(|| RpcError::internal(format!("no validators are known for height {height}")))?;
    let shown: Vec<_> = set.as_slice().iter().map(shapes::validator).collect();
    let count = shown.len().to_string();
    Ok(json!({ "block_height": height.to_string(), "validators": shown, "count": count, "total": count }))
}

pub(super) fn block_json(view: &View, height: u64) -> Result<Value, RpcError> {
    let (block, commit) = (block_at(view, height)?, commit_at(view, height)?);
    let id = commit.block_id.as_ref().ok_or_else(|| RpcError::internal("a commit without a block id"))?;
    Ok(json!({ "block_id": shapes::id(id), "block": shapes::block(&block)? }))
}

fn block<A: Application>(node: &Handle<A>, params: &Params) -> Result<Value, RpcError> {
    let view = node.view()?;
    block_json(&view, height(&view, params)?)
}

fn block_results<A: Application>(node: &Handle<A>, params: &Params) -> Result<Value, RpcError> {
    let view = node.view()?;
    let height = height(&view, params)?;
    let results =
        records::results_at(&view, height)?.ok_or_else(|| RpcError::internal("no results are stored"))?;
    let mut shown = shapes::results(&results.0);
    Ok(json!({
        "height": height.to_string(),
        "txs_results": shown["tx_results"].take(),
        "finalize_block_events": shown["events"].take(),
        "validator_updates": shown["validator_updates"].take(),
        "consensus_param_updates": null,
        "app_hash": shown["app_hash"].take(),
    }))
}

fn abci_info<A: Application>(node: &Handle<A>) -> Result<Value, RpcError> {
    let (view, info) = (node.view()?, node.application().info());
    Ok(json!({ "response": {
        "data": info.data,
        "version": info.version,
        "app_version": version(node, &view)?.to_string(),
        "last_block_height": view.height().to_string(),
        "last_block_app_hash": shapes::base64(&view.app_hash()),
    } }))
}

/// `store/<substore>/key` reads the state itself, with a proof if one is asked for; other paths go to the application.
/// The height in the answer is that of the state; its proof leads to the header of the next height.
fn abci_query<A: Application>(node: &Handle<A>, params: &Params) -> Result<Value, RpcError> {
    let path = params.text("path")?.unwrap_or_default();
    let data = params.hex("data")?.unwrap_or_default();
    let prove = params.flag("prove")?;
    let view = match params.number("height")?.filter(|height| *height > 0) {
        None => node.view()?,
        Some(height) => match node.view_at(height) {
            Ok(view) => view,
            Err(error @ (StoreError::Pruned { .. } | StoreError::Future { .. })) => {
                return Ok(refused(height, &data, &error.to_string()));
            }
            Err(error) => return Err(error.into()),
        },
    };
    let (answer, place) = match substore_of(&path) {
        Some(Ok(substore)) if data.is_empty() => {
            return Ok(refused(
                view.height(),
                &data,
                &format!("path {path} needs a key of substore {substore} as data"),
            ));
        }
        Some(Ok(substore)) => (None, Some((substore, data.clone()))),
        Some(Err(problem)) => return Ok(refused(view.height(), &data, &problem)),
        None => {
            let answer =
                node.application().query(&view, view.height(), &path, &data).map_err(RpcError::internal)?;
            let place = answer.place.clone();
            (Some(answer), place)
        }
    };
    let proof = match &place {
        Some((substore, key)) if prove => Some(view.prove(*substore, key)?),
        _ => None,
    };
    let value = match (&answer, &place) {
        (Some(answer), _) => answer.value.clone(),
        (None, Some((substore, key))) => view.get(*substore, key)?.unwrap_or_default(),
        (None, None) => Vec::new(),
    };
    let (code, log) = answer.map_or((0, String::new()), |answer| (answer.code, answer.log));
    Ok(response(code, &log, place.as_ref(), &value, proof.as_ref(), view.height()))
}

fn response(
    code: u32,
    log: &str,
    place: Option<&Place>,
    value: &[u8],
    proof: Option<&StateProof>,
    height: u64,
) -> Value {
    let ops = proof.map(|proof| {
        let [key_proof, substore_proof] = proof.encoded();
        let op = |key: &[u8], data: &[u8]| json!({ "type": "ics23:jmt", "key": shapes::base64(key), "data": shapes::base64(data) });
        json!({ "ops": [op(&proof.key, &key_proof), op(proof.substore.name().as_bytes(), &substore_proof)] })
    });
    json!({ "response": {
        "code": code,
        "log": log,
        "info": "",
        "index": "0",
        "key": place.map(|(_, key)| shapes::base64(key)).unwrap_or_default(),
        "value": shapes::base64(value),
        "proofOps": ops,
        "height": height.to_string(),
        "codespace": if code == 0 { "" } else { records::CODESPACE },
    } })
}

/// NOT_FOUND of network.md 15: the state cannot answer this.
fn refused(height: u64, key: &[u8], log: &str) -> Value {
    let mut answer = response(26, log, None, &[], None, height);
    answer["response"]["key"] = shapes::base64(key).into();
    answer
}

/// The substore of a path `store/<name>/key`, with or without a slash before it.
fn substore_of(path: &str) -> Option<Result<Substore, String>> {
    let name = path.strip_prefix('/').unwrap_or(path).strip_prefix("store/")?.strip_suffix("/key")?;
    Some(Substore::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Substore::ALL.iter().map(|substore| substore.name()).collect();
        format!("no substore is called {name:?}; there are {}", names.join(", "))
    }))
}

fn broadcast_tx_sync<A: Application>(node: &Handle<A>, params: &Params) -> Result<Value, RpcError> {
    let tx = params.base64("tx")?.ok_or_else(|| RpcError::params("tx is missing"))?;
    match node.submit(&tx) {
        Ok((hash, result)) => Ok(json!({
            "code": result.code,
            "data": hex(&result.data),
            "log": result.log,
            "codespace": result.codespace,
            "hash": hex(&hash),
        })),
        // The words that clients of CometBFT look for.
        Err(SubmitError::Pool(MempoolError::Known)) => Err(RpcError::internal("tx already exists in cache")),
        Err(SubmitError::Pool(full)) => Err(RpcError::internal(format!("mempool is full: {full}"))),
        Err(error) => Err(RpcError::internal(error)),
    }
}

fn consensus_params<A: Application>(node: &Handle<A>, params: &Params) -> Result<Value, RpcError> {
    let view = node.view()?;
    let (first, latest) = records::heights(&view)?;
    let height = params.number("height")?.filter(|height| *height > 0).unwrap_or(latest.max(first));
    let limits = if height <= latest + 1 { records::limits_at(&view, height)? } else { None };
    let limits =
        limits.ok_or_else(|| RpcError::internal(format!("no parameters are known for height {height}")))?;
    // What the block's header says, or the next one's will.
    let made = if height <= latest { block_at(&view, height)?.header } else { None };
    let in_header = made.and_then(|header| header.version).map(|version| version.app);
    let params = shapes::consensus_params(&limits, in_header.map_or_else(|| version(node, &view), Ok)?);
    Ok(json!({ "block_height": height.to_string(), "consensus_params": params }))
}

fn genesis<A: Application>(node: &Handle<A>) -> Result<Value, RpcError> {
    let view = node.view()?;
    let (first, _) = records::heights(&view)?;
    let missing = || RpcError::internal("the genesis is not stored");
    let given = records::genesis_json(&view)?.ok_or_else(missing)?;
    let app_state: Value =
        serde_json::from_slice(&given).unwrap_or_else(|_| String::from_utf8_lossy(&given).into());
    let limits = records::limits_at(&view, first)?.ok_or_else(missing)?;
    let validators = records::validators_at(&view, first)?.ok_or_else(missing)?;
    let start = records::genesis_start(&view)?.ok_or_else(missing)?;
    Ok(json!({ "genesis": {
        "genesis_time": shapes::time(start.0)?,
        "chain_id": node.chain_id(),
        "initial_height": first.to_string(),
        "consensus_params": shapes::consensus_params(&limits, node.application().info().app_version),
        "validators": shapes::genesis_validators(&validators),
        "app_hash": hex(&start.1),
        "app_state": app_state,
    } }))
}
