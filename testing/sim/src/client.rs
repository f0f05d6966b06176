//! An agent with its key, its outbox and its bad habits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ves::ed25519::SigningKey;
use ves::keys::{AgentKey, KeyAlgorithm, KeyStatus};
use ves::{
    AgentId, CommandId, Digest, Envelope, EventId, KeyId, Payload, Rejection, StreamKey, TenantId,
    TimestampMs,
};

use crate::profile::Profile;
use crate::rng::Rng;
use crate::server::{Answer, EventResult, Request};

/// What is true of an event that a client sent, whatever the server makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing is wrong with it.
    Sound,
    /// The signature is not the key's.
    BadSignature,
    /// The payload is not the one hashed.
    BadHash,
    /// Well signed, but its id belongs to an event with other content that was acknowledged before.
    Forged,
}

/// Events kept for replays; older ones are left alone.
const ANSWERED_MAX: usize = 64;

pub struct Client {
    pub number: usize,
    pub agent: AgentId,
    tenant: TenantId,
    seed: [u8; 32],
    key_id: KeyId,
    signer: SigningKey,
    streams: Vec<StreamKey>,
    rng: Rng,
    made: u64,
    /// Sound events without a final answer; kept until there is one.
    pub outbox: BTreeMap<EventId, Envelope<'static>>,
    answered: Vec<Envelope<'static>>,
    commands: Vec<CommandId>,
    /// Events of each entity that this client knows of.
    versions: BTreeMap<(StreamKey, u8), u64>,
}

impl Client {
    pub fn new(number: usize, tenant: TenantId, streams: Vec<StreamKey>, mut rng: Rng) -> Self {
        let seed = rng.bytes();
        Self {
            number,
            agent: AgentId::random(rng.bytes()),
            tenant,
            seed,
            key_id: KeyId(1),
            signer: signing_key(seed, KeyId(1)),
            streams,
            rng,
            made: 0,
            outbox: BTreeMap::new(),
            answered: Vec::new(),
            commands: Vec::new(),
            versions: BTreeMap::new(),
        }
    }

    /// The record of the key that signs now.
    pub fn key(&self, now: TimestampMs) -> AgentKey {
        AgentKey {
            tenant_id: self.tenant,
            agent_id: self.agent,
            key_id: self.key_id,
            public_key: self.signer.public_key(),
            algorithm: KeyAlgorithm::Ed25519,
            ml_dsa_65: None,
            status: KeyStatus::Active,
            valid_from: None,
            valid_to: None,
            revoked_at: None,
            created_at: now,
            metadata: None,
        }
    }

    /// Signs with the next key from here on.
    pub fn rotate(&mut self) {
        self.key_id = KeyId(self.key_id.0 + 1);
        self.signer = signing_key(self.seed, self.key_id);
    }

