//! A server in memory that keeps the rules of a sequencer, and breaks the one it is told to break.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stateset_client::{ClientError, Identity};
use stateset_fixtures::{Agent, NOW, Recipient, Seed, sequencer_key, stream};
use stateset_sync::{Audience, Author, NewEvent, RawEvent, RawPage, Store, Transport};
use ves::checkpoint::Checkpoint;
use ves::directory::{DirectoryHead, DirectoryKey, KeyDirectory};
use ves::ed25519::{PublicKey, Signer};
use ves::keys::KeyStatus;
use ves::log::{LogTree, consistency_proof};
use ves::merkle::leaf_hash;
use ves::receipt::{Receipt, receipt_hash};
use ves::tiles::TileMap;
use ves::{
    AgentId, BatchId, Digest, Envelope, KeyProblem, Rejection, SequenceNumber, SequencerId, StreamKey,
    TenantId, TimestampMs,
};
use ves_wire::ingest::{IngestAnswer, Outcome, write_answer};
use ves_wire::policies::{GroupBody, GroupMemberBody, GroupRecipientBody, GroupWithKeys};
use ves_wire::{Hex, Rfc3339};

pub const SEQUENCER: SequencerId = SequencerId::from_bytes([7; 16]);

/// The one group, called buyers.
pub const GROUP: uuid::Uuid = uuid::Uuid::from_bytes([8; 16]);

/// What the server does that no honest one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    None,
    /// Every receipt of an answer names the number after its own.
    ReceiptNumber,
    /// Every receipt of an answer is for the number of the first, and signed.
    OneNumber,
    /// Receipts are signed by another key.
    ReceiptKey,
    /// A page leaves the event of this number out.
    Drop(u64),
    /// The server ends its stream here and says so everywhere.
    Truncate(u64),
    /// The payload of this event is another one, with its hash.
    Payload(u64),
    /// The agent's signature of this event is damaged; its receipt fits.
    Signature(u64),
    /// Directories are signed by another key.
    DirectoryKey,
    /// Directories are as old as this, in milliseconds.
    DirectoryAge(i64),
    /// Directories leave out that keys were revoked.
    DirectoryUnrevoked,
    /// An empty page although there is more.
    EmptyPage,
    /// A group names keys that no directory has.
    GroupKey,
    /// Checkpoints are signed by another key.
    CheckpointKey,
    /// Checkpoints say another size than was signed.
    CheckpointSize,
    /// Receipts name a key that nobody vouched for.
    ReceiptVersion,
    /// Directories do, and are signed by it.
    DirectoryVersion,
}

