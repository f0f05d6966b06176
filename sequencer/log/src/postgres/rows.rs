//! Rows of the key and commitment tables, both ways. Column lists stand beside the code that reads them.

use tokio_postgres::types::FromSql;
use tokio_postgres::{Error, Row};
use uuid::Uuid;
use ves::commitment::Commitment;
use ves::keys::pqc::{ML_DSA_65_PUBLIC_KEY_BYTES, ML_KEM_768_PUBLIC_KEY_BYTES};
use ves::keys::{AgentKey, EncryptionKey, KeyAlgorithm, KeyStatus};
use ves::{
    AgentId, BatchId, Digest, KeyId, RecipientKeyId, SequenceNumber, SequencerId, StoreId, StreamKey,
    TenantId, TimestampMs,
};

use super::session::{Param, Step};
use crate::document::Document;
use crate::event_log::{ApiKeyRecord, RunInfo, SequencerKeyRecord, StoredEvent};

/// Streams of rows that no row of `ves_streams` names.
pub(super) const NAMELESS_STREAMS: &str = "SELECT stream FROM ves_events GROUP BY stream \
    HAVING stream NOT IN (SELECT stream FROM ves_streams) \
    UNION SELECT stream FROM ves_commitments WHERE stream NOT IN (SELECT stream FROM ves_streams) ORDER BY stream";

pub(super) const EVENTS: &str =
    "SELECT sequence_number, sequenced_at, key_version, receipt_signature, body FROM ves_events";
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
pub(super) const RUNS: &str = "SELECT run, tier, entries, data_pages, fence_pages, filter_pages FROM ves_index_runs \
    WHERE state = 1 ORDER BY run";

/// A value as its column holds it, made into one of ours. `None`: it is no such value.
struct Checked<T>(T);

/// How a stored value becomes one of ours.
trait FromColumn: Sized {
    type Stored: for<'a> FromSql<'a>;
    fn check(stored: Self::Stored) -> Option<Self>;
}

impl<'a, T: FromColumn> FromSql<'a> for Checked<T> {
    fn from_sql(
        column: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let stored = T::Stored::from_sql(column, raw)?;
        T::check(stored).map(Self).ok_or_else(|| "not a value of this column".into())
    }
    fn accepts(column: &tokio_postgres::types::Type) -> bool {
        T::Stored::accepts(column)
    }
}

impl<const N: usize> FromColumn for [u8; N] {
    type Stored = Vec<u8>;
    fn check(stored: Vec<u8>) -> Option<Self> {
        stored.try_into().ok()
    }
}
impl FromColumn for Digest {
    type Stored = Vec<u8>;
    fn check(stored: Vec<u8>) -> Option<Self> {
        stored.try_into().ok().map(Digest)
    }
}
impl FromColumn for SequenceNumber {
    type Stored = i64;
    fn check(stored: i64) -> Option<Self> {
        stored.try_into().ok().map(SequenceNumber)
    }
}
impl FromColumn for u32 {
    type Stored = i64;
    fn check(stored: i64) -> Option<Self> {
        stored.try_into().ok()
    }
}
impl FromColumn for KeyStatus {
    type Stored = String;
    fn check(stored: String) -> Option<Self> {
        Self::from_text(&stored)
    }
}
impl FromColumn for KeyAlgorithm {
    type Stored = i16;
    fn check(stored: i16) -> Option<Self> {
        Self::from_number(stored.try_into().ok()?)
    }
}

fn checked<T: FromColumn>(row: &Row, column: usize) -> Result<T, Error> {
    row.try_get::<_, Checked<T>>(column).map(|checked| checked.0)
}

fn optional<T: FromColumn>(row: &Row, column: usize) -> Result<Option<T>, Error> {
    row.try_get::<_, Option<Checked<T>>>(column).map(|checked| checked.map(|c| c.0))
}

pub(super) fn sequence(row: &Row, column: usize) -> Result<SequenceNumber, Error> {
    checked(row, column)
}

fn time(row: &Row, column: usize) -> Result<TimestampMs, Error> {
    row.try_get(column).map(TimestampMs)
}

fn optional_time(row: &Row, column: usize) -> Result<Option<TimestampMs>, Error> {
    Ok(row.try_get::<_, Option<i64>>(column)?.map(TimestampMs))
}

/// A sequence number as the database keeps it; a stream ends at 2^63 - 1.
pub(super) fn signed(number: SequenceNumber) -> i64 {
    i64::try_from(number.0).unwrap_or(i64::MAX)
}

fn boxed<'a, T: tokio_postgres::types::ToSql + Sync + Send + 'a>(value: T) -> Param<'a> {
    Box::new(value)
}

pub(super) fn event(row: &Row) -> Result<StoredEvent, Error> {
    Ok(StoredEvent {
        sequence_number: sequence(row, 0)?,
        sequenced_at: time(row, 1)?,
        key_version: checked(row, 2)?,
        receipt_signature: optional(row, 3)?,
        body: row.try_get(4)?,
    })
}

