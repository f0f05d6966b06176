//! What must hold in every world. The checkers share no state with the server: they keep what clients and observers
//! were told, and read the log.

use std::collections::{BTreeMap, BTreeSet};

use stateset_event_log::StoredEvent;
use stateset_sequencer_engine::EntityKey;
use ves::checkpoint::SignedCheckpoint;
use ves::commitment::Commitment;
use ves::ed25519::PublicKey;
use ves::keys::{AgentKey, KeyStatus};
use ves::log::LogTree;
use ves::receipt::Receipt;
use ves::{
    AgentId, CommandId, Digest, Envelope, EventId, KeyId, Rejection, SequenceNumber, SequencerId, StreamKey,
    merkle,
};

use crate::client::Kind;
use crate::server::{Answer, BatchTiles, EventResult, Server, StreamTiles};

/// A broken promise, in words.
pub type Problem = String;

/// A sound event that was answered with a receipt.
struct Acknowledged {
    event: Envelope<'static>,
    receipt: Receipt,
}

pub struct Oracle {
    sequencer_id: SequencerId,
    key: PublicKey,
    /// What is true of each event sent; one id may stand for several.
    kinds: BTreeMap<(EventId, [u8; 64], Option<u64>), Kind>,
    acknowledged: BTreeMap<EventId, Acknowledged>,
    numbers: BTreeMap<(StreamKey, SequenceNumber), EventId>,
    /// Told "command used": an event of the log other than this one must carry it.
    used_commands: BTreeSet<(StreamKey, CommandId, EventId)>,
    /// Told that an entity has this many events; it has at least as many for ever.
    versions: BTreeMap<(StreamKey, String), u64>,
    /// Checkpoints that observers hold, by size.
    checkpoints: BTreeMap<StreamKey, BTreeMap<u64, Digest>>,
    /// Commitments that callers hold, by start.
    commitments: BTreeMap<(StreamKey, SequenceNumber), Commitment>,
    /// Signing keys as registered last, and those whose registration may or may not have happened.
    keys: BTreeMap<(AgentId, KeyId), AgentKey>,
    keys_in_doubt: BTreeMap<(AgentId, KeyId), AgentKey>,
    /// Agents that changed their key.
    pub rotated: BTreeSet<AgentId>,
}

fn ensure(holds: bool, problem: impl FnOnce() -> Problem) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(problem()) }
}

fn at<T, E: std::fmt::Display>(what: impl std::fmt::Display, result: Result<T, E>) -> Result<T, Problem> {
    result.map_err(|problem| format!("{what}: {problem}"))
}

/// The history of each entity is what a scan of the stream finds.
fn check_histories(server: &Server, stream: &StreamKey, events: &[StoredEvent]) -> Result<(), Problem> {
    let mut histories: BTreeMap<(String, String), Vec<SequenceNumber>> = BTreeMap::new();
    for stored in events {
        let (event, _) = at("record", stored.envelope())?;
        let entity = (event.entity_type.to_string(), event.entity_id.to_string());
        histories.entry(entity).or_default().push(stored.sequence_number);
    }
    for ((entity_type, entity_id), expected) in histories {
        let entity = EntityKey::of(&entity_type, &entity_id);
        let found = at("history", server.history(stream, &entity))?;
        ensure(found == expected, || {
            format!("the history of {entity_id} in {stream} is {found:?}, its events are {expected:?}")
        })?;
    }
    Ok(())
}

impl Oracle {
    pub fn new(sequencer_id: SequencerId, key: PublicKey) -> Self {
        Self {
            sequencer_id,
            key,
            kinds: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            numbers: BTreeMap::new(),
            used_commands: BTreeSet::new(),
            versions: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            commitments: BTreeMap::new(),
            keys: BTreeMap::new(),
            keys_in_doubt: BTreeMap::new(),
            rotated: BTreeSet::new(),
        }
    }

    pub fn acknowledged_len(&self) -> usize {
        self.acknowledged.len()
    }

