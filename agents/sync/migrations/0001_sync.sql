-- One agent's events on their way to one stream, and what was verified of that stream.

-- What this file belongs to, and what was last seen.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Events of the agent in the order in which they were appended.
CREATE TABLE outbox (
    position        INTEGER PRIMARY KEY,
    event_id        BLOB    NOT NULL UNIQUE CHECK (length(event_id) = 16),
    key_id          INTEGER NOT NULL,
    entity_type     TEXT    NOT NULL,
    entity_id       TEXT    NOT NULL,
    -- Unsigned, so it may change while the event is not in the stream.
    base_version    INTEGER,
    -- The event as JSON, without base_version.
    envelope        TEXT    NOT NULL,
    -- Group of recipients that the payload was sealed for.
    group_id        BLOB,
    -- 0 pending, 1 sent, 2 receipted, 3 refused, 4 conflict
    state           INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 4),
    attempts        INTEGER NOT NULL DEFAULT 0,
    rebases         INTEGER NOT NULL DEFAULT 0,
    sequence_number INTEGER,
    receipt         TEXT,
    reason          TEXT,
    actual_version  INTEGER,
    CHECK ((state = 2) = (sequence_number IS NOT NULL AND receipt IS NOT NULL))
) STRICT;
CREATE INDEX outbox_open ON outbox (position) WHERE state IN (0, 1);
CREATE INDEX outbox_conflicts ON outbox (position) WHERE state = 4;
CREATE UNIQUE INDEX outbox_places ON outbox (sequence_number) WHERE sequence_number IS NOT NULL;

-- The stream, from number 1 without gaps. A row is here only after every check.
CREATE TABLE events (
    sequence_number INTEGER PRIMARY KEY,
    event_id        BLOB    NOT NULL UNIQUE CHECK (length(event_id) = 16),
    entity_type     TEXT    NOT NULL,
    entity_id       TEXT    NOT NULL,
    -- Version of the entity after this event.
    version         INTEGER NOT NULL,
    event_type      TEXT    NOT NULL,
    envelope        TEXT    NOT NULL,
    receipt         TEXT    NOT NULL,
    -- Leaf hash of the stream's log (VES section 13.1).
    leaf            BLOB    NOT NULL CHECK (length(leaf) = 32)
) STRICT;
CREATE INDEX events_by_entity ON events (entity_type, entity_id, version);

-- Whole tiles of the stream's log (VES section 13.4).
CREATE TABLE tiles (
    level INTEGER NOT NULL,
    place INTEGER NOT NULL,
    nodes BLOB    NOT NULL,
    PRIMARY KEY (level, place)
) STRICT, WITHOUT ROWID;

-- Keys of agents, from signed directories.
CREATE TABLE agent_keys (
    agent_id BLOB    NOT NULL CHECK (length(agent_id) = 16),
    -- 0 signing, 1 encryption
    kind     INTEGER NOT NULL,
    key_id   INTEGER NOT NULL,
    key      TEXT    NOT NULL,
    PRIMARY KEY (agent_id, kind, key_id)
) STRICT, WITHOUT ROWID;

-- Recipients of a group as last seen, each held against the signed directory of its agent.
CREATE TABLE recipient_groups (
    group_id   BLOB PRIMARY KEY CHECK (length(group_id) = 16),
    name       TEXT NOT NULL,
    recipients TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a server was caught at.
CREATE TABLE faults (
    fault   INTEGER PRIMARY KEY,
    at_ms   INTEGER NOT NULL,
    code    TEXT    NOT NULL,
    message TEXT    NOT NULL
) STRICT;
