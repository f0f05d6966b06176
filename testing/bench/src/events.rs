//! What is sent: signed orders, rendered as complete HTTP requests before the clock starts.

use std::sync::Arc;

use rayon::prelude::*;
use stateset_fixtures::{Agent, Seed, stream};
use stateset_keystore::{Ed25519Signer, KeyName};
use ves::ed25519::Signer;
use ves::event::plain_hash;
use ves::{Digest, Envelope, EventId, Payload, StreamKey};

/// Streams that the many-stream figures write to.
pub const STREAMS: u64 = 16;
/// Number of the stream that is filled to a million events.
pub const LONG_STREAM: u64 = 100;
/// Writers of all events of a figure together.
pub const AGENTS: u64 = 32;
/// The API key of every request: the bootstrap key of the benchmark's own servers.
pub const API_KEY: &str = "ss_bench000local-only-key-of-a-loopback-server";

/// The API key of callers whose events nobody can accept.
pub const FLOOD_KEY: &str = "ss_bench000flood-only-key-of-a-loopback-server";

/// One writer with its unlocked key.
#[derive(Clone)]
pub struct Writer {
    pub agent: Agent,
    signer: Arc<Ed25519Signer>,
}

impl Writer {
    pub fn new(stream: &StreamKey, n: u64) -> Self {
        let agent = Agent::new(stream, n);
        let name: KeyName = "bench".parse().expect("a valid key name");
        let signer = Ed25519Signer::from_seed(&agent.secret_seed(), &name).expect("any 32 bytes are a seed");
        Self { agent, signer: Arc::new(signer) }
    }

    /// Signs as a receipt is signed.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signer.sign(message).expect("a key in memory signs")
    }

    /// Order number `n`: about 200 bytes of payload, canonical, in clear.
    pub fn event(&self, stream: &StreamKey, n: u64) -> Envelope<'static> {
        let payload = order(n);
        let hash = plain_hash(&payload);
        let salt = u64::from_be_bytes(stream.store_id.as_bytes()[..8].try_into().expect("8 of 16 bytes"));
        let mut event = Envelope {
            event_id: EventId::random(Seed::new("bench event", n ^ salt).bytes()),
            stream: *stream,
            source_agent_id: self.agent.agent_id,
            agent_key_id: self.agent.key_id,
            entity_type: "order".into(),
            entity_id: format!("ORD-{n:08}").into(),
            event_type: "order.created".into(),
            created_at: "2025-12-20T17:51:10.243Z".into(),
            payload_plain_hash: hash,
            payload_cipher_hash: Digest::ZERO,
            payload: Payload::Plain(payload.into()),
            agent_signature: [0; 64],
            command_id: None,
            base_version: None,
            kernel: None,
            ml_dsa_65_signature: None,
        };
        event.agent_signature = self.signer.sign(&event.signing_hash().0).expect("a key in memory signs");
        event
    }
}

