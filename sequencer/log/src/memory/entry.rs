//! What a journal frame says, and its bytes.

use ves::commitment::Commitment;
use ves::keys::{AgentKey, EncryptionKey, KeyAlgorithm, KeyStatus};
use ves::tiles::{Tile, TileId};
use ves::{
    AgentId, BatchId, Digest, KeyId, RecipientKeyId, SequenceNumber, SequencerId, StoreId, StreamKey,
    TenantId, TimestampMs,
};

use crate::codec::{Reader, RecordError, Writer};
use crate::document::{Document, DocumentChange, Table};
use crate::event_log::{ApiKeyRecord, NewEvent, RunInfo, SequencerKeyRecord, StreamAppend};

/// One call of the writer.
pub(super) enum Entry {
    Append(Vec<StreamAppend>),
    Commitment(Commitment, Vec<Tile>, String),
    AgentKey(AgentKey),
    EncryptionKey(EncryptionKey),
    ApiKey(ApiKeyRecord),
    SequencerKey(SequencerKeyRecord),
    Meta(String, Vec<u8>),
    RunPages(u64, u32, Vec<Vec<u8>>),
    PublishRun(RunInfo, Vec<u64>, Vec<(StreamKey, SequenceNumber)>),
    DropRun(u64),
    Documents(Vec<DocumentChange>),
    NoMeta(String),
    Bodies(StreamKey, Vec<(SequenceNumber, Vec<u8>)>),
    /// A key, and documents beside it.
    Together(Box<Entry>, Vec<DocumentChange>),
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        match self {
            Self::Append(turn) => write_list(w.u8(1), turn, write_append),
            Self::Commitment(commitment, tiles, checkpoint) => {
                write_commitment(w.u8(2), commitment);
                write_list(&mut w, tiles, write_tile);
                w.blob(checkpoint.as_bytes());
            }
            Self::AgentKey(key) => write_agent_key(w.u8(3), key),
            Self::EncryptionKey(key) => write_encryption_key(w.u8(4), key),
            Self::ApiKey(key) => write_api_key(w.u8(5), key),
            Self::SequencerKey(key) => {
                w.u8(6)
                    .u32(key.key_version)
                    .uuid(&key.sequencer_id.0)
                    .bytes(&key.public_key)
                    .i64(key.created_at.0);
            }
            Self::Meta(name, value) => {
                w.u8(7).blob(name.as_bytes()).blob(value);
            }
            Self::RunPages(run, first, pages) => {
                w.u8(8).u64(*run).u32(*first);
                write_list(&mut w, pages, |w, page| {
                    w.blob(page);
                });
            }
            Self::PublishRun(run, replaces, covered) => {
                w.u8(9).u64(run.run).u32(run.tier).u64(run.entries);
                w.u32(run.data_pages).u32(run.fence_pages).u32(run.filter_pages);
                write_list(&mut w, replaces, |w, run| {
                    w.u64(*run);
                });
                write_list(&mut w, covered, |w, (stream, through)| {
                    write_stream(w, stream);
                    w.u64(through.0);
                });
            }
            Self::DropRun(run) => {
                w.u8(10).u64(*run);
            }
            Self::Documents(changes) => write_list(w.u8(11), changes, write_document_change),
            Self::NoMeta(name) => {
                w.u8(12).blob(name.as_bytes());
            }
            Self::Bodies(stream, bodies) => {
                write_stream(w.u8(13), stream);
                write_list(&mut w, bodies, |w, (number, body)| {
                    w.u64(number.0).blob(body);
                });
            }
            Self::Together(key, beside) => {
                w.u8(14).blob(&key.encode());
                write_list(&mut w, beside, write_document_change);
            }
        }
        w.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut r = Reader::new(bytes);
        let entry = match r.u8("kind")? {
            1 => Self::Append(read_list(&mut r, read_append)?),
            2 => Self::Commitment(
                read_commitment(&mut r)?,
                read_list(&mut r, read_tile)?,
                r.text("checkpoint")?.to_owned(),
            ),
            3 => Self::AgentKey(read_agent_key(&mut r)?),
            4 => Self::EncryptionKey(read_encryption_key(&mut r)?),
            5 => Self::ApiKey(read_api_key(&mut r)?),
            6 => Self::SequencerKey(SequencerKeyRecord {
                key_version: r.u32("key version")?,
                sequencer_id: SequencerId(r.uuid("sequencer")?),
                public_key: r.array("public key")?,
                created_at: TimestampMs(r.i64("created at")?),
            }),
            7 => Self::Meta(r.text("name")?.to_owned(), r.blob("value")?.to_vec()),
            8 => Self::RunPages(
                r.u64("run")?,
                r.u32("page")?,
                read_list(&mut r, |r| r.blob("page").map(<[u8]>::to_vec))?,
            ),
            9 => {
                let run = RunInfo {
                    run: r.u64("run")?,
                    tier: r.u32("tier")?,
                    entries: r.u64("entries")?,
                    data_pages: r.u32("data pages")?,
                    fence_pages: r.u32("fence pages")?,
                    filter_pages: r.u32("filter pages")?,
                };
                let replaces = read_list(&mut r, |r| r.u64("run"))?;
                let covered =
                    read_list(&mut r, |r| Ok((read_stream(r)?, SequenceNumber(r.u64("covered")?))))?;
                Self::PublishRun(run, replaces, covered)
            }
            10 => Self::DropRun(r.u64("run")?),
            11 => Self::Documents(read_list(&mut r, read_document_change)?),
            12 => Self::NoMeta(r.text("name")?.to_owned()),
            13 => Self::Bodies(
                read_stream(&mut r)?,
                read_list(&mut r, |r| Ok((SequenceNumber(r.u64("number")?), r.blob("body")?.to_vec())))?,
            ),
            14 => {
                let key = Self::decode(r.blob("key")?)?;
                // A key alone: an entry within an entry within an entry is none that was written here.
                if !matches!(key, Self::AgentKey(_) | Self::EncryptionKey(_) | Self::ApiKey(_)) {
                    return Err(RecordError::Value("key"));
                }
                Self::Together(Box::new(key), read_list(&mut r, read_document_change)?)
            }
            _ => return Err(RecordError::Value("kind")),
        };
        r.end()?;
        Ok(entry)
    }
}

