//! What the published client does over REST (section 3.12), decoded as strictly as it decodes: it pushes to the signed
//! route, pulls from the older ones and checks what it gets.

use axum::body::Body;
use axum::http::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use stateset_fixtures::{Agent, Recipient, plain_event, resign, sealed_event, stream};
use ves::event::plain_hash;
use ves::json::canonicalize;
use ves::{AgentId, CommandId, Digest, Envelope, EventId, KeyId, Payload, StreamKey};

use crate::world::{INGEST, World, query};

/// Each rejection has one text: two of the three names are a repeated field, and the answer can't be decoded.
#[derive(Debug, Deserialize)]
struct Rejection {
    event_id: EventId,
    #[serde(alias = "message", alias = "error")]
    reason: String,
    code: Option<String>,
    retryable: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    event_id: EventId,
    sequence_number: u64,
    receipt_hash: Digest,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    events_accepted: u64,
    events_rejected: u64,
    head_sequence: u64,
    #[serde(default)]
    rejections: Vec<Rejection>,
    #[serde(default)]
    receipts: Vec<Receipt>,
}

/// Exactly the members that the client names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PulledEnvelope {
    event_id: EventId,
    entity_type: String,
    entity_id: String,
    event_type: String,
    payload: Box<RawValue>,
    payload_plain_hash: String,
    agent_signature: String,
    source_agent_id: AgentId,
    agent_key_id: u32,
    created_at: String,
    sequence_number: u64,
    command_id: Option<CommandId>,
    base_version: Option<u64>,
    kernel: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pulled {
    envelope: PulledEnvelope,
    sequenced_at: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Pulled>,
    head_sequence: Option<u64>,
    has_more: Option<bool>,
    next_sequence: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatestCommitment {
    batch_id: String,
    #[serde(rename = "previous_batch_id")]
    _previous_batch_id: Option<String>,
    state_root: Option<String>,
    sequence_end: Option<u64>,
    signer_id: Option<String>,
    signature_scheme: Option<String>,
    signer_public_key: Option<String>,
    signature: Option<String>,
    issued_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Head {
    head_sequence: u64,
    state_root: Option<String>,
    latest_commitment: Option<LatestCommitment>,
}

struct Client<'w> {
    world: &'w World,
    key: String,
    agent: Agent,
    stream: StreamKey,
}

impl Client<'_> {
    /// A key that starts with `ss_` goes into `x-api-key`.
    async fn call<T: DeserializeOwned>(&self, method: &str, path: &str, body: String) -> T {
        let request = Request::builder().method(method).uri(path).header("x-api-key", &self.key);
        let request = request.header("content-type", "application/json").body(Body::from(body));
        let answer = self.world.send(request.expect("a request")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_str(answer.text()).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
    }

    async fn push(&self, events: &[Value]) -> Pushed {
        let body = json!({"agentId": self.agent.agent_id, "events": events});
        self.call("POST", INGEST, body.to_string()).await
    }

    async fn pull(&self, cursor: u64, limit: usize) -> Page {
        let path = format!("/api/v1/events?{}&from={}&limit={limit}", query(&self.stream), cursor + 1);
        self.call("GET", &path, String::new()).await
    }

    async fn head(&self) -> Head {
        self.call("GET", &format!("/api/v1/head?{}", query(&self.stream)), String::new()).await
    }

    /// An event with all that the client attaches, and its JSON as the client writes it: no `0x`, chrono's time.
    fn event(&self, n: u64) -> (Envelope<'static>, Value) {
        let mut event = plain_event(&self.agent, &self.stream, n);
        event.created_at = format!("2026-01-02T03:04:05.{n:09}+00:00").into();
        event.command_id = Some(CommandId::from_bytes([n as u8; 16]));
        event.base_version = Some(0);
        event.kernel = Some(format!("{{\"name\":\"sync\",\"step\":{n}}}").into());
        let event = resign(event, &self.agent);
        let Payload::Plain(payload) = &event.payload else { panic!("in clear") };
        let payload: Value = serde_json::from_str(payload).expect("JSON");
        let json = json!({
            "ves_version": 1,
            "event_id": event.event_id,
            "tenant_id": event.stream.tenant_id,
            "store_id": event.stream.store_id,
            "source_agent_id": event.source_agent_id,
            "agent_key_id": event.agent_key_id,
            "entity_type": event.entity_type,
            "entity_id": event.entity_id,
            "event_type": event.event_type,
            "created_at": event.created_at,
            "payload_kind": 0,
            "payload": payload,
            "payload_plain_hash": event.payload_plain_hash,
            "payload_cipher_hash": event.payload_cipher_hash,
            "agent_signature": ves::hex::encode(&event.agent_signature),
            "command_id": event.command_id,
            "base_version": event.base_version,
            "kernel": {"step": n, "name": "sync"},
        });
        (event, json)
    }

    /// What the client checks of each event, from the answer alone and the names it knows.
    fn check(&self, pulled: &Pulled) -> Envelope<'static> {
        let e = &pulled.envelope;
        let payload = canonicalize(e.payload.get()).expect("JSON").into_owned();
        let claimed: Digest = e.payload_plain_hash.parse().expect("a hash");
        assert_eq!(plain_hash(&payload), claimed, "the payload hashes to payload_plain_hash");
        let event = Envelope {
            event_id: e.event_id,
            stream: self.stream,
            source_agent_id: e.source_agent_id,
            agent_key_id: KeyId(e.agent_key_id),
            entity_type: e.entity_type.clone().into(),
            entity_id: e.entity_id.clone().into(),
            event_type: e.event_type.clone().into(),
            created_at: e.created_at.clone().into(),
            payload: Payload::Plain(payload.into()),
            payload_plain_hash: claimed,
            payload_cipher_hash: Digest::ZERO,
            agent_signature: ves::hex::decode_lenient(&e.agent_signature).expect("a signature"),
            command_id: e.command_id,
            base_version: e.base_version,
            kernel: e.kernel.as_ref().map(|kernel| ves::json::to_canonical(kernel).expect("JSON").into()),
            ml_dsa_65_signature: None,
        };
        let key = ves::PublicKey::from_bytes(&self.agent.public_key()).expect("a key");
        assert!(key.verify(&event.signing_hash().0, &event.agent_signature), "the signed text came back");
        assert!(ves::TimestampMs::parse_rfc3339(&pulled.sequenced_at).is_some());
        event
    }
}

