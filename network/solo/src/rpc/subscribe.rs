//! A WebSocket: the same methods, and subscriptions to new blocks and transactions.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};
use stateset_ledger_app::application::Application;
use tendermint_proto::v0_38::abci::Event;
use tokio::sync::broadcast::error::RecvError;

use super::params::Params;
use super::search::{Condition, Operator, parse};
use super::{RpcError, answer, answer_one, shapes};
use crate::engine::{Committed, hex};
use crate::node::Handle;

/// Subscriptions of one connection; more are refused.
const SUBSCRIPTIONS_MAX: usize = 32;

struct Subscription {
    /// Of the request; events bear it.
    id: Value,
    conditions: Vec<Condition>,
}

/// Attributes of an event by name, as `events` shows them.
type Attributes = BTreeMap<String, Vec<String>>;

pub(super) async fn converse<A: Application + 'static>(mut socket: WebSocket, node: Arc<Handle<A>>) {
    let mut blocks = node.blocks();
    let mut subscriptions: BTreeMap<String, Subscription> = BTreeMap::new();
    loop {
        let messages = tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => vec![asked(&node, &mut subscriptions, text.as_str()).await],
                Some(Ok(Message::Binary(bytes))) => {
                    vec![asked(&node, &mut subscriptions, &String::from_utf8_lossy(&bytes)).await]
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            block = blocks.recv() => match block {
                Ok(_) if subscriptions.is_empty() => continue,
                Ok(block) => told(&subscriptions, &block),
                // The listener is too slow: it must know that it missed blocks.
                Err(RecvError::Lagged(missed)) => {
                    let error = RpcError::internal(format!("{missed} blocks were missed: read more quickly"));
                    let lost = subscriptions.values().map(|sub| answer(sub.id.clone(), Err(error.clone()))).collect();
                    subscriptions.clear();
                    lost
                }
                Err(RecvError::Closed) => return,
            },
        };
        for message in messages {
            if socket.send(Message::Text(message.to_string().into())).await.is_err() {
                return;
            }
        }
    }
}

async fn asked<A: Application + 'static>(
    node: &Handle<A>,
    subscriptions: &mut BTreeMap<String, Subscription>,
    text: &str,
) -> Value {
    let request: Value = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(error) => return answer(Value::Null, Err(RpcError::parse(error))),
    };
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let params = Params::from_json(request.get("params"));
    let query = |params: Result<Params, RpcError>| {
        params?.text("query")?.ok_or_else(|| RpcError::params("query is missing"))
    };
    let result = match request.get("method").and_then(Value::as_str) {
        Some("subscribe") => query(params).and_then(|query| subscribe(subscriptions, id.clone(), query)),
        Some("unsubscribe") => query(params).and_then(|query| match subscriptions.remove(&query) {
            Some(_) => Ok(json!({})),
            None => Err(RpcError::internal("subscription not found")),
        }),
        Some("unsubscribe_all") => {
            subscriptions.clear();
            Ok(json!({}))
        }
        _ => return answer_one(node, request).await,
    };
    answer(id, result)
}

fn subscribe(
    subscriptions: &mut BTreeMap<String, Subscription>,
    id: Value,
    query: String,
) -> Result<Value, RpcError> {
    let conditions = parse(&query)?;
    if subscriptions.contains_key(&query) {
        return Err(RpcError::internal("already subscribed"));
    }
    if subscriptions.len() >= SUBSCRIPTIONS_MAX {
        return Err(RpcError::internal(format!(
            "a connection holds at most {SUBSCRIPTIONS_MAX} subscriptions"
        )));
    }
    subscriptions.insert(query, Subscription { id, conditions });
    Ok(json!({}))
}

/// What a block means to each subscription.
fn told(subscriptions: &BTreeMap<String, Subscription>, committed: &Committed) -> Vec<Value> {
    let mut happened = vec![new_block(committed)];
    happened.push((json!({ "type": "tendermint/event/NewBlockHeader", "value": header(committed) }), {
        let mut attributes = attributes("NewBlockHeader", &committed.results.0.events);
        attributes.insert("block.height".into(), vec![committed.height.to_string()]);
        attributes
    }));
    happened.extend(transactions(committed));
    let mut messages = Vec::new();
    for (data, attributes) in &happened {
        for (query, subscription) in subscriptions {
            if subscription.conditions.iter().all(|condition| holds(condition, attributes)) {
                let result = json!({ "query": query, "data": data, "events": attributes });
                messages.push(answer(subscription.id.clone(), Ok(result)));
            }
        }
    }
    messages
}

fn header(committed: &Committed) -> Value {
    let header = committed.block.header.as_ref().map(shapes::header);
    json!({ "header": header.and_then(Result::ok) })
}

fn new_block(committed: &Committed) -> (Value, Attributes) {
    let value = json!({
        "block": shapes::block(&committed.block).unwrap_or(Value::Null),
        "block_id": shapes::id(&committed.id),
        "result_finalize_block": shapes::results(&committed.results.0),
    });
    let mut attributes = attributes("NewBlock", &committed.results.0.events);
    attributes.insert("block.height".into(), vec![committed.height.to_string()]);
    (json!({ "type": "tendermint/event/NewBlock", "value": value }), attributes)
}

fn transactions(committed: &Committed) -> impl Iterator<Item = (Value, Attributes)> {
    use sha2::Digest;
    let txs = committed.block.data.iter().flat_map(|data| &data.txs);
    txs.zip(&committed.results.0.tx_results).enumerate().map(|(index, (tx, result))| {
        let value = json!({ "TxResult": {
            "height": committed.height.to_string(),
            "index": index,
            "tx": shapes::base64(tx),
            "result": shapes::tx_result(result),
        } });
        let mut attributes = attributes("Tx", &result.events);
        attributes.insert("tx.height".into(), vec![committed.height.to_string()]);
        attributes.insert("tx.hash".into(), vec![hex(&sha2::Sha256::digest(tx))]);
        (json!({ "type": "tendermint/event/Tx", "value": value }), attributes)
    })
}

fn attributes(kind: &str, events: &[Event]) -> Attributes {
    let mut attributes = Attributes::from([("tm.event".into(), vec![kind.into()])]);
    for event in events {
        for attribute in &event.attributes {
            let name = format!("{}.{}", event.r#type, attribute.key);
            attributes.entry(name).or_default().push(attribute.value.clone());
        }
    }
    attributes
}

fn holds(condition: &Condition, attributes: &Attributes) -> bool {
    let Some(values) = attributes.get(&condition.name) else { return false };
    let compare = |holds: fn(u64, u64) -> bool| {
        let numbers = values.iter().filter_map(|value| value.parse().ok());
        condition.value.parse().is_ok_and(|bound| numbers.into_iter().any(|value| holds(value, bound)))
    };
    match condition.operator {
        Operator::Exists => true,
        Operator::Equal => values.contains(&condition.value),
        Operator::Below => compare(|value, bound| value < bound),
        Operator::AtMost => compare(|value, bound| value <= bound),
        Operator::Above => compare(|value, bound| value > bound),
        Operator::AtLeast => compare(|value, bound| value >= bound),
    }
}