    /// A key is about to be registered, replaced or revoked.
    pub fn registering(&mut self, key: &AgentKey) {
        self.keys_in_doubt.insert((key.agent_id, key.key_id), key.clone());
    }

    /// The server said that it has this key.
    pub fn registered(&mut self, key: AgentKey) {
        self.keys_in_doubt.remove(&(key.agent_id, key.key_id));
        self.keys.insert((key.agent_id, key.key_id), key);
    }

    /// Whether the key that signed this event is known to be revoked.
    pub fn is_key_revoked(&self, event: &Envelope<'_>) -> bool {
        let key = self.keys.get(&(event.source_agent_id, event.agent_key_id));
        key.is_some_and(|key| key.status == KeyStatus::Revoked)
    }

    /// Keys are as they were told.
    fn check_keys(&self, server: &Server) -> Result<(), Problem> {
        let stored = at("agent keys", server.reader().agent_keys())?;
        let stored: BTreeMap<_, _> =
            stored.into_iter().map(|key| ((key.agent_id, key.key_id), key)).collect();
        for (address, key) in &self.keys {
            let found = stored.get(address);
            let may_be = [Some(key), self.keys_in_doubt.get(address)];
            ensure(found.is_some() && may_be.contains(&found), || {
                format!("key {} of agent {}, registered, is gone or is another", address.1, address.0)
            })?;
        }
        Ok(())
    }

    /// An event is on its way.
    pub fn sent(&mut self, event: &Envelope<'_>, kind: Kind) {
        self.kinds.insert((event.event_id, event.agent_signature, event.base_version), kind);
    }

    /// The server answered; whether the answer arrives is another matter.
    pub fn answered(&mut self, answer: &Answer) -> Result<(), Problem> {
        let events = &answer.request.events;
        ensure(events.len() == answer.results.len(), || "an answer has another number of results".into())?;
        for (i, (event, result)) in events.iter().zip(&answer.results).enumerate() {
            let is_repeated = events[..i].iter().any(|earlier| earlier.event_id == event.event_id);
            let kind = self.kinds[&(event.event_id, event.agent_signature, event.base_version)];
            let told = match result {
                EventResult::Accepted(receipt) => self.accepted(event, receipt, kind, is_repeated, true),
                EventResult::Replayed(receipt) => self.accepted(event, receipt, kind, is_repeated, false),
                EventResult::Rejected(rejection) => self.rejected(event, rejection, kind, is_repeated),
            };
            at(format_args!("event {} (request {})", event.event_id, answer.request.number), told)?;
        }
        Ok(())
    }

    fn accepted(
        &mut self,
        event: &Envelope<'static>,
        receipt: &Receipt,
        kind: Kind,
        is_repeated: bool,
        is_new: bool,
    ) -> Result<(), Problem> {
        ensure(kind == Kind::Sound, || format!("{kind:?} and yet given number {}", receipt.sequence_number))?;
        ensure(!is_repeated, || "repeated in its request and yet given a receipt".into())?;
        ensure(receipt.stream == event.stream && receipt.event_id == event.event_id, || {
            "the receipt is for another event".into()
        })?;
        let n = receipt.sequence_number;
        let owner = *self.numbers.entry((event.stream, n)).or_insert(event.event_id);
        ensure(owner == event.event_id, || format!("number {n} was given to {owner} before"))?;
        match self.acknowledged.get(&event.event_id) {
            Some(_) if is_new => Err(format!("accepted a second time, at {n}")),
            Some(first) => ensure(first.receipt == *receipt, || {
                format!(
                    "the answer to a replay is not the first answer: {receipt:?}, first {:?}",
                    first.receipt
                )
            }),
            None => {
                at("receipt", receipt.verify(&event.signing_hash(), &self.key))?;
                let (event, receipt) = (event.clone(), receipt.clone());
                self.acknowledged.insert(event.event_id, Acknowledged { event, receipt });
                Ok(())
            }
        }
    }