fn write_list<T>(w: &mut Writer, items: &[T], write: impl Fn(&mut Writer, &T)) {
    w.count(items.len());
    items.iter().for_each(|item| write(w, item));
}

fn read_list<'a, T>(
    r: &mut Reader<'a>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, RecordError>,
) -> Result<Vec<T>, RecordError> {
    let count = r.count(1, "list")?;
    (0..count).map(|_| read(r)).collect()
}

fn write_document_change(w: &mut Writer, change: &DocumentChange) {
    match change {
        DocumentChange::Put(table, document) => {
            w.u8(1).u8(*table as u8).blob(&document.key);
            w.blob(document.text.as_bytes()).blob(&document.content);
        }
        DocumentChange::Remove(table, key) => {
            w.u8(2).u8(*table as u8).blob(key);
        }
    }
}

fn read_document_change(r: &mut Reader<'_>) -> Result<DocumentChange, RecordError> {
    let change = r.u8("change")?;
    let table = Table::from_number(r.u8("table")?).ok_or(RecordError::Value("table"))?;
    let key = r.blob("key")?.to_vec();
    match change {
        1 => {
            let text = r.text("text")?.to_owned();
            let content = r.blob("content")?.to_vec();
            Ok(DocumentChange::Put(table, Document { key, text, content }))
        }
        2 => Ok(DocumentChange::Remove(table, key)),
        _ => Err(RecordError::Value("change")),
    }
}

fn write_stream(w: &mut Writer, stream: &StreamKey) {
    w.uuid(&stream.tenant_id.0).uuid(&stream.store_id.0);
}

