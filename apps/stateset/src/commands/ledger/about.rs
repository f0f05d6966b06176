//! What a proven value means.

use serde_json::{Value, json};
use stateset_ledger_types::anchor::{AnchorBatch, AnchorHead};
use stateset_ledger_types::codec::Decode;
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::ids::TxId;
use stateset_ledger_types::notary::NotaryRecord;
use stateset_ledger_types::{Params, Substore};
use stateset_light::Proven;

use crate::error::printable;

/// For a program, null where nothing is known of such keys; and a sentence.
pub fn meaning(proven: &Proven) -> (Value, String) {
    let path = String::from_utf8_lossy(&proven.key.path).into_owned();
    let parts: Vec<&str> = path.split('/').collect();
    match (proven.key.substore, parts.as_slice()) {
        (Substore::Notary, ["tx", id]) => transaction(proven, id),
        (Substore::Notary, ["spent", key]) => spent(proven, key),
        (Substore::Entities, [id]) => entity(proven, id),
        (Substore::Anchor, [stream, "head"]) => head(proven, stream),
        (Substore::Anchor, [stream, batch]) => anchored(proven, stream, batch),
        (Substore::Gov, ["params"]) => match value::<Params>(proven) {
            Some(params) => (json!(params), format!("The parameters in force, hash {}", params.hash())),
            None => plain(proven),
        },
        _ => plain(proven),
    }
}

fn value<T: Decode>(proven: &Proven) -> Option<T> {
    proven.record().ok().flatten()
}

fn plain(proven: &Proven) -> (Value, String) {
    let held = if proven.value.is_some() { "holds a value at" } else { "holds nothing at" };
    (Value::Null, format!("The state of height {} {held} {}", proven.height, proven.key))
}

fn transaction(proven: &Proven, id: &str) -> (Value, String) {
    if proven.value.is_none() {
        let said = format!("Transaction {id} is NOT notarised at height {}", proven.height);
        return (json!({"kind": "transaction", "notarised": false}), said);
    }
    let Some(record) = value::<NotaryRecord>(proven) else { return plain(proven) };
    let mode = format!("{:?}", record.mode).to_lowercase();
    let inputs = match record.inputs {
        1 => "consumes 1 state".to_owned(),
        inputs => format!("consumes {inputs} states"),
    };
    let said = format!(
        "Transaction {id} is final: place {} of block {}, {mode}, {inputs}",
        record.index, record.height
    );
    let json = json!({"kind": "transaction", "notarised": true, "height": record.height, "index": record.index,
        "mode": mode, "inputs": record.inputs});
    (json, said)
}

fn spent(proven: &Proven, key: &str) -> (Value, String) {
    if proven.value.is_none() {
        let said = format!("The state with spent key {key} is not consumed at height {}", proven.height);
        return (json!({"kind": "spent", "consumed": false}), said);
    }
    let Some(by) = value::<TxId>(proven) else { return plain(proven) };
    let said = format!("The state with spent key {key} was consumed by transaction {by}");
    (json!({"kind": "spent", "consumed": true, "by": by}), said)
}

fn entity(proven: &Proven, id: &str) -> (Value, String) {
    if proven.value.is_none() {
        return (json!({"kind": "entity", "member": false}), format!("{id} is no member"));
    }
    let Some(entity) = value::<Entity>(proven) else { return plain(proven) };
    let said = format!("{id} is {}, {:?}", printable(&entity.name), entity.status);
    (json!({"kind": "entity", "member": true, "entity": entity}), said)
}

fn head(proven: &Proven, stream: &str) -> (Value, String) {
    let Some(head) = value::<AnchorHead>(proven) else {
        return (json!({"kind": "stream", "open": false}), format!("Stream {stream} is not open"));
    };
    let said = format!(
        "Stream {stream} is anchored up to event {}, in {} batches",
        head.next_sequence.saturating_sub(1),
        head.last_batch_no
    );
    (json!({"kind": "stream", "open": true, "head": head}), said)
}

fn anchored(proven: &Proven, stream: &str, batch: &str) -> (Value, String) {
    let Some(record) = value::<AnchorBatch>(proven) else {
        let said = format!("Batch {batch} of stream {stream} is not anchored at height {}", proven.height);
        return (json!({"kind": "anchor", "anchored": false}), said);
    };
    let said = format!(
        "Batch {batch} of stream {stream} is anchored: events {} to {}\n  events root  {}\n  state root   {}",
        record.sequence_start, record.sequence_end, record.events_root, record.new_state_root
    );
    (json!({"kind": "anchor", "anchored": true, "batch": record}), said)
}