    fn rejected(
        &mut self,
        event: &Envelope<'_>,
        rejection: &Rejection,
        kind: Kind,
        is_repeated: bool,
    ) -> Result<(), Problem> {
        let is_known = self.acknowledged.contains_key(&event.event_id);
        let why = match rejection {
            Rejection::DuplicateEventId => is_repeated || kind == Kind::Forged,
            _ if is_repeated => false,
            _ if kind == Kind::Forged || (kind == Kind::Sound && is_known) => false,
            Rejection::InvalidSignature => kind == Kind::BadSignature,
            Rejection::InvalidPayloadHash => kind == Kind::BadHash,
            Rejection::AgentKeyInvalid(_) => self.rotated.contains(&event.source_agent_id),
            Rejection::DuplicateCommandId => match event.command_id {
                Some(command) => {
                    self.used_commands.insert((event.stream, command, event.event_id));
                    kind == Kind::Sound
                }
                None => false,
            },
            Rejection::VersionConflict { expected, actual } => {
                let told = self.versions.entry((event.stream, event.entity_id.to_string())).or_insert(0);
                *told = (*told).max(*actual);
                kind == Kind::Sound && event.base_version == Some(*expected) && expected != actual
            }
            _ => false,
        };
        ensure(why, || format!("rejected without reason ({kind:?}, acknowledged: {is_known}): {rejection:?}"))
    }

    /// A caller holds this batch.
    pub fn committed(&mut self, batch: &Commitment) -> Result<(), Problem> {
        let place = (batch.stream, batch.sequence_start);
        let first = self.commitments.entry(place).or_insert_with(|| batch.clone());
        ensure(first == batch, || format!("the batch at {} of {} has changed", place.1, place.0))
    }

    /// An observer takes the newest checkpoint and asks for proof that it extends those seen before.
    pub fn observe(&mut self, server: &Server, stream: &StreamKey) -> Result<(), Problem> {
        let Some(text) = at("checkpoint", server.reader().checkpoint(stream, None))? else { return Ok(()) };
        let (size, root) = self.checkpoint(stream, &text)?;
        let seen = self.checkpoints.entry(*stream).or_default();
        let newest = seen.last_key_value().map_or(0, |(size, _)| *size);
        ensure(newest <= size, || {
            format!("the newest checkpoint of {stream} shrank from {newest} to {size}")
        })?;
        let tiles = StreamTiles(server.reader(), *stream);
        let tree = server.tree(stream).ok_or("a stream with a checkpoint has no tree")?;
        for (from, from_root) in [seen.first_key_value(), seen.last_key_value()].into_iter().flatten() {
            let proof = at("consistency proof", ves::log::consistency_proof(tree, *from, size, &tiles))?;
            let verdict = ves::log::verify_consistency(*from, size, from_root, &root, &proof);
            at(format_args!("checkpoint {size} of {stream} against {from}"), verdict)?;
        }
        let first = seen.entry(size).or_insert(root);
        ensure(*first == root, || format!("two checkpoints of size {size} of {stream} differ"))
    }

    fn checkpoint(&self, stream: &StreamKey, text: &str) -> Result<(u64, Digest), Problem> {
        let note = at("checkpoint", SignedCheckpoint::parse(text))?;
        let checkpoint = at("checkpoint", note.verify(&self.sequencer_id, &self.key))?;
        ensure(checkpoint.origin == ves::checkpoint::origin(stream), || {
            "a checkpoint of another stream".into()
        })?;
        Ok((checkpoint.size, checkpoint.root))
    }

    /// Everything that was promised, against all that the log holds.
    pub fn check_log(&self, server: &Server) -> Result<(), Problem> {
        self.check_keys(server)?;
        let streams = at("streams", server.reader().streams())?;
        let mut found = BTreeSet::new();
        for summary in &streams {
            let stream = summary.stream;
            let events = at("read", server.read(&stream, 1, summary.head.0))?;
            let leaves = self.check_events(server, &stream, &events, &mut found)?;
            check_histories(server, &stream, &events)?;
            let commitments = self.check_commitments(server, &stream, &leaves)?;
            self.check_checkpoints(server, &stream, &leaves, &commitments)?;
            self.check_inclusion(server, &stream, &commitments)?;
        }
        let lost = self.acknowledged.iter().find(|(id, _)| !found.contains(*id));
        ensure(lost.is_none(), || {
            let (id, lost) = lost.expect("one was lost");
            format!("event {id}, acknowledged at {}, is not in the log", lost.receipt.sequence_number)
        })
    }