async fn client(world: &World) -> Client<'_> {
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    world.register(&agent).await;
    let key = world.mint(&agent, json!({})).await;
    Client { world, key, agent, stream }
}

#[tokio::test]
async fn what_the_client_pushed_it_pulls_and_verifies() {
    let world = World::new().await;
    let client = client(&world).await;
    let health: Value = client.call("GET", "/health", String::new()).await;
    assert_eq!(health["status"], "healthy");
    let (events, texts): (Vec<_>, Vec<_>) = (1..=5).map(|n| client.event(n)).unzip();
    let pushed = client.push(&texts).await;
    assert_eq!((pushed.events_accepted, pushed.events_rejected, pushed.head_sequence), (5, 0, 5));
    let receipts: Vec<_> = pushed.receipts.iter().map(|r| (r.event_id, r.sequence_number)).collect();
    assert_eq!(receipts, events.iter().map(|e| e.event_id).zip(1..).collect::<Vec<_>>());
    // The receipt hash is the client's handle: the same event again has the same one.
    let again = client.push(&texts[..1]).await;
    assert_eq!((again.events_accepted, again.receipts[0].receipt_hash), (0, pushed.receipts[0].receipt_hash));

    let (mut cursor, mut pulled) = (0, Vec::new());
    loop {
        let page = client.pull(cursor, 2).await;
        assert_eq!(page.head_sequence, Some(5));
        for event in &page.events {
            cursor += 1;
            assert_eq!(event.envelope.sequence_number, cursor);
            pulled.push(client.check(event));
        }
        assert_eq!(page.next_sequence, Some(cursor + 1));
        if page.has_more != Some(true) {
            break;
        }
    }
    assert_eq!(pulled, events, "every member came back, kernel among them");
    assert!(client.pull(cursor, 2).await.events.is_empty());
}

#[tokio::test]
async fn the_client_decodes_rejections() {
    let world = World::new().await;
    let client = client(&world).await;
    let (_, good) = client.event(1);
    let (_, mut forged) = client.event(2);
    forged["payload"] = json!({"n": 3});
    let (_, mut late) = client.event(3);
    late["base_version"] = json!(7);
    let (_, mut unsigned) = client.event(4);
    unsigned["agent_signature"] = json!("00".repeat(64));
    let (_, mut unknown) = client.event(5);
    unknown["agent_key_id"] = json!(9);
    let pushed = client.push(&[good, forged.clone(), late, unsigned, unknown]).await;
    assert_eq!((pushed.events_accepted, pushed.events_rejected), (1, 4));
    let said: Vec<_> = pushed
        .rejections
        .iter()
        .map(|r| (r.reason.as_str(), r.code.as_deref().unwrap(), r.retryable.unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("invalid_payload_hash", "invalid_payload_hash", false),
            ("version_conflict: expected 7, actual 0", "version_conflict", false),
            ("invalid_signature", "invalid_signature", false),
            ("agent_key_invalid: not found", "agent_key_invalid", true),
        ]
    );
    assert_eq!(json!(pushed.rejections[0].event_id), forged["event_id"]);
}

#[tokio::test]
async fn the_client_reads_the_head() {
    let world = World::new().await;
    let client = client(&world).await;
    let head = client.head().await;
    assert_eq!((head.head_sequence, head.latest_commitment.is_some()), (0, false));
    let texts: Vec<_> = (1..=3).map(|n| client.event(n).1).collect();
    client.push(&texts).await;
    let range = json!({
        "tenant_id": client.stream.tenant_id, "store_id": client.stream.store_id,
        "sequence_start": 1, "sequence_end": 3,
    });
    let made: Value = client.call("POST", "/api/v1/ves/commitments", range.to_string()).await;
    let head = client.head().await;
    assert_eq!((head.head_sequence, head.state_root.as_deref()), (3, made["new_state_root"].as_str()));
    let latest = head.latest_commitment.expect("a commitment");
    assert_eq!((Some(latest.batch_id.as_str()), latest.sequence_end), (made["batch_id"].as_str(), Some(3)));
    assert_eq!(latest.state_root, head.state_root);
    // The members of a signature come all or none.
    let signature = [
        latest.signer_id,
        latest.signature_scheme,
        latest.signer_public_key,
        latest.signature,
        latest.issued_at,
    ];
    assert!(signature.iter().all(Option::is_some) || signature.iter().all(Option::is_none), "{signature:?}");
}

/// The pull form has no place for a sealed payload: such an event comes whole, so that its reader can open it.
#[tokio::test]
async fn a_sealed_event_is_pulled_whole() {
    let world = World::new().await;
    let client = client(&world).await;
    let event = sealed_event(&client.agent, &client.stream, 1, &[Recipient::new(1)]);
    world.ingest(&client.agent, std::slice::from_ref(&event)).await;
    let page: Value =
        client.call("GET", &format!("/api/v1/events?{}", query(&client.stream)), String::new()).await;
    let envelope = page["events"][0]["envelope"].to_string();
    let read = ves::envelope::decode_text(&envelope, ves::hex::Format::Strict).expect("an envelope");
    assert_eq!(read, event);
}