/// A new order of three lines, as the states of orders take it.
fn order(n: u64) -> String {
    let mut seed = Seed::new("bench order", n);
    let customer = seed.below(10_000);
    let mut text = format!(r#"{{"currency":"EUR","customer_id":"C-{customer:04}","line_items":["#);
    let mut total = 0;
    for line in 0..3 {
        let (cents, quantity, product) = (100 + seed.below(9_900), 1 + seed.below(9), seed.below(10_000));
        total += cents * quantity;
        let comma = if line == 0 { "" } else { "," };
        let (whole, cents) = (cents / 100, cents % 100);
        text.push_str(&format!(
            r#"{comma}{{"product_id":"W-{product:04}","quantity":{quantity},"unit_price":"{whole}.{cents:02}"}}"#
        ));
    }
    text.push_str(&format!(r#"],"total_amount":"{}.{:02}"}}"#, total / 100, total % 100));
    text
}

/// The writers of stream `n` when `streams` streams share [`AGENTS`] writers.
pub fn writers(n: u64, streams: u64) -> (StreamKey, Vec<Writer>) {
    let key = stream(n);
    (key, (1..=(AGENTS / streams).max(1)).map(|agent| Writer::new(&key, agent)).collect())
}

/// Every agent whose key the benchmark's servers know: stream 1 and the long stream are also written to alone.
pub fn all_agents() -> Vec<Agent> {
    let streams =
        [(1, AGENTS), (LONG_STREAM, AGENTS)].into_iter().chain((2..=STREAMS).map(|n| (n, AGENTS / STREAMS)));
    let agents = streams.flat_map(|(n, agents)| {
        let key = stream(n);
        (1..=agents).map(move |agent| Agent::new(&key, agent))
    });
    agents.collect()
}

/// A complete request that ingests these events of one writer.
pub fn ingest_request(writer: &Writer, events: &[Envelope<'_>]) -> Box<[u8]> {
    let body = stateset_fixtures::ingest_body(writer.agent.agent_id, events);
    post("/api/v1/ves/events/ingest", body.as_bytes())
}

/// A complete `POST` of JSON.
pub fn post(path: &str, body: &[u8]) -> Box<[u8]> {
    post_as(API_KEY, path, body)
}

/// A complete `POST` of JSON by the holder of another key.
pub fn post_as(api_key: &str, path: &str, body: &[u8]) -> Box<[u8]> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {api_key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request.into()
}

/// A complete `GET`.
pub fn get(path_and_query: &str) -> Box<[u8]> {
    format!("GET {path_and_query} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {API_KEY}\r\n\r\n")
        .into_bytes()
        .into()
}

/// What each of several clients sends, in order.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub clients: u64,
    /// Numbers of the streams are `first_stream..first_stream + streams`; clients take them in turn.
    pub first_stream: u64,
    pub streams: u64,
    pub requests_per_client: u64,
    pub events_per_request: u64,
}

impl Plan {
    /// Builds the requests on all cores. `next` is the first unused event number and moves on, so that no event is
    /// ever sent twice.
    pub fn build(&self, next: &mut u64) -> Vec<Vec<Box<[u8]>>> {
        let first = *next;
        *next += self.clients * self.requests_per_client * self.events_per_request;
        let groups: Vec<_> =
            (0..self.streams).map(|i| writers(self.first_stream + i, self.streams)).collect();
        let clients_per_stream = self.clients.div_ceil(self.streams);
        (0..self.clients)
            .map(|client| {
                let (key, writers) = &groups[(client % self.streams) as usize];
                let of_client = first + client * self.requests_per_client * self.events_per_request;
                (0..self.requests_per_client)
                    .into_par_iter()
                    .map(|request| {
                        // Clients of one stream are at different writers, so that all of them write.
                        let turn = request * clients_per_stream + client / self.streams;
                        let writer = &writers[(turn % writers.len() as u64) as usize];
                        let from = of_client + request * self.events_per_request;
                        let events: Vec<_> =
                            (from..from + self.events_per_request).map(|n| writer.event(key, n)).collect();
                        ingest_request(writer, &events)
                    })
                    .collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_uses_every_number_once_and_all_writers() {
        let plan =
            Plan { clients: 4, first_stream: 1, streams: 2, requests_per_client: 16, events_per_request: 1 };
        let mut next = 7;
        let requests = plan.build(&mut next);
        assert_eq!(next, 7 + 64);
        let all: std::collections::BTreeSet<_> = requests.iter().flatten().collect();
        assert_eq!(all.len(), 64);
    }

    #[test]
    fn events_are_signed_by_a_registered_key() {
        let (key, writers) = writers(1, STREAMS);
        let event = writers[1].event(&key, 9);
        let public = ves::ed25519::PublicKey::from_bytes(&writers[1].agent.public_key()).unwrap();
        assert!(public.verify(&event.signing_hash().0, &event.agent_signature));
        assert!(all_agents().iter().any(|agent| agent.agent_id == event.source_agent_id));
    }
}