    /// Numbers without gaps, ids once, section 10 kept by each event at its place, and acknowledged events as acknowledged.
    fn check_events(
        &self,
        server: &Server,
        stream: &StreamKey,
        events: &[StoredEvent],
        found: &mut BTreeSet<EventId>,
    ) -> Result<Vec<Digest>, Problem> {
        let head = server.head(stream);
        ensure(events.len() as u64 == head.0, || {
            format!("{} events up to {head} in {stream}", events.len())
        })?;
        let (mut leaves, mut versions) = (Vec::with_capacity(events.len()), BTreeMap::new());
        let mut commands = BTreeMap::new();
        for (n, stored) in (1..).zip(events) {
            let (event, signing_hash) = at("record", stored.envelope())?;
            let place = || format!("{stream} at {n}: event {}", event.event_id);
            ensure(stored.sequence_number.0 == n, || {
                format!("{}: is numbered {}", place(), stored.sequence_number)
            })?;
            ensure(event.stream == *stream, || format!("{}: belongs to {}", place(), event.stream))?;
            ensure(event.signing_hash() == signing_hash, || {
                format!("{}: has another signing hash", place())
            })?;
            ensure(found.insert(event.event_id), || format!("{}: stands twice", place()))?;
            if let Some(command) = event.command_id {
                let first = commands.insert(command, event.event_id);
                ensure(first.is_none(), || format!("{}: its command was used", place()))?;
            }
            let version = versions.entry(event.entity_id.to_string()).or_insert(0u64);
            let expected = event.base_version.unwrap_or(*version);
            ensure(expected == *version, || format!("{}: base {expected}, version {version}", place()))?;
            *version += 1;
            let kind = self.kinds[&(event.event_id, event.agent_signature, event.base_version)];
            ensure(kind == Kind::Sound, || format!("{}: is {kind:?}", place()))?;
            if let Some(told) = self.acknowledged.get(&event.event_id) {
                ensure(told.event == event, || format!("{}: is not what was acknowledged", place()))?;
                let receipt = &told.receipt;
                let same =
                    (receipt.sequence_number, receipt.sequenced_at, receipt.signature, receipt.key_version)
                        == (
                            stored.sequence_number,
                            stored.sequenced_at,
                            stored.receipt_signature,
                            stored.key_version,
                        );
                ensure(same, || format!("{}: was acknowledged as {receipt:?}", place()))?;
            }
            leaves.push(at("leaf", stored.leaf_hash())?);
        }
        for (_, command, event) in self.used_commands.iter().filter(|(of, ..)| of == stream) {
            let holder = commands.get(command);
            ensure(holder.is_some_and(|holder| holder != event), || {
                format!("event {event} of {stream} was told that command {command} is used, by {holder:?}")
            })?;
        }
        for ((_, entity), told) in self.versions.iter().filter(|((of, _), _)| of == stream) {
            let version = versions.get(entity).copied().unwrap_or(0);
            ensure(*told <= version, || format!("{entity} of {stream} was told at {told}, is at {version}"))?;
        }
        Ok(leaves)
    }