pub(super) fn commitment(row: &Row) -> Result<Commitment, Error> {
    Ok(Commitment {
        batch_id: BatchId(row.try_get(0)?),
        stream: StreamKey { tenant_id: TenantId(row.try_get(1)?), store_id: StoreId(row.try_get(2)?) },
        ves_version: checked(row, 3)?,
        tree_depth: checked(row, 4)?,
        leaf_count: checked(row, 5)?,
        padded_leaf_count: checked(row, 6)?,
        merkle_root: checked(row, 7)?,
        prev_state_root: checked(row, 8)?,
        new_state_root: checked(row, 9)?,
        sequence_start: sequence(row, 10)?,
        sequence_end: sequence(row, 11)?,
        committed_at: time(row, 12)?,
    })
}

pub(super) fn insert_commitment<'a>(
    batch: i64,
    stream: i32,
    c: &'a Commitment,
    checkpoint: &'a str,
) -> Step<'a> {
    Step::new(
        "INSERT INTO ves_commitments (batch, batch_id, stream, ves_version, tree_depth, leaf_count, padded_leaf_count, \
         merkle_root, prev_state_root, new_state_root, sequence_start, sequence_end, committed_at, checkpoint) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        vec![
            boxed(batch),
            boxed(c.batch_id.0),
            boxed(stream),
            boxed(i64::from(c.ves_version)),
            boxed(i64::from(c.tree_depth)),
            boxed(i64::from(c.leaf_count)),
            boxed(i64::from(c.padded_leaf_count)),
            boxed(c.merkle_root.0.as_slice()),
            boxed(c.prev_state_root.0.as_slice()),
            boxed(c.new_state_root.0.as_slice()),
            boxed(signed(c.sequence_start)),
            boxed(signed(c.sequence_end)),
            boxed(c.committed_at.0),
            boxed(checkpoint),
        ],
    )
}

pub(super) fn agent_key(row: &Row) -> Result<AgentKey, Error> {
    Ok(AgentKey {
        tenant_id: TenantId(row.try_get(0)?),
        agent_id: AgentId(row.try_get(1)?),
        key_id: KeyId(checked(row, 2)?),
        public_key: checked(row, 3)?,
        algorithm: checked(row, 4)?,
        status: checked(row, 5)?,
        valid_from: optional_time(row, 6)?,
        valid_to: optional_time(row, 7)?,
        revoked_at: optional_time(row, 8)?,
        created_at: time(row, 9)?,
        metadata: row.try_get(10)?,
        ml_dsa_65: optional::<[u8; ML_DSA_65_PUBLIC_KEY_BYTES]>(row, 11)?.map(Box::new),
    })
}

pub(super) fn put_agent_key(key: &AgentKey) -> Step<'_> {
    Step::new(
        "INSERT INTO agent_signing_keys (tenant_id, agent_id, key_id, public_key, key_algorithm, status, valid_from, \
         valid_to, revoked_at, created_at, metadata, ml_dsa_65) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (tenant_id, agent_id, key_id) DO UPDATE SET public_key = excluded.public_key, \
         key_algorithm = excluded.key_algorithm, status = excluded.status, valid_from = excluded.valid_from, \
         valid_to = excluded.valid_to, revoked_at = excluded.revoked_at, created_at = excluded.created_at, \
         metadata = excluded.metadata, ml_dsa_65 = excluded.ml_dsa_65",
        vec![
            boxed(key.tenant_id.0),
            boxed(key.agent_id.0),
            boxed(i64::from(key.key_id.0)),
            boxed(key.public_key.as_slice()),
            boxed(i16::from(key.algorithm.number())),
            boxed(key.status.text()),
            boxed(key.valid_from.map(|t| t.0)),
            boxed(key.valid_to.map(|t| t.0)),
            boxed(key.revoked_at.map(|t| t.0)),
            boxed(key.created_at.0),
            boxed(key.metadata.as_deref()),
            boxed(key.ml_dsa_65.as_deref().map(<[u8; ML_DSA_65_PUBLIC_KEY_BYTES]>::as_slice)),
        ],
    )
}

pub(super) fn encryption_key(row: &Row) -> Result<EncryptionKey, Error> {
    Ok(EncryptionKey {
        tenant_id: TenantId(row.try_get(0)?),
        agent_id: AgentId(row.try_get(1)?),
        kid: RecipientKeyId(checked(row, 2)?),
        public_key: checked(row, 3)?,
        status: checked(row, 4)?,
        valid_from: optional_time(row, 5)?,
        valid_to: optional_time(row, 6)?,
        revoked_at: optional_time(row, 7)?,
        created_at: time(row, 8)?,
        algorithm: checked(row, 9)?,
        ml_kem_768: optional::<[u8; ML_KEM_768_PUBLIC_KEY_BYTES]>(row, 10)?.map(Box::new),
    })
}

