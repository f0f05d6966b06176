-- The event log. Times are milliseconds since 1970 (UTC); ids and hashes are raw bytes.

CREATE TABLE ves_streams (
    stream INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    store_id BLOB NOT NULL CHECK (length(store_id) = 16),
    UNIQUE (tenant_id, store_id)
) STRICT;

-- Events in the order they arrived: every insert goes to the end of the file, whatever its stream. `tiles` are the
-- tiles of the log tree that this event completed, lowest first, so that they need no table of their own.
CREATE TABLE ves_events (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    sequence_number INTEGER NOT NULL,
    sequenced_at INTEGER NOT NULL,
    key_version INTEGER NOT NULL,
    receipt_signature BLOB,
    body BLOB NOT NULL,
    tiles BLOB
) STRICT;

-- Where the events of a stream are: from `sequence_number` on they lie in a row from `position` on, up to the next
-- extent of the stream, or its head.
CREATE TABLE ves_event_extents (
    stream INTEGER NOT NULL REFERENCES ves_streams,
    sequence_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (stream, sequence_number)
) STRICT, WITHOUT ROWID;

CREATE TABLE ves_commitments (
    batch INTEGER PRIMARY KEY,
    batch_id BLOB NOT NULL UNIQUE CHECK (length(batch_id) = 16),
    stream INTEGER NOT NULL REFERENCES ves_streams,
    ves_version INTEGER NOT NULL,
    tree_depth INTEGER NOT NULL,
    leaf_count INTEGER NOT NULL CHECK (leaf_count = sequence_end - sequence_start + 1),
    padded_leaf_count INTEGER NOT NULL,
    merkle_root BLOB NOT NULL CHECK (length(merkle_root) = 32),
    prev_state_root BLOB NOT NULL CHECK (length(prev_state_root) = 32),
    new_state_root BLOB NOT NULL CHECK (length(new_state_root) = 32),
    sequence_start INTEGER NOT NULL,
    sequence_end INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    -- Signed note over the log of size `sequence_end`.
    checkpoint TEXT NOT NULL,
    UNIQUE (stream, sequence_start),
    UNIQUE (stream, sequence_end)
) STRICT;

-- Tiles of batch trees; tile = batch * 2^32 + level * 2^28 + index in its level.
CREATE TABLE ves_batch_tiles (
    tile INTEGER PRIMARY KEY,
    nodes BLOB NOT NULL
) STRICT;

CREATE TABLE agent_signing_keys (
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
    key_id INTEGER NOT NULL,
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    key_algorithm INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'revoked', 'expired')),
    valid_from INTEGER,
    valid_to INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL,
    metadata TEXT,
    PRIMARY KEY (tenant_id, agent_id, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_encryption_keys (
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    recipient_kid INTEGER NOT NULL,
    agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    status TEXT NOT NULL CHECK (status IN ('active', 'revoked', 'expired')),
    valid_from INTEGER,
    valid_to INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, recipient_kid)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    key_hash BLOB PRIMARY KEY NOT NULL CHECK (length(key_hash) = 32),
    tenant_id BLOB NOT NULL CHECK (length(tenant_id) = 16),
    -- The 16 bytes of each id, one after the other; empty means every store of the tenant.
    store_ids BLOB NOT NULL CHECK (length(store_ids) % 16 = 0),
    agent_id BLOB CHECK (length(agent_id) = 16),
    can_read INTEGER NOT NULL,
    can_write INTEGER NOT NULL,
    can_admin INTEGER NOT NULL,
    active INTEGER NOT NULL,
    rate_limit INTEGER CHECK (rate_limit > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sequencer_keys (
    key_version INTEGER PRIMARY KEY,
    sequencer_id BLOB NOT NULL CHECK (length(sequencer_id) = 16),
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