    /// Batches lie end to end from 1, their state roots chain, their Merkle roots are those of the stored events.
    fn check_commitments(
        &self,
        server: &Server,
        stream: &StreamKey,
        leaves: &[Digest],
    ) -> Result<Vec<Commitment>, Problem> {
        let batches = at("commitments", server.reader().commitments(stream, SequenceNumber(1), usize::MAX))?;
        let mut previous = None;
        for batch in &batches {
            let name = format!("batch {}..={} of {stream}", batch.sequence_start, batch.sequence_end);
            at(&name, batch.check())?;
            at(&name, batch.follows(previous))?;
            let range = batch.sequence_start.0 as usize - 1..batch.sequence_end.0 as usize;
            let of = leaves.get(range).ok_or_else(|| format!("{name}: reaches beyond the log"))?;
            ensure(merkle::root(of) == batch.merkle_root, || {
                format!("{name}: another root than its events")
            })?;
            if let Some(told) = self.commitments.get(&(*stream, batch.sequence_start)) {
                ensure(told == batch, || format!("{name}: is not the batch told before"))?;
            }
            previous = Some(batch);
        }
        let end = previous.map_or(0, |batch| batch.sequence_end.0);
        let lost = self.commitments.keys().find(|(of, start)| of == stream && start.0 > end);
        ensure(lost.is_none(), || format!("a batch of {stream} that was told is gone: {lost:?}"))?;
        ensure(end == server.committed_end(stream).0, || {
            format!("{stream}: the engine's last batch is another")
        })?;
        Ok(batches)
    }

    /// One root for each size: checkpoints in the log and in observers' hands are those of the stored events.
    fn check_checkpoints(
        &self,
        server: &Server,
        stream: &StreamKey,
        leaves: &[Digest],
        batches: &[Commitment],
    ) -> Result<(), Problem> {
        let mut tree = LogTree::new();
        let mut roots = BTreeMap::from([(0, tree.root())]);
        for leaf in leaves {
            tree.push(leaf);
            roots.insert(tree.size(), tree.root());
        }
        let kept = server.tree(stream);
        ensure(kept == Some(&tree), || format!("the tree of {stream} is not that of its events"))?;
        for batch in batches {
            let text = at("checkpoint", server.reader().checkpoint(stream, Some(batch.sequence_end.0)))?;
            let text = text.ok_or_else(|| format!("{stream}: no checkpoint for {}", batch.sequence_end))?;
            let (size, root) = self.checkpoint(stream, &text)?;
            ensure(size == batch.sequence_end.0 && roots.get(&size) == Some(&root), || {
                format!("checkpoint {size} of {stream} is not of its events")
            })?;
        }
        let seen = self.checkpoints.get(stream).into_iter().flatten();
        for (size, root) in seen {
            ensure(roots.get(size) == Some(root), || {
                format!("{stream} no longer has the checkpoint {size} seen")
            })?;
        }
        Ok(())
    }

    /// Who holds a receipt can show the event in the batch and in the log: with the event as the client has it.
    fn check_inclusion(
        &self,
        server: &Server,
        stream: &StreamKey,
        batches: &[Commitment],
    ) -> Result<(), Problem> {
        let Some(last) = batches.last() else { return Ok(()) };
        let text = at("checkpoint", server.reader().checkpoint(stream, None))?
            .ok_or("batches without checkpoint")?;
        let (size, root) = self.checkpoint(stream, &text)?;
        let tree = server.tree(stream).ok_or("batches without a tree")?;
        for told in self.acknowledged.values().filter(|told| told.event.stream == *stream) {
            let n = told.receipt.sequence_number;
            if n > last.sequence_end {
                continue;
            }
            let event = &told.event;
            let leaf = merkle::leaf_hash(stream, n, &event.signing_hash(), &event.agent_signature);
            let place = format!("receipt {n} of {stream}");
            let batch = at(&place, server.reader().commitment_of(stream, n))?;
            let batch = batch.ok_or_else(|| format!("{place}: no batch holds it"))?;
            let tiles = BatchTiles(server.reader(), batch.batch_id);
            let (count, index) = (u64::from(batch.leaf_count), n.0 - batch.sequence_start.0);
            let proof = at(&place, ves::tiles::batch_inclusion(count, index, &tiles))?;
            at(&place, merkle::verify_inclusion(&leaf, &batch.merkle_root, Some(count), &proof))?;
            let tiles = StreamTiles(server.reader(), *stream);
            let path = at(&place, ves::log::inclusion_proof(tree, n.0 - 1, size, &tiles))?;
            at(&place, ves::log::verify_log_inclusion(&leaf, n.0 - 1, size, &root, &path))?;
        }
        Ok(())
    }
}