pub(super) fn put_encryption_key(key: &EncryptionKey) -> Step<'_> {
    Step::new(
        "INSERT INTO agent_encryption_keys (tenant_id, agent_id, recipient_kid, public_key, status, valid_from, valid_to, \
         revoked_at, created_at, key_algorithm, ml_kem_768) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (tenant_id, recipient_kid) DO UPDATE SET agent_id = excluded.agent_id, \
         public_key = excluded.public_key, status = excluded.status, valid_from = excluded.valid_from, \
         valid_to = excluded.valid_to, revoked_at = excluded.revoked_at, created_at = excluded.created_at, \
         key_algorithm = excluded.key_algorithm, ml_kem_768 = excluded.ml_kem_768",
        vec![
            boxed(key.tenant_id.0),
            boxed(key.agent_id.0),
            boxed(i64::from(key.kid.0)),
            boxed(key.public_key.as_slice()),
            boxed(key.status.text()),
            boxed(key.valid_from.map(|t| t.0)),
            boxed(key.valid_to.map(|t| t.0)),
            boxed(key.revoked_at.map(|t| t.0)),
            boxed(key.created_at.0),
            boxed(i16::from(key.algorithm.number())),
            boxed(key.ml_kem_768.as_deref().map(<[u8; ML_KEM_768_PUBLIC_KEY_BYTES]>::as_slice)),
        ],
    )
}

pub(super) fn api_key(row: &Row) -> Result<ApiKeyRecord, Error> {
    let stores: Vec<Uuid> = row.try_get(2)?;
    Ok(ApiKeyRecord {
        key_hash: checked(row, 0)?,
        tenant_id: TenantId(row.try_get(1)?),
        store_ids: stores.into_iter().map(StoreId).collect(),
        agent_id: row.try_get::<_, Option<Uuid>>(3)?.map(AgentId),
        can_read: row.try_get(4)?,
        can_write: row.try_get(5)?,
        can_admin: row.try_get(6)?,
        active: row.try_get(7)?,
        rate_limit: optional(row, 8)?,
        created_at: time(row, 9)?,
        updated_at: time(row, 10)?,
    })
}

pub(super) fn put_api_key(key: &ApiKeyRecord) -> Step<'_> {
    Step::new(
        "INSERT INTO api_keys (key_hash, tenant_id, store_ids, agent_id, can_read, can_write, can_admin, active, \
         rate_limit, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (key_hash) DO UPDATE SET tenant_id = excluded.tenant_id, store_ids = excluded.store_ids, \
         agent_id = excluded.agent_id, can_read = excluded.can_read, can_write = excluded.can_write, \
         can_admin = excluded.can_admin, active = excluded.active, rate_limit = excluded.rate_limit, \
         created_at = excluded.created_at, updated_at = excluded.updated_at",
        vec![
            boxed(key.key_hash.0.as_slice()),
            boxed(key.tenant_id.0),
            boxed(key.store_ids.iter().map(|id| id.0).collect::<Vec<Uuid>>()),
            boxed(key.agent_id.map(|id| id.0)),
            boxed(key.can_read),
            boxed(key.can_write),
            boxed(key.can_admin),
            boxed(key.active),
            boxed(key.rate_limit.map(i64::from)),
            boxed(key.created_at.0),
            boxed(key.updated_at.0),
        ],
    )
}

pub(super) fn sequencer_key(row: &Row) -> Result<SequencerKeyRecord, Error> {
    Ok(SequencerKeyRecord {
        key_version: checked(row, 0)?,
        sequencer_id: SequencerId(row.try_get(1)?),
        public_key: checked(row, 2)?,
        created_at: time(row, 3)?,
    })
}

pub(super) fn put_sequencer_key(key: &SequencerKeyRecord) -> Step<'_> {
    Step::new(
        "INSERT INTO sequencer_keys (key_version, sequencer_id, public_key, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (key_version) DO UPDATE SET sequencer_id = excluded.sequencer_id, \
         public_key = excluded.public_key, created_at = excluded.created_at",
        vec![
            boxed(i64::from(key.key_version)),
            boxed(key.sequencer_id.0),
            boxed(key.public_key.as_slice()),
            boxed(key.created_at.0),
        ],
    )
}

pub(super) fn run(row: &Row) -> Result<RunInfo, Error> {
    Ok(RunInfo {
        run: row.try_get::<_, i64>(0)? as u64,
        tier: checked(row, 1)?,
        entries: row.try_get::<_, i64>(2)? as u64,
        data_pages: checked(row, 3)?,
        fence_pages: checked(row, 4)?,
        filter_pages: checked(row, 5)?,
    })
}

pub(super) fn document(row: &Row) -> Result<Document, Error> {
    Ok(Document { key: row.try_get(0)?, text: row.try_get(1)?, content: row.try_get(2)? })
}
