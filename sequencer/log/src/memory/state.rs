//! What a journal adds up to.

use std::collections::BTreeMap;

use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey};
use ves::tiles::TileId;
use ves::{AgentId, BatchId, Digest, KeyId, RecipientKeyId, SequenceNumber, StreamKey, TenantId};

use super::entry::Entry;
use crate::document::{Document, DocumentChange, Table};
use crate::event_log::{ApiKeyRecord, RunInfo, SequencerKeyRecord, StoredEvent, StreamAppend};

pub(super) type Tiles = BTreeMap<TileId, Vec<Digest>>;

#[derive(Default)]
pub(super) struct Stream {
    pub number: u32,
    /// Event `n` at place `n - 1`.
    pub events: Vec<StoredEvent>,
    pub tiles: Tiles,
    /// By last number.
    pub batches: BTreeMap<SequenceNumber, BatchId>,
    pub checkpoints: BTreeMap<u64, String>,
}

#[derive(Default)]
pub(super) struct State {
    pub streams: BTreeMap<StreamKey, Stream>,
    pub batches: BTreeMap<BatchId, (Commitment, Tiles)>,
    pub agent_keys: BTreeMap<(TenantId, AgentId, KeyId), AgentKey>,
    pub encryption_keys: BTreeMap<(TenantId, RecipientKeyId), EncryptionKey>,
    pub api_keys: BTreeMap<Digest, ApiKeyRecord>,
    pub sequencer_keys: BTreeMap<u32, SequencerKeyRecord>,
    pub meta: BTreeMap<String, Vec<u8>>,
    pub runs: BTreeMap<u64, RunInfo>,
    pub run_pages: BTreeMap<(u64, u32), Vec<u8>>,
    pub last_run: u64,
    pub covered: BTreeMap<StreamKey, SequenceNumber>,
    pub documents: BTreeMap<(Table, Vec<u8>), Document>,
}

impl State {
    pub fn head(&self, stream: &StreamKey) -> SequenceNumber {
        SequenceNumber(self.streams.get(stream).map_or(0, |s| s.events.len() as u64))
    }

    pub fn last_batch_end(&self, stream: &StreamKey) -> Option<SequenceNumber> {
        self.streams.get(stream)?.batches.last_key_value().map(|(end, _)| *end)
    }

    /// Takes an entry whose rules were checked before it was written.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Append(turn) => turn.into_iter().for_each(|append| self.append(append)),
            Entry::Commitment(commitment, tiles, checkpoint) => {
                let stream = self.streams.entry(commitment.stream).or_default();
                stream.batches.insert(commitment.sequence_end, commitment.batch_id);
                stream.checkpoints.insert(commitment.sequence_end.0, checkpoint);
                let tiles = tiles.into_iter().map(|tile| (tile.id, tile.nodes)).collect();
                self.batches.insert(commitment.batch_id, (commitment, tiles));
            }
            Entry::AgentKey(key) => {
                self.agent_keys.insert((key.tenant_id, key.agent_id, key.key_id), key);
            }
            Entry::EncryptionKey(key) => {
                self.encryption_keys.insert((key.tenant_id, key.kid), key);
            }
            Entry::ApiKey(key) => {
                self.api_keys.insert(key.key_hash, key);
            }
            Entry::SequencerKey(key) => {
                self.sequencer_keys.insert(key.key_version, key);
            }
            Entry::Meta(name, value) => {
                self.meta.insert(name, value);
            }
            Entry::NoMeta(name) => {
                self.meta.remove(&name);
            }
            Entry::RunPages(run, first, pages) => {
                self.last_run = self.last_run.max(run);
                self.run_pages.extend((first..).zip(pages).map(|(page, bytes)| ((run, page), bytes)));
            }
            Entry::PublishRun(run, replaces, covered) => {
                self.last_run = self.last_run.max(run.run);
                self.runs.insert(run.run, run);
                replaces.into_iter().for_each(|run| self.drop_run(run));
                self.covered.extend(covered);
            }
            Entry::DropRun(run) => self.drop_run(run),
            Entry::Bodies(stream, bodies) => {
                let Some(stream) = self.streams.get_mut(&stream) else { return };
                for (number, body) in bodies {
                    let place = usize::try_from(number.0).ok().and_then(|n| n.checked_sub(1));
                    if let Some(event) = place.and_then(|place| stream.events.get_mut(place)) {
                        event.body = body;
                    }
                }
            }
            Entry::Together(key, beside) => {
                self.apply(*key);
                beside.into_iter().for_each(|change| self.change_document(change));
            }
            Entry::Documents(changes) => changes.into_iter().for_each(|change| self.change_document(change)),
        }
    }

    fn append(&mut self, append: StreamAppend) {
        if append.events.is_empty() {
            return;
        }
        let number = self.streams.len() as u32 + 1;
        let stream =
            self.streams.entry(append.stream).or_insert_with(|| Stream { number, ..Stream::default() });
        stream.events.extend(append.events.into_iter().map(|event| StoredEvent {
            sequence_number: event.sequence_number,
            sequenced_at: event.sequenced_at,
            receipt_signature: event.receipt_signature,
            key_version: event.key_version,
            body: event.body.into_vec(),
        }));
        stream.tiles.extend(append.log_tiles.into_iter().map(|tile| (tile.id, tile.nodes)));
    }

    fn change_document(&mut self, change: DocumentChange) {
        match change {
            DocumentChange::Put(table, document) => {
                self.documents.insert((table, document.key.clone()), document);
            }
            DocumentChange::Remove(table, key) => {
                self.documents.remove(&(table, key));
            }
        }
    }

    fn drop_run(&mut self, run: u64) {
        self.runs.remove(&run);
        let pages: Vec<_> = self.run_pages.range((run, 0)..=(run, u32::MAX)).map(|(key, _)| *key).collect();
        for key in pages {
            self.run_pages.remove(&key);
        }
    }

    /// Pages of runs that were never published.
    pub fn drop_unpublished(&mut self) {
        let runs = &self.runs;
        self.run_pages.retain(|(run, _), _| runs.contains_key(run));
    }
}
