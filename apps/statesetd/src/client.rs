//! `statesetd status`, `tx` and `query`: a node asked through its RPC.

use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use stateset_abci::comet::{Rpc, RpcError};

use crate::args::{NodeArgs, QueryArgs, TxArgs};
use crate::output::{Failure, Output};

/// How long `--wait` waits for a block.
const BLOCK_TIME_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// ALREADY_NOTARISED: the request stands, from an earlier time.
const ALREADY_NOTARISED: u64 = 16;

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        let code = match error {
            RpcError::Unreachable { .. } => "NODE_UNREACHABLE",
            RpcError::Refused { .. } => "NODE_REFUSED",
            RpcError::Unreadable(_) => "NODE_UNREADABLE",
        };
        Self::failed(code, error)
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Bytes of JSON-RPC: base 64, or null where there are none.
fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().and_then(|text| Base64::decode_vec(text).ok()).unwrap_or_default()
}

pub fn status(args: &NodeArgs, output: Output) -> Result<(), Failure> {
    let status = Rpc::new(&args.node).call("status", &json!({}))?;
    let (node, sync) = (&status["node_info"], &status["sync_info"]);
    let height: u64 = text(sync, "latest_block_height").parse().unwrap_or_default();
    let catching_up = sync["catching_up"].as_bool().unwrap_or_default();
    let app_hash = text(sync, "latest_app_hash").to_lowercase();
    output.result(
        &json!({"chain_id": text(node, "network"), "node_id": text(node, "id"), "engine": text(node, "version"),
            "height": height, "app_hash": app_hash, "time": text(sync, "latest_block_time"),
            "catching_up": catching_up, "voting_power": text(&status["validator_info"], "voting_power")}),
        &format!(
            "chain        {}\nheight       {height}{}\napp hash     {app_hash}\nblock time   {}\nnode id      {}\nengine       {}",
            text(node, "network"),
            if catching_up { ", catching up" } else { "" },
            text(sync, "latest_block_time"),
            text(node, "id"),
            text(node, "version"),
        ),
    );
    Ok(())
}

pub fn tx(args: &TxArgs, output: Output) -> Result<(), Failure> {
    let transaction = match (&args.hex, &args.file) {
        (Some(hex), _) => ves::hex::decode_vec(hex.trim())
            .map_err(|problem| Failure::input("HEX", format!("--hex: {problem}")))?,
        (None, Some(file)) => std::fs::read(file).map_err(|error| Failure::io("read", file, &error))?,
        (None, None) => return Err(Failure::input("USAGE", "name a file, or give the bytes with --hex")),
    };
    let rpc = Rpc::new(&args.node.node);
    let answer = rpc.call("broadcast_tx_sync", &json!({"tx": Base64::encode_string(&transaction)}))?;
    let hash = text(&answer, "hash").to_lowercase();
    let code = answer["code"].as_u64().unwrap_or_default();
    if code != 0 && code != ALREADY_NOTARISED {
        return Err(refused(code, text(&answer, "log")));
    }
    if !args.wait || code != 0 {
        let value = json!({"hash": hash, "code": code});
        output.result(&value, &format!("{hash} is in the pool of the node"));
        return Ok(());
    }
    let begun = Instant::now();
    let id = Base64::encode_string(&ves::hex::decode_vec(&hash).unwrap_or_default());
    let found = loop {
        match rpc.call("tx", &json!({"hash": id})) {
            Ok(found) => break found,
            // It says so while the transaction is in no block.
            Err(RpcError::Refused { .. }) if begun.elapsed() < BLOCK_TIME_MAX => std::thread::sleep(LOOK),
            Err(RpcError::Refused { .. }) => {
                let message = format!("{hash} is in no block after {BLOCK_TIME_MAX:?}; ask again later");
                return Err(Failure::failed("NOT_IN_A_BLOCK", message));
            }
            Err(other) => return Err(other.into()),
        }
    };
    let result = &found["tx_result"];
    let code = result["code"].as_u64().unwrap_or_default();
    if code != 0 && code != ALREADY_NOTARISED {
        return Err(refused(code, text(result, "log")));
    }
    let height: u64 = text(&found, "height").parse().unwrap_or_default();
    output.result(
        &json!({"hash": hash, "code": code, "height": height, "data": ves::hex::encode(&bytes(&result["data"]))}),
        &format!("{hash} stands in block {height}"),
    );
    Ok(())
}

fn refused(code: u64, log: &str) -> Failure {
    Failure::failed("REFUSED", format!("the ledger refuses with code {code}: {log}"))
}

pub fn query(args: &QueryArgs, output: Output) -> Result<(), Failure> {
    ves::hex::decode_vec(&args.data)
        .map_err(|problem| Failure::input("HEX", format!("--data: {problem}")))?;
    let params = json!({"path": args.path, "data": args.data, "height": args.height.to_string(),
        "prove": args.prove});
    let answer = Rpc::new(&args.node.node).call("abci_query", &params)?["response"].take();
    let code = answer["code"].as_u64().unwrap_or_default();
    let proof = &answer["proofOps"]["ops"];
    // An absent key is an answer when its absence is proven.
    if code != 0 && proof.is_null() {
        return Err(Failure::failed("REFUSED", format!("code {code}: {}", text(&answer, "log"))));
    }
    let (key, value) = (ves::hex::encode(&bytes(&answer["key"])), ves::hex::encode(&bytes(&answer["value"])));
    let height: u64 = text(&answer, "height").parse().unwrap_or_default();
    let mut said = format!("height  {height}\nvalue   {}", if value.is_empty() { "absent" } else { &value });
    if !proof.is_null() {
        said.push_str(&format!(
            "\nproof   {} operations, to the app hash in the header of height {}",
            proof.as_array().map_or(0, Vec::len),
            height + 1
        ));
    }
    output
        .result(&json!({"code": code, "height": height, "key": key, "value": value, "proof": proof}), &said);
    Ok(())
}