pub struct Server {
    pub stream: StreamKey,
    pub keys: Vec<Agent>,
    /// Who may open payloads.
    pub readers: Vec<Recipient>,
    /// Readers of the one group, by number of their keys.
    pub group: Vec<u32>,
    pub revoked: BTreeSet<AgentId>,
    pub events: Vec<(Envelope<'static>, Receipt)>,
    pub lie: Lie,
    /// The answer to a push is lost when this says so; the events are kept.
    pub lose: Option<Seed>,
    /// The answers to so many pushes are lost, though their events are kept.
    pub lose_answers: u64,
    /// Requests with more events, or with one of the entity `HUGE`, are refused whole.
    pub events_max: usize,
    /// Requests with more events never arrive: the connection is lost on the way.
    pub carried_max: usize,
    /// Every push is refused so, by its status and code.
    pub refuses: Option<(u16, &'static str)>,
    pub pushes: u64,
    pub now: TimestampMs,
    /// Sizes at which checkpoints were signed are multiples of this.
    pub batch: u64,
}

impl Server {
    pub fn new(keys: &[Agent]) -> Self {
        Self {
            stream: stream(1),
            keys: keys.to_vec(),
            readers: Vec::new(),
            group: Vec::new(),
            revoked: BTreeSet::new(),
            events: Vec::new(),
            lie: Lie::None,
            lose: None,
            lose_answers: 0,
            events_max: usize::MAX,
            carried_max: usize::MAX,
            refuses: None,
            pushes: 0,
            now: NOW,
            batch: 1,
        }
    }

    pub fn identity() -> Identity {
        let key = PublicKey::from_bytes(&sequencer_key(1).public_key()).expect("a good key");
        Identity { sequencer_id: SEQUENCER, key_version: 1, keys: BTreeMap::from([(1, key)]) }
    }

    /// Another agent writes directly.
    pub fn write(&mut self, event: Envelope<'static>) {
        assert!(matches!(self.admit(&event), Ok((_, false))), "an event that is taken");
    }

    fn version(&self, event: &Envelope<'_>) -> u64 {
        let same = |(other, _): &&(Envelope<'static>, Receipt)| {
            (&other.entity_type, &other.entity_id) == (&event.entity_type, &event.entity_id)
        };
        self.events.iter().filter(same).count() as u64
    }

    /// The receipt, and whether it is an old one.
    fn admit(&mut self, event: &Envelope<'_>) -> Result<(Receipt, bool), Rejection> {
        if let Some((kept, receipt)) = self.events.iter().find(|(kept, _)| kept.event_id == event.event_id) {
            return if kept == event {
                Ok((receipt.clone(), true))
            } else {
                Err(Rejection::DuplicateEventId)
            };
        }
        event.check_payload_hash()?;
        let key = self
            .keys
            .iter()
            .find(|key| (key.agent_id, key.key_id) == (event.source_agent_id, event.agent_key_id))
            .ok_or(Rejection::AgentKeyInvalid(KeyProblem::NotFound))?;
        let key = PublicKey::from_bytes(&key.public_key()).expect("a good key");
        if !key.verify(event.signing_hash().as_bytes(), &event.agent_signature) {
            return Err(Rejection::InvalidSignature);
        }
        let actual = self.version(event);
        if let Some(expected) = event.base_version
            && expected != actual
        {
            return Err(Rejection::VersionConflict { expected, actual });
        }
        let receipt = self.receipt(event, SequenceNumber(self.events.len() as u64 + 1));
        self.events.push((event.clone().into_owned(), receipt.clone()));
        Ok((receipt, false))
    }

    fn receipt(&self, event: &Envelope<'_>, number: SequenceNumber) -> Receipt {
        let mut receipt = Receipt {
            sequencer_id: SEQUENCER,
            stream: self.stream,
            event_id: event.event_id,
            sequence_number: number,
            sequenced_at: self.now,
            receipt_hash: receipt_hash(&self.stream, &event.event_id, number, &event.signing_hash()),
            signature: None,
            key_version: if self.lie == Lie::ReceiptVersion { 2 } else { 1 },
        };
        let key = sequencer_key(if self.lie == Lie::ReceiptKey { 2 } else { 1 });
        receipt.sign(&key).expect("signs");
        receipt
    }

    fn end(&self) -> u64 {
        match self.lie {
            Lie::Truncate(end) => end,
            _ => self.events.len() as u64,
        }
    }

    /// The log of the first `size` events, with its tiles.
    fn log(&self, size: u64) -> (LogTree, TileMap) {
        let (mut tree, mut tiles) = (LogTree::new(), TileMap::default());
        for (event, receipt) in &self.events[..size as usize] {
            let hash = event.signing_hash();
            let leaf = leaf_hash(&self.stream, receipt.sequence_number, &hash, &event.agent_signature);
            tiles.extend(tree.push(&leaf));
        }
        (tree, tiles)
    }
}

fn cut() -> ClientError {
    ClientError::Unreachable { url: "the server".to_owned(), problem: "reset".to_owned(), was_cut: true }
}

impl Transport for Server {
    fn push(&mut self, _: AgentId, events: &[Envelope<'_>]) -> Result<IngestAnswer, ClientError> {
        self.pushes += 1;
        let lost = || ClientError::Unreachable {
            url: "the server".to_owned(),
            problem: "cut".to_owned(),
            was_cut: false,
        };
        if events.len() > self.carried_max {
            return Err(cut());
        }
        if let Some((status, code)) = self.refuses {
            let (code, message) = (code.to_owned(), "no".to_owned());
            return Err(ClientError::Refused { status, code, message, request_id: None });
        }
        if events.len() > self.events_max || events.iter().any(|event| event.entity_id == "HUGE") {
            return Err(ClientError::Refused {
                status: 413,
                code: "PAYLOAD_TOO_LARGE".to_owned(),
                message: "too large".to_owned(),
                request_id: None,
            });
        }
        if self.lose.as_mut().is_some_and(|seed| seed.below(4) == 0) {
            return Err(lost());
        }
        let mut results: Vec<Result<(Receipt, bool), Rejection>> =
            events.iter().map(|event| self.admit(event)).collect();
        if self.lose.as_mut().is_some_and(|seed| seed.below(3) == 0) {
            return Err(lost());
        }
        if self.lose_answers > 0 {
            self.lose_answers -= 1;
            return Err(lost());
        }
        if self.lie == Lie::ReceiptNumber {
            for (receipt, _) in results.iter_mut().flatten() {
                receipt.sequence_number = SequenceNumber(receipt.sequence_number.get() + 1);
            }
        }
        if let (Lie::OneNumber, Some(Ok((first, _)))) = (self.lie, results.first()) {
            let number = first.sequence_number;
            for (event, (receipt, _)) in events.iter().zip(results.iter_mut().flatten()) {
                *receipt = self.receipt(event, number);
            }
        }
        let outcomes: Vec<Outcome<'_>> = events
            .iter()
            .zip(&results)
            .map(|(event, result)| match result {
                Ok((receipt, false)) => Outcome::Accepted(receipt),
                Ok((receipt, true)) => Outcome::Replayed(receipt),
                Err(rejection) => Outcome::Rejected { event_id: Some(event.event_id), rejection },
            })
            .collect();
        let head = SequenceNumber(self.events.len() as u64);
        let text = write_answer(BatchId::from_bytes([1; 16]), head, outcomes.iter().copied());
        Ok(serde_json::from_str(&text).expect("an answer"))
    }

    fn page(&mut self, _: &StreamKey, from: SequenceNumber, limit: usize) -> Result<RawPage, ClientError> {
        let end = self.end();
        let range = (from.get() as usize - 1).min(end as usize)..end as usize;
        let mut events = Vec::new();
        for (event, receipt) in self.events[range].iter().take(limit) {
            let (mut envelope, mut receipt) = (event.clone(), receipt.clone());
            let at = receipt.sequence_number;
            match self.lie {
                Lie::Drop(number) if at.get() == number => continue,
                Lie::Payload(number) if at.get() == number => {
                    envelope.payload = ves::Payload::Plain("{\"total\":0}".into());
                }
                Lie::Signature(number) if at.get() == number => {
                    envelope.agent_signature[3] ^= 1;
                    receipt = self.receipt(&envelope, at);
                }
                Lie::ReceiptKey | Lie::ReceiptVersion => receipt = self.receipt(&envelope, at),
                Lie::EmptyPage => continue,
                _ => {}
            }
            events.push(RawEvent { envelope, receipt: Some(receipt) });
        }
        if events.len() > self.carried_max {
            return Err(cut());
        }
        Ok(RawPage { events, head: SequenceNumber(end) })
    }

    fn checkpoint(&mut self, _: &StreamKey) -> Result<Option<String>, ClientError> {
        let size = self.end() / self.batch * self.batch;
        if size == 0 {
            return Ok(None);
        }
        let says = Checkpoint::for_stream(&self.stream, size, self.log(size).0.root());
        let key = sequencer_key(if self.lie == Lie::CheckpointKey { 2 } else { 1 });
        let text = says.sign(&SEQUENCER, &key).expect("signs");
        Ok(Some(match self.lie {
            Lie::CheckpointSize => text.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size + 1), 1),
            _ => text,
        }))
    }

    fn consistency(&mut self, _: &StreamKey, from: u64, to: u64) -> Result<Vec<Digest>, ClientError> {
        let (tree, tiles) = self.log(to);
        Ok(consistency_proof(&tree, from, to, &tiles).expect("a proof"))
    }

    fn directory(&mut self, _: &StreamKey, agent: &AgentId) -> Result<String, ClientError> {
        let is_revoked = self.revoked.contains(agent) && self.lie != Lie::DirectoryUnrevoked;
        let keys = self.keys.iter().filter(|key| key.agent_id == *agent).map(|key| {
            let status = if is_revoked { KeyStatus::Revoked } else { KeyStatus::Active };
            let revoked_at = is_revoked.then_some(self.now);
            DirectoryKey::from(&ves::AgentKey { status, revoked_at, ..key.registered_key() })
        });
        let age = if let Lie::DirectoryAge(age) = self.lie { age } else { 0 };
        let directory = KeyDirectory {
            tenant_id: self.stream.tenant_id,
            agent_id: *agent,
            sequencer_id: SEQUENCER,
            sequencer_key_version: if self.lie == Lie::DirectoryVersion { 2 } else { 1 },
            as_of: TimestampMs(self.now.0 - age),
            stream: Some(DirectoryHead {
                store_id: self.stream.store_id,
                head_sequence: SequenceNumber(self.events.len() as u64),
                state_root: Digest::ZERO,
            }),
            signing_keys: keys.collect(),
            encryption_keys: self
                .readers
                .iter()
                .filter(|reader| reader.agent_id == *agent)
                .map(|reader| DirectoryKey::from(&reader.registered_key(self.stream.tenant_id)))
                .collect(),
        };
        let key =
            sequencer_key(if matches!(self.lie, Lie::DirectoryKey | Lie::DirectoryVersion) { 2 } else { 1 });
        Ok(serde_json::to_string(&directory.sign(&key).expect("signs")).expect("JSON"))
    }

    fn group(&mut self, tenant: &TenantId, name: &str) -> Result<Option<GroupWithKeys>, ClientError> {
        if name != "buyers" && name != GROUP.to_string() {
            return Ok(None);
        }
        let inside = |reader: &&Recipient| self.group.contains(&reader.kid.0);
        let mut group = GroupWithKeys {
            group: GroupBody {
                group_id: GROUP,
                tenant_id: *tenant,
                name: "buyers".to_owned(),
                description: None,
                created_at: Rfc3339(NOW),
            },
            members: Vec::new(),
            recipients: Vec::new(),
        };
        for reader in self.readers.iter().filter(inside) {
            group.members.push(GroupMemberBody {
                agent_id: reader.agent_id,
                added_at: Rfc3339(NOW),
                current_keys: 1,
            });
            let forged = Recipient::new(99).public_key();
            let key = if self.lie == Lie::GroupKey { forged } else { reader.public_key() };
            group.recipients.push(GroupRecipientBody {
                agent_id: reader.agent_id,
                recipient_kid: reader.kid.0,
                key_algorithm: 2,
                public_key: Hex(key),
                public_key_bundle: None,
                valid_from: None,
                valid_to: None,
            });
        }
        Ok(Some(group))
    }
}

/// An agent with its file.
pub struct Client {
    pub folder: tempfile::TempDir,
    pub agent: Agent,
    pub store: Store,
}

impl Client {
    pub fn new(n: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let agent = Agent::new(&stream(1), n);
        let store = Store::open(&folder.path().join("sync.db"), stream(1), agent.agent_id).expect("opens");
        Self { folder, agent, store }
    }