    /// A few events of one stream: new ones, replays, retries and nonsense. Each with what is true of it.
    pub fn request(&mut self, number: u64, profile: &Profile) -> (Request, Vec<Kind>) {
        let stream = *self.rng.pick(&self.streams);
        let count = 1 + self.rng.below(profile.request_events_max);
        let (mut events, mut kinds) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (event, kind) = self.any_event(stream, profile);
            if self.rng.chance(profile.repeat_percent) {
                events.push(event.clone());
                kinds.push(kind);
            }
            events.push(event);
            kinds.push(kind);
        }
        (Request { number, client: self.number, stream, events }, kinds)
    }

    /// Everything of one stream that still waits for an answer.
    pub fn retry(&mut self, number: u64, events_max: usize) -> Option<Request> {
        let stream = self.outbox.values().next()?.stream;
        let waiting = self.outbox.values().filter(|event| event.stream == stream);
        let events = waiting.take(events_max).cloned().collect();
        Some(Request { number, client: self.number, stream, events })
    }

    fn any_event(&mut self, stream: StreamKey, profile: &Profile) -> (Envelope<'static>, Kind) {
        let old = |events: Vec<&Envelope<'static>>, rng: &mut Rng| {
            let of_stream: Vec<_> = events.into_iter().filter(|event| event.stream == stream).collect();
            (!of_stream.is_empty()).then(|| (*rng.pick(&of_stream)).clone())
        };
        let answered = old(self.answered.iter().collect(), &mut self.rng);
        let waiting = old(self.outbox.values().collect(), &mut self.rng);
        match (self.rng.weighted(&profile.event_weights), answered, waiting) {
            (Some(1), Some(event), _) | (Some(2), _, Some(event)) => (event, Kind::Sound),
            (Some(3), Some(event), _) => (self.forge(event), Kind::Forged),
            (Some(4), _, _) => {
                let mut event = self.new_event(stream);
                event.agent_signature[self.rng.below(64)] ^= 1 << self.rng.below(8);
                (event, Kind::BadSignature)
            }
            (Some(5), _, _) => {
                let mut event = self.new_event(stream);
                event.payload = Payload::Plain(Cow::Borrowed(r#"{"amount":1}"#));
                (event, Kind::BadHash)
            }
            _ => {
                let event = self.new_event(stream);
                self.outbox.insert(event.event_id, event.clone());
                (event, Kind::Sound)
            }
        }
    }

    fn new_event(&mut self, stream: StreamKey) -> Envelope<'static> {
        self.made += 1;
        let about = self.rng.below(4) as u8;
        let payload = format!(r#"{{"by":{},"n":{}}}"#, self.number, self.made);
        let command_id = match self.rng.below(10) {
            0..3 => {
                let command = CommandId::random(self.rng.bytes());
                self.commands.push(command);
                Some(command)
            }
            3 if !self.commands.is_empty() => Some(*self.rng.pick(&self.commands)),
            _ => None,
        };
        let known = self.versions.get(&(stream, about)).copied().unwrap_or(0);
        let base_version = self.rng.chance(20).then(|| known + self.rng.below(2) as u64);
        let event = Envelope {
            event_id: EventId::random(self.rng.bytes()),
            stream,
            source_agent_id: self.agent,
            agent_key_id: self.key_id,
            entity_type: Cow::Borrowed("order"),
            entity_id: Cow::Owned(format!("ORD-{about}")),
            event_type: Cow::Borrowed("order.created"),
            created_at: Cow::Borrowed("2025-12-20T17:51:10.243Z"),
            payload_plain_hash: ves::event::plain_hash(&payload),
            payload: Payload::Plain(Cow::Owned(payload)),
            payload_cipher_hash: Digest::ZERO,
            agent_signature: [0; 64],
            command_id,
            base_version,
            kernel: None,
            ml_dsa_65_signature: None,
        };
        self.signed(event)
    }

    /// Another event under the id of `event`: other content, or other unsigned members alone.
    fn forge(&mut self, mut event: Envelope<'static>) -> Envelope<'static> {
        if self.rng.chance(30) {
            event.base_version = Some(event.base_version.map_or(7, |version| version + 1));
            return event;
        }
        event.entity_id = Cow::Borrowed("ORD-forged");
        event.agent_key_id = self.key_id;
        self.signed(event)
    }

    fn signed(&self, mut event: Envelope<'static>) -> Envelope<'static> {
        event.agent_signature = self.signer.sign(event.signing_hash().as_bytes());
        event
    }

    /// Reads an answer that arrived.
    pub fn hear(&mut self, answer: &Answer) {
        for (event, result) in answer.request.events.iter().zip(&answer.results) {
            let is_final = match result {
                EventResult::Accepted(_) | EventResult::Replayed(_) => true,
                // Its neighbour of the same id was answered for both.
                EventResult::Rejected(Rejection::DuplicateEventId) => false,
                EventResult::Rejected(_) => {
                    self.outbox.remove(&event.event_id);
                    continue;
                }
            };
            if is_final && self.outbox.remove(&event.event_id).is_some() {
                self.count(event);
                self.answered.push(event.clone());
                if self.answered.len() > ANSWERED_MAX {
                    self.answered.remove(0);
                }
            }
        }
    }

    fn count(&mut self, event: &Envelope<'_>) {
        let about = event.entity_id.bytes().last().unwrap_or(b'0') - b'0';
        *self.versions.entry((event.stream, about)).or_insert(0) += 1;
    }
}

fn signing_key(mut seed: [u8; 32], key_id: KeyId) -> SigningKey {
    seed[0] ^= key_id.0 as u8;
    SigningKey::from_seed(seed)
}
