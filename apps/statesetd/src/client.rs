//! `statesetd status`, `tx` and `query`: a node asked through its RPC.

use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use stateset_abci::comet::{Rpc, RpcError};
use stateset_ledger_types::Code;
use stateset_light::Proven;

use crate::args::{NodeArgs, QueryArgs, TxArgs};
use crate::decoded;
use crate::output::{Failure, Output};
use crate::trust::Held;

/// How long `--wait` waits for a block.
const BLOCK_TIME_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// ALREADY_NOTARISED: the request stands, from an earlier time.
const ALREADY_NOTARISED: u64 = 16;

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        let cure = "check that it runs, and the address: of --node, or of the node that was joined";
        match error {
            RpcError::Unreachable { .. } => Self::failed("NODE_UNREACHABLE", format!("{error}: {cure}")),
            RpcError::Refused { .. } => Self::failed("NODE_REFUSED", error),
            RpcError::Unreadable(_) => Self::failed("NODE_UNREADABLE", error),
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Bytes of JSON-RPC: base 64, or null where there are none.
fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().and_then(|text| Base64::decode_vec(text).ok()).unwrap_or_default()
}

/// Where a node stands, by its word.
#[derive(Debug, Clone, serde::Serialize)]
pub struct NodeStatus {
    pub chain_id: String,
    pub node_id: String,
    pub engine: String,
    /// 0: it has no block yet.
    pub height: u64,
    /// Of the last block; none before the first.
    pub app_hash: Option<String>,
    pub time: Option<String>,
    pub catching_up: bool,
    pub voting_power: String,
}

impl NodeStatus {
    /// Reads the answer of the RPC's `status`.
    fn read(status: &Value) -> Self {
        let (node, sync) = (&status["node_info"], &status["sync_info"]);
        let height = text(sync, "latest_block_height").parse().unwrap_or_default();
        // What a node says of a block that it does not have, as the year 1970, is no answer.
        let of_block = |name: &str| Some(text(sync, name).to_owned()).filter(|_| height > 0);
        Self {
            chain_id: text(node, "network").to_owned(),
            node_id: text(node, "id").to_owned(),
            engine: text(node, "version").to_owned(),
            height,
            app_hash: of_block("latest_app_hash").map(|hash| hash.to_lowercase()),
            time: of_block("latest_block_time"),
            catching_up: sync["catching_up"].as_bool().unwrap_or_default(),
            voting_power: text(&status["validator_info"], "voting_power").to_owned(),
        }
    }

    /// What a person is told of the last block.
    pub fn of_block<'a>(&self, value: &'a Option<String>) -> &'a str {
        value.as_deref().unwrap_or("there is no block yet")
    }
}

/// Asks a node where it stands.
pub fn status_of(rpc: &Rpc) -> Result<NodeStatus, Failure> {
    Ok(NodeStatus::read(&rpc.call("status", &json!({}))?))
}

