//! Rows of the key and commitment tables, both ways. Column lists stand beside the code that reads them.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;
use ves::commitment::Commitment;
use ves::keys::pqc::{ML_DSA_65_PUBLIC_KEY_BYTES, ML_KEM_768_PUBLIC_KEY_BYTES};
use ves::keys::{AgentKey, EncryptionKey, KeyAlgorithm, KeyStatus};
use ves::{
    AgentId, BatchId, Digest, KeyId, RecipientKeyId, SequenceNumber, SequencerId, StoreId, StreamKey,
    TenantId, TimestampMs,
};

use super::streams::EXTENTS_FROM;
use crate::event_log::{ApiKeyRecord, RunInfo, SequencerKeyRecord};

/// Streams of rows that no row of `ves_streams` names.
pub(super) const NAMELESS_STREAMS: &str = "SELECT stream FROM ves_events GROUP BY stream \
    HAVING stream NOT IN (SELECT stream FROM ves_streams) \
    UNION SELECT stream FROM ves_commitments WHERE stream NOT IN (SELECT stream FROM ves_streams) ORDER BY stream";

pub(super) const COMMITMENTS: &str = "SELECT batch_id, tenant_id, store_id, ves_version, tree_depth, leaf_count, \
    padded_leaf_count, merkle_root, prev_state_root, new_state_root, sequence_start, sequence_end, committed_at \
    FROM ves_commitments JOIN ves_streams USING (stream)";
pub(super) const AGENT_KEYS: &str = "SELECT tenant_id, agent_id, key_id, public_key, key_algorithm, status, valid_from, \
    valid_to, revoked_at, created_at, metadata, ml_dsa_65 FROM agent_signing_keys";
pub(super) const ENCRYPTION_KEYS: &str = "SELECT tenant_id, agent_id, recipient_kid, public_key, status, valid_from, \
    valid_to, revoked_at, created_at, key_algorithm, ml_kem_768 FROM agent_encryption_keys";
pub(super) const API_KEYS: &str = "SELECT key_hash, tenant_id, store_ids, agent_id, can_read, can_write, can_admin, \
    active, rate_limit, created_at, updated_at FROM api_keys";
pub(super) const SEQUENCER_KEYS: &str =
    "SELECT key_version, sequencer_id, public_key, created_at FROM sequencer_keys";
pub(super) const RUNS: &str =
    "SELECT run, tier, entries, data_pages, fence_pages, filter_pages FROM ves_index_runs WHERE state = 1";

/// A stored sequence number; SQLite's integers are signed and a stream ends at 2^63 - 1.
pub(super) fn sequence(row: &Row<'_>, column: usize) -> rusqlite::Result<SequenceNumber> {
    let number: i64 = row.get(column)?;
    u64::try_from(number)
        .map(SequenceNumber)
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

pub(super) fn signed(number: SequenceNumber) -> i64 {
    i64::try_from(number.0).unwrap_or(i64::MAX)
}

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get(column).map(Digest)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<TimestampMs> {
    row.get(column).map(TimestampMs)
}

fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<TimestampMs>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(TimestampMs))
}

fn bad(column: usize, kind: Type, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, what.into())
}

fn status(row: &Row<'_>, column: usize) -> rusqlite::Result<KeyStatus> {
    KeyStatus::from_text(row.get_ref(column)?.as_str()?)
        .ok_or_else(|| bad(column, Type::Text, "not a key status"))
}

fn algorithm(row: &Row<'_>, column: usize) -> rusqlite::Result<KeyAlgorithm> {
    KeyAlgorithm::from_number(row.get::<_, u8>(column)?.into())
        .ok_or_else(|| bad(column, Type::Integer, "not a key algorithm"))
}

pub(super) fn commitment(row: &Row<'_>) -> rusqlite::Result<Commitment> {
    Ok(Commitment {
        batch_id: BatchId(uuid(row, 0)?),
        stream: StreamKey { tenant_id: TenantId(uuid(row, 1)?), store_id: StoreId(uuid(row, 2)?) },
        ves_version: row.get(3)?,
        tree_depth: row.get(4)?,
        leaf_count: row.get(5)?,
        padded_leaf_count: row.get(6)?,
        merkle_root: digest(row, 7)?,
        prev_state_root: digest(row, 8)?,
        new_state_root: digest(row, 9)?,
        sequence_start: sequence(row, 10)?,
        sequence_end: sequence(row, 11)?,
        committed_at: time(row, 12)?,
    })
}

/// Returns the number of the new batch.
pub(super) fn insert_commitment(
    connection: &Connection,
    stream: u32,
    c: &Commitment,
    checkpoint: &str,
) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO ves_commitments (batch_id, stream, ves_version, tree_depth, leaf_count, padded_leaf_count, \
             merkle_root, prev_state_root, new_state_root, sequence_start, sequence_end, committed_at, checkpoint) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .insert(params![
            c.batch_id.as_bytes(),
            stream,
            c.ves_version,
            c.tree_depth,
            c.leaf_count,
            c.padded_leaf_count,
            c.merkle_root.0,
            c.prev_state_root.0,
            c.new_state_root.0,
            signed(c.sequence_start),
            signed(c.sequence_end),
            c.committed_at.0,
            checkpoint,
        ])
}

pub(super) fn agent_key(row: &Row<'_>) -> rusqlite::Result<AgentKey> {
    Ok(AgentKey {
        tenant_id: TenantId(uuid(row, 0)?),
        agent_id: AgentId(uuid(row, 1)?),
        key_id: KeyId(row.get(2)?),
        public_key: row.get(3)?,
        algorithm: algorithm(row, 4)?,
        status: status(row, 5)?,
        valid_from: optional_time(row, 6)?,
        valid_to: optional_time(row, 7)?,
        revoked_at: optional_time(row, 8)?,
        created_at: time(row, 9)?,
        metadata: row.get(10)?,
        ml_dsa_65: row.get::<_, Option<[u8; ML_DSA_65_PUBLIC_KEY_BYTES]>>(11)?.map(Box::new),
    })
}

