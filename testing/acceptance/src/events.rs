//! What the scenarios send, and what they see in a stream.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stateset_fixtures::{Agent, ingest_body, plain_event};
use ves::StreamKey;

use crate::Rest;

/// Registers the agent's signing key, with proof of possession.
pub fn register(rest: &Rest, agent: &Agent) -> Result<()> {
    let body = json!({
        "tenantId": agent.tenant_id,
        "agentId": agent.agent_id,
        "keyId": agent.key_id,
        "publicKey": ves::hex::encode(&agent.public_key()),
        "proofOfPossession": ves::hex::encode(&agent.possession_bound()),
    });
    rest.post_json("/api/v1/agents/keys", &body.to_string()).map(drop)
}

/// The body that ingests orders `first..first + count` of `stream`, signed by `agent`.
pub fn orders(agent: &Agent, stream: &StreamKey, first: u64, count: u64) -> String {
    let events: Vec<_> = (first..first + count).map(|n| plain_event(agent, stream, n)).collect();
    ingest_body(agent.agent_id, &events)
}

/// What identifies a receipt: event, number, hash, signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    pub event_id: String,
    pub sequence_number: u64,
    pub receipt_hash: String,
    pub signature: String,
}

/// Receipts of an ingest answer, in order. `None` unless the status is 200.
///
/// # Errors
/// An answer that rejects events, or one that is not of the promised form.
pub fn receipts(status: u16, answer: &str) -> Result<Option<Vec<Acknowledged>>> {
    if status != 200 {
        return Ok(None);
    }
    let answer: Value = serde_json::from_str(answer).context("an ingest answer that is no JSON")?;
    ensure!(answer["eventsRejected"] == 0, "events were rejected: {answer}");
    let receipts = answer["receipts"].as_array().map_or(&[][..], Vec::as_slice);
    receipts
        .iter()
        .map(|receipt| acknowledged(receipt).with_context(|| format!("a receipt: {receipt}")))
        .collect::<Result<_>>()
        .map(Some)
}

fn acknowledged(receipt: &Value) -> Option<Acknowledged> {
    let text = |name: &str| receipt[name].as_str().map(str::to_owned);
    Some(Acknowledged {
        event_id: text("eventId")?,
        sequence_number: receipt["sequenceNumber"].as_u64()?,
        receipt_hash: text("receiptHash")?,
        signature: text("sequencerSignature")?,
    })
}

/// The stream from number `from` on, read to its head: what each place holds.
///
/// # Errors
/// A gap, or a number that comes twice.
pub fn stored(rest: &Rest, stream: &StreamKey, from: u64) -> Result<Vec<Acknowledged>> {
    let (mut events, mut next) = (Vec::new(), from);
    loop {
        let StreamKey { tenant_id, store_id } = stream;
        let page: Value = rest.get_json(&format!(
            "/api/v1/ves/events?tenant_id={tenant_id}&store_id={store_id}&from={next}&limit=1000"
        ))?;
        for entry in page["events"].as_array().context("a page without events")? {
            let event = acknowledged(&entry["receipt"]).with_context(|| format!("an entry: {entry}"))?;
            ensure!(
                event.sequence_number == next,
                "number {next} is missing or taken twice: {}",
                event.sequence_number
            );
            ensure!(
                entry["envelope"]["event_id"] == event.event_id.as_str(),
                "the receipt of {next} is of another event"
            );
            events.push(event);
            next += 1;
        }
        if page["has_more"] != true {
            ensure!(
                page["head_sequence"] == next - 1,
                "the head is {} after {next} - 1 events",
                page["head_sequence"]
            );
            return Ok(events);
        }
    }
}