pub fn status(args: &NodeArgs, output: Output) -> Result<(), Failure> {
    let status = status_of(&Rpc::new(&args.node))?;
    let behind = if status.catching_up { ", catching up" } else { "" };
    let NodeStatus { chain_id, height, node_id, engine, .. } = &status;
    let (app_hash, time) = (status.of_block(&status.app_hash), status.of_block(&status.time));
    output.result(
        &json!(status),
        &format!(
            "chain        {chain_id}\nheight       {height}{behind}\napp hash     {app_hash}\nblock time   {time}\n\
             node id      {node_id}\nengine       {engine}"
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

/// A refusal of the ledger, by its name (network.md 15).
pub fn refused(code: u64, log: &str) -> Failure {
    let known = u32::try_from(code).ok().and_then(Code::from_code);
    let name = known.map_or_else(|| "REFUSED".to_owned(), Code::name);
    // The log begins with the name.
    let log = log.strip_prefix(&name).map_or(log, |rest| rest.trim_start_matches(": "));
    Failure::failed(&name, format!("the ledger refuses with code {code}, {name}: {log}"))
}

pub fn query(args: &QueryArgs, output: Output) -> Result<(), Failure> {
    let data = ves::hex::decode_vec(&args.data)
        .map_err(|problem| Failure::input("HEX", format!("--data: {problem}")))?;
    if args.prove {
        return prove(args, output);
    }
    let params =
        json!({"path": args.path, "data": args.data, "height": args.height.to_string(), "prove": false});
    let answer = Rpc::new(&args.node.node).call("abci_query", &params)?["response"].take();
    let code = answer["code"].as_u64().unwrap_or_default();
    if code != 0 {
        return Err(refused(code, text(&answer, "log")));
    }
    let value = bytes(&answer["value"]);
    let decoded = if args.raw { None } else { decoded::answer(&args.path, &data, &value) };
    let (key, value) = (ves::hex::encode(&bytes(&answer["key"])), ves::hex::encode(&value));
    let height: u64 = text(&answer, "height").parse().unwrap_or_default();
    let mut said = json!({"height": height, "key": key, "value": value, "verified": false});
    let value = as_told(&mut said, decoded).unwrap_or(value);
    output.result(
        &said,
        &format!(
            "height    {height}\nvalue     {value}\nverified  no: the node's word; --prove asks for the proof"
        ),
    );
    Ok(())
}

/// Adds what a value says to what a program is told of it, and returns it for a person.
fn as_told(said: &mut Value, decoded: Option<Value>) -> Option<String> {
    let decoded = decoded?;
    let text = format!("{decoded:#}");
    said["decoded"] = decoded;
    Some(text)
}

/// `statesetd query --prove`: nothing is shown that was not verified.
fn prove(args: &QueryArgs, output: Output) -> Result<(), Failure> {
    let held = Held::of(&args.trust)?.ok_or_else(|| {
        let said = "a proof is verified against something that is trusted: name it with --trust FILE, --genesis FILE, or \
                    --validators HASH --chain-id CHAIN";
        Failure::input("NO_TRUST", said)
    })?;
    let rpc = Rpc::new(&args.node.node);
    let answer = held.ask(&rpc, &args.path, (args.height > 0).then_some(args.height))?;
    if let Some(file) = &args.output {
        let json = answer.certificate.to_json();
        std::fs::write(file, json).map_err(|error| Failure::io("write", file, &error))?;
    }
    let (mut value, mut text) = shown(&answer.proven, &held);
    let bytes = answer.proven.value.as_deref().filter(|_| !args.raw);
    let decoded = bytes.and_then(|bytes| decoded::record(&answer.proven.key, bytes));
    if let Some(told) = as_told(&mut value, decoded) {
        text.push_str(&format!("\n{told}"));
    }
    output.result(&value, &text);
    Ok(())
}

/// What was proven, by which header, and what was trusted: for a program and for a person.
pub fn shown(proven: &Proven, held: &Held) -> (Value, String) {
    let value = proven.value.as_deref().map(ves::hex::encode);
    let time = proven.header_time.to_rfc3339();
    let header = proven.height + 1;
    let json = json!({
        "verified": true, "height": proven.height, "key": proven.key.to_string(), "value": value,
        "header": {"height": header, "hash": proven.header_hash, "time": time,
            "validators_hash": proven.validators_hash},
        "trust": held.to_json(),
    });
    let text = format!(
        "key       {}\nheight    {}\nvalue     {}\nverified  yes\n  header  {header} of {time}, {}\n  signed  by more than \
         two thirds of validators {}\n  trust   {held}",
        proven.key,
        proven.height,
        value.as_deref().unwrap_or("absent"),
        proven.header_hash,
        proven.validators_hash,
    );
    (json, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_a_block_has_no_time_and_no_hash() {
        let sync = |height: &str| {
            json!({"node_info": {"network": "n-1"}, "sync_info": {"latest_block_height": height,
                "latest_block_time": "1970-01-01T00:00:00Z", "latest_app_hash": "AB"}})
        };
        let (before, after) = (NodeStatus::read(&sync("0")), NodeStatus::read(&sync("1")));
        assert_eq!((before.height, &before.time, &before.app_hash), (0, &None, &None));
        assert_eq!(before.of_block(&before.time), "there is no block yet");
        assert_eq!((after.height, after.of_block(&after.app_hash)), (1, "ab"));
    }
}