pub(super) fn put_agent_key(connection: &Connection, key: &AgentKey) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO agent_signing_keys (tenant_id, agent_id, key_id, public_key, key_algorithm, status, \
             valid_from, valid_to, revoked_at, created_at, metadata, ml_dsa_65) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key.tenant_id.as_bytes(),
            key.agent_id.as_bytes(),
            key.key_id.0,
            key.public_key,
            key.algorithm.number(),
            key.status.text(),
            key.valid_from.map(|t| t.0),
            key.valid_to.map(|t| t.0),
            key.revoked_at.map(|t| t.0),
            key.created_at.0,
            key.metadata,
            key.ml_dsa_65.as_deref(),
        ])
}

pub(super) fn encryption_key(row: &Row<'_>) -> rusqlite::Result<EncryptionKey> {
    Ok(EncryptionKey {
        tenant_id: TenantId(uuid(row, 0)?),
        agent_id: AgentId(uuid(row, 1)?),
        kid: RecipientKeyId(row.get(2)?),
        public_key: row.get(3)?,
        status: status(row, 4)?,
        valid_from: optional_time(row, 5)?,
        valid_to: optional_time(row, 6)?,
        revoked_at: optional_time(row, 7)?,
        created_at: time(row, 8)?,
        algorithm: algorithm(row, 9)?,
        ml_kem_768: row.get::<_, Option<[u8; ML_KEM_768_PUBLIC_KEY_BYTES]>>(10)?.map(Box::new),
    })
}

pub(super) fn put_encryption_key(connection: &Connection, key: &EncryptionKey) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO agent_encryption_keys (tenant_id, agent_id, recipient_kid, public_key, status, \
             valid_from, valid_to, revoked_at, created_at, key_algorithm, ml_kem_768) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key.tenant_id.as_bytes(),
            key.agent_id.as_bytes(),
            key.kid.0,
            key.public_key,
            key.status.text(),
            key.valid_from.map(|t| t.0),
            key.valid_to.map(|t| t.0),
            key.revoked_at.map(|t| t.0),
            key.created_at.0,
            key.algorithm.number(),
            key.ml_kem_768.as_deref(),
        ])
}

pub(super) fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKeyRecord> {
    let stores: Vec<u8> = row.get(2)?;
    let (ids, rest) = stores.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(bad(2, Type::Blob, "not a list of ids"));
    }
    Ok(ApiKeyRecord {
        key_hash: digest(row, 0)?,
        tenant_id: TenantId(uuid(row, 1)?),
        store_ids: ids.iter().map(|id| StoreId::from_bytes(*id)).collect(),
        agent_id: row.get::<_, Option<[u8; 16]>>(3)?.map(AgentId::from_bytes),
        can_read: row.get(4)?,
        can_write: row.get(5)?,
        can_admin: row.get(6)?,
        active: row.get(7)?,
        rate_limit: row.get(8)?,
        created_at: time(row, 9)?,
        updated_at: time(row, 10)?,
    })
}

pub(super) fn put_api_key(connection: &Connection, key: &ApiKeyRecord) -> rusqlite::Result<usize> {
    let stores: Vec<u8> = key.store_ids.iter().flat_map(|id| *id.as_bytes()).collect();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO api_keys (key_hash, tenant_id, store_ids, agent_id, can_read, can_write, can_admin, \
             active, rate_limit, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key.key_hash.0,
            key.tenant_id.as_bytes(),
            stores,
            key.agent_id.map(|id| *id.as_bytes()),
            key.can_read,
            key.can_write,
            key.can_admin,
            key.active,
            key.rate_limit,
            key.created_at.0,
            key.updated_at.0,
        ])
}

pub(super) fn sequencer_key(row: &Row<'_>) -> rusqlite::Result<SequencerKeyRecord> {
    Ok(SequencerKeyRecord {
        key_version: row.get(0)?,
        sequencer_id: SequencerId(uuid(row, 1)?),
        public_key: row.get(2)?,
        created_at: time(row, 3)?,
    })
}

pub(super) fn put_sequencer_key(
    connection: &Connection,
    key: &SequencerKeyRecord,
) -> rusqlite::Result<usize> {
    connection.execute(
        "INSERT OR REPLACE INTO sequencer_keys (key_version, sequencer_id, public_key, created_at) VALUES (?, ?, ?, ?)",
        params![key.key_version, key.sequencer_id.as_bytes(), key.public_key, key.created_at.0],
    )
}

pub(super) fn run(row: &Row<'_>) -> rusqlite::Result<RunInfo> {
    Ok(RunInfo {
        run: row.get::<_, i64>(0)? as u64,
        tier: row.get(1)?,
        entries: row.get::<_, i64>(2)? as u64,
        data_pages: row.get(3)?,
        fence_pages: row.get(4)?,
        filter_pages: row.get(5)?,
    })
}

/// Extents in the order of their table; from position `from` on a start looks at the events for others.
pub(super) fn insert_extents(
    connection: &Connection,
    extents: &[((u32, i64), i64)],
    from: i64,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO ves_event_extents (stream, sequence_number, position) VALUES (?, ?, ?)",
    )?;
    for ((stream, first), position) in extents {
        insert.execute((stream, first, position))?;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)")?
        .execute((EXTENTS_FROM, from.to_be_bytes()))?;
    Ok(())
}