    /// As after a crash: nothing but the file is left.
    pub fn reopen(&mut self) {
        self.store = self.another();
    }

    /// The same file, as another process has it.
    pub fn another(&self) -> Store {
        Store::open(&self.folder.path().join("sync.db"), stream(1), self.agent.agent_id).expect("opens")
    }

    pub fn author(&self) -> Author {
        let signer: Arc<dyn Signer> = Arc::new(self.agent.signing_key());
        Author { agent_id: self.agent.agent_id, key_id: self.agent.key_id, signer }
    }

    /// Appends orders `range`, one entity each.
    pub fn append(&mut self, range: std::ops::Range<u64>) {
        let events: Vec<NewEvent> = range.map(order).collect();
        let author = self.author();
        self.store.append_many(&author, &events, &Audience::default(), NOW).expect("appends");
    }
}

pub fn order(n: u64) -> NewEvent {
    event(&format!("ORD-{n:06}"), None, &format!("{{\"total\":{n}}}"))
}

/// An event of one entity, created at [`NOW`].
pub fn event(entity: &str, base_version: Option<u64>, payload: &str) -> NewEvent {
    NewEvent {
        entity_type: "order".to_owned(),
        entity_id: entity.to_owned(),
        event_type: "order.changed".to_owned(),
        payload: serde_json::value::RawValue::from_string(payload.to_owned()).expect("JSON"),
        event_id: None,
        created_at: None,
        command_id: None,
        base_version,
    }
}