fn read_stream(r: &mut Reader<'_>) -> Result<StreamKey, RecordError> {
    Ok(StreamKey { tenant_id: TenantId(r.uuid("tenant")?), store_id: StoreId(r.uuid("store")?) })
}

fn write_append(w: &mut Writer, append: &StreamAppend) {
    write_stream(w, &append.stream);
    write_list(w, &append.events, |w, event| {
        w.u64(event.sequence_number.0).i64(event.sequenced_at.0);
        w.option(event.receipt_signature, |w, signature| {
            w.bytes(&signature);
        });
        w.u32(event.key_version).blob(&event.body);
    });
    write_list(w, &append.log_tiles, write_tile);
}

fn read_append(r: &mut Reader<'_>) -> Result<StreamAppend, RecordError> {
    let stream = read_stream(r)?;
    let events = read_list(r, |r| {
        Ok(NewEvent {
            sequence_number: SequenceNumber(r.u64("sequence number")?),
            sequenced_at: TimestampMs(r.i64("sequenced at")?),
            receipt_signature: r.option("signature", |r| r.array("signature"))?,
            key_version: r.u32("key version")?,
            body: r.blob("body")?.into(),
        })
    })?;
    Ok(StreamAppend { stream, events, log_tiles: read_list(r, read_tile)? })
}

fn write_tile(w: &mut Writer, tile: &Tile) {
    w.u8(tile.id.level).u64(tile.id.index);
    write_list(w, &tile.nodes, |w, node| {
        w.bytes(&node.0);
    });
}

fn read_tile(r: &mut Reader<'_>) -> Result<Tile, RecordError> {
    let id = TileId { level: r.u8("level")?, index: r.u64("index")? };
    Ok(Tile { id, nodes: read_list(r, |r| r.digest("node"))? })
}

fn write_commitment(w: &mut Writer, c: &Commitment) {
    w.uuid(&c.batch_id.0);
    write_stream(w, &c.stream);
    w.u32(c.ves_version).u32(c.tree_depth).u32(c.leaf_count).u32(c.padded_leaf_count);
    w.bytes(&c.merkle_root.0).bytes(&c.prev_state_root.0).bytes(&c.new_state_root.0);
    w.u64(c.sequence_start.0).u64(c.sequence_end.0).i64(c.committed_at.0);
}

fn read_commitment(r: &mut Reader<'_>) -> Result<Commitment, RecordError> {
    Ok(Commitment {
        batch_id: BatchId(r.uuid("batch")?),
        stream: read_stream(r)?,
        ves_version: r.u32("version")?,
        tree_depth: r.u32("depth")?,
        leaf_count: r.u32("leaves")?,
        padded_leaf_count: r.u32("padded leaves")?,
        merkle_root: r.digest("root")?,
        prev_state_root: r.digest("state root")?,
        new_state_root: r.digest("state root")?,
        sequence_start: SequenceNumber(r.u64("start")?),
        sequence_end: SequenceNumber(r.u64("end")?),
        committed_at: TimestampMs(r.i64("committed at")?),
    })
}

fn write_time(w: &mut Writer, time: TimestampMs) {
    w.i64(time.0);
}

fn read_time(r: &mut Reader<'_>) -> Result<TimestampMs, RecordError> {
    r.i64("time").map(TimestampMs)
}

fn read_status(r: &mut Reader<'_>) -> Result<KeyStatus, RecordError> {
    KeyStatus::from_text(r.text("status")?).ok_or(RecordError::Value("status"))
}

fn write_agent_key(w: &mut Writer, key: &AgentKey) {
    w.uuid(&key.tenant_id.0).uuid(&key.agent_id.0).u32(key.key_id.0).bytes(&key.public_key);
    w.u8(key.algorithm.number()).blob(key.status.text().as_bytes());
    w.option(key.valid_from, write_time).option(key.valid_to, write_time).option(key.revoked_at, write_time);
    w.i64(key.created_at.0);
    w.option(key.metadata.as_ref(), |w, text| {
        w.blob(text.as_bytes());
    });
    w.option(key.ml_dsa_65.as_deref(), |w, key| {
        w.bytes(key);
    });
}

