-- The event log. Times are milliseconds since 1970 (UTC); hashes and signatures are raw bytes.

CREATE TABLE ves_streams (
    stream integer PRIMARY KEY,
    tenant_id uuid NOT NULL,
    store_id uuid NOT NULL,
    UNIQUE (tenant_id, store_id)
);

-- `tiles` are the tiles of the log tree that this event completed, lowest first, so that they need no table of their
-- own. No row refers to another table: that would look up and lock a row for each event. Bodies and tiles do not shrink.
CREATE TABLE ves_events (
    sequence_number bigint NOT NULL,
    sequenced_at bigint NOT NULL,
    key_version bigint NOT NULL,
    stream integer NOT NULL,
    receipt_signature bytea,
    body bytea NOT NULL,
    tiles bytea,
    PRIMARY KEY (stream, sequence_number)
);
ALTER TABLE ves_events ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE ves_events ALTER COLUMN tiles SET STORAGE EXTERNAL;

CREATE TABLE ves_commitments (
    batch bigint PRIMARY KEY,
    batch_id uuid NOT NULL UNIQUE,
    stream integer NOT NULL,
    ves_version bigint NOT NULL,
    tree_depth bigint NOT NULL,
    leaf_count bigint NOT NULL CHECK (leaf_count = sequence_end - sequence_start + 1),
    padded_leaf_count bigint NOT NULL,
    merkle_root bytea NOT NULL CHECK (length(merkle_root) = 32),
    prev_state_root bytea NOT NULL CHECK (length(prev_state_root) = 32),
    new_state_root bytea NOT NULL CHECK (length(new_state_root) = 32),
    sequence_start bigint NOT NULL,
    sequence_end bigint NOT NULL,
    committed_at bigint NOT NULL,
    -- Signed note over the log of size `sequence_end`.
    checkpoint text NOT NULL,
    UNIQUE (stream, sequence_start),
    UNIQUE (stream, sequence_end)
);

-- Tiles of batch trees; tile = level * 2^28 + index in its level.
CREATE TABLE ves_batch_tiles (
    batch bigint NOT NULL,
    tile bigint NOT NULL,
    nodes bytea NOT NULL,
    PRIMARY KEY (batch, tile)
);
ALTER TABLE ves_batch_tiles ALTER COLUMN nodes SET STORAGE EXTERNAL;

CREATE TABLE agent_signing_keys (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    key_id bigint NOT NULL,
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    key_algorithm smallint NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'revoked', 'expired')),
    valid_from bigint,
    valid_to bigint,
    revoked_at bigint,
    created_at bigint NOT NULL,
    metadata text,
    PRIMARY KEY (tenant_id, agent_id, key_id)
);

CREATE TABLE agent_encryption_keys (
    tenant_id uuid NOT NULL,
    recipient_kid bigint NOT NULL,
    agent_id uuid NOT NULL,
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    status text NOT NULL CHECK (status IN ('active', 'revoked', 'expired')),
    valid_from bigint,
    valid_to bigint,
    revoked_at bigint,
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, recipient_kid)
);

CREATE TABLE api_keys (
    key_hash bytea PRIMARY KEY CHECK (length(key_hash) = 32),
    tenant_id uuid NOT NULL,
    -- Empty means every store of the tenant.
    store_ids uuid[] NOT NULL,
    agent_id uuid,
    can_read boolean NOT NULL,
    can_write boolean NOT NULL,
    can_admin boolean NOT NULL,
    active boolean NOT NULL,
    rate_limit bigint CHECK (rate_limit > 0),
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

CREATE TABLE sequencer_keys (
    key_version bigint PRIMARY KEY,
    sequencer_id uuid NOT NULL,
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    created_at bigint NOT NULL
);

CREATE TABLE settings (
    name text PRIMARY KEY,
    value bytea NOT NULL
);