fn read_agent_key(r: &mut Reader<'_>) -> Result<AgentKey, RecordError> {
    Ok(AgentKey {
        tenant_id: TenantId(r.uuid("tenant")?),
        agent_id: AgentId(r.uuid("agent")?),
        key_id: KeyId(r.u32("key id")?),
        public_key: r.array("public key")?,
        algorithm: KeyAlgorithm::from_number(r.u8("algorithm")?.into())
            .ok_or(RecordError::Value("algorithm"))?,
        status: read_status(r)?,
        valid_from: r.option("valid from", read_time)?,
        valid_to: r.option("valid to", read_time)?,
        revoked_at: r.option("revoked at", read_time)?,
        created_at: read_time(r)?,
        metadata: r.option("metadata", |r| r.text("metadata").map(str::to_owned))?,
        ml_dsa_65: r.option("ML-DSA-65 key", |r| r.array("ML-DSA-65 key").map(Box::new))?,
    })
}

fn write_encryption_key(w: &mut Writer, key: &EncryptionKey) {
    w.uuid(&key.tenant_id.0).uuid(&key.agent_id.0).u32(key.kid.0).bytes(&key.public_key);
    w.blob(key.status.text().as_bytes());
    w.option(key.valid_from, write_time).option(key.valid_to, write_time).option(key.revoked_at, write_time);
    w.i64(key.created_at.0);
    w.u8(key.algorithm.number()).option(key.ml_kem_768.as_deref(), |w, key| {
        w.bytes(key);
    });
}

fn read_encryption_key(r: &mut Reader<'_>) -> Result<EncryptionKey, RecordError> {
    Ok(EncryptionKey {
        tenant_id: TenantId(r.uuid("tenant")?),
        agent_id: AgentId(r.uuid("agent")?),
        kid: RecipientKeyId(r.u32("kid")?),
        public_key: r.array("public key")?,
        status: read_status(r)?,
        valid_from: r.option("valid from", read_time)?,
        valid_to: r.option("valid to", read_time)?,
        revoked_at: r.option("revoked at", read_time)?,
        created_at: read_time(r)?,
        algorithm: KeyAlgorithm::from_number(r.u8("algorithm")?.into())
            .ok_or(RecordError::Value("algorithm"))?,
        ml_kem_768: r.option("ML-KEM-768 key", |r| r.array("ML-KEM-768 key").map(Box::new))?,
    })
}

fn write_api_key(w: &mut Writer, key: &ApiKeyRecord) {
    w.bytes(&key.key_hash.0).uuid(&key.tenant_id.0);
    write_list(w, &key.store_ids, |w, store| {
        w.uuid(&store.0);
    });
    w.option(key.agent_id, |w, agent| {
        w.uuid(&agent.0);
    });
    w.flag(key.can_read).flag(key.can_write).flag(key.can_admin).flag(key.active);
    w.option(key.rate_limit, |w, limit| {
        w.u32(limit);
    });
    w.i64(key.created_at.0).i64(key.updated_at.0);
}

fn read_api_key(r: &mut Reader<'_>) -> Result<ApiKeyRecord, RecordError> {
    Ok(ApiKeyRecord {
        key_hash: Digest(r.array("key hash")?),
        tenant_id: TenantId(r.uuid("tenant")?),
        store_ids: read_list(r, |r| r.uuid("store").map(StoreId))?,
        agent_id: r.option("agent", |r| r.uuid("agent").map(AgentId))?,
        can_read: r.flag("can read")?,
        can_write: r.flag("can write")?,
        can_admin: r.flag("can admin")?,
        active: r.flag("active")?,
        rate_limit: r.option("rate limit", |r| r.u32("rate limit"))?,
        created_at: read_time(r)?,
        updated_at: read_time(r)?,
    })
}
