-- What one entity knows of the shared ledger: transactions, its states, and flows under way.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Notarised transactions that were found valid.
CREATE TABLE transactions (
    tx_id       BLOB    PRIMARY KEY CHECK (length(tx_id) = 32),
    height      INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    -- Of the block, Unix milliseconds.
    time_ms     INTEGER NOT NULL,
    -- The signed transaction, in its canonical encoding.
    signed      BLOB    NOT NULL,
    -- 1: the entity takes part. 0: an ancestor only.
    own         INTEGER NOT NULL CHECK (own IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX transactions_by_place ON transactions (height, position);

-- What each transaction consumes or would consume, those under way included: the way from a transaction to its descendants.
CREATE TABLE inputs (
    consumer BLOB    NOT NULL,
    place    INTEGER NOT NULL,
    tx_id    BLOB    NOT NULL,
    output   INTEGER NOT NULL,
    PRIMARY KEY (consumer, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX inputs_by_output ON inputs (tx_id, output);

-- Who takes part in each transaction, by its outputs and inputs.
CREATE TABLE members (
    tx_id  BLOB NOT NULL,
    entity BLOB NOT NULL CHECK (length(entity) = 20),
    PRIMARY KEY (tx_id, entity)
) STRICT, WITHOUT ROWID;

-- Outputs in which the entity takes part.
CREATE TABLE states (
    position    INTEGER PRIMARY KEY,
    tx_id       BLOB    NOT NULL,
    output      INTEGER NOT NULL,
    linear_id   BLOB    CHECK (length(linear_id) = 16),
    type_id     INTEGER NOT NULL,
    contract_id TEXT    NOT NULL,
    -- What the type's content says of itself; NULL where no contract of this program reads it.
    status      TEXT,
    number      TEXT,
    version     INTEGER,
    height      INTEGER NOT NULL,
    time_ms     INTEGER NOT NULL,
    spent_key   BLOB    NOT NULL CHECK (length(spent_key) = 32),
    consumer    BLOB    CHECK (length(consumer) = 32),
    state       BLOB    NOT NULL,
    UNIQUE (tx_id, output)
) STRICT;
CREATE INDEX states_by_linear_id ON states (linear_id, position);
CREATE INDEX states_by_type ON states (type_id, status, position);
CREATE INDEX states_unspent ON states (position) WHERE consumer IS NULL;

CREATE TABLE roles (
    position INTEGER NOT NULL REFERENCES states (position),
    role     TEXT    NOT NULL,
    entity   BLOB    NOT NULL CHECK (length(entity) = 20),
    PRIMARY KEY (position, role, entity)
) STRICT, WITHOUT ROWID;
CREATE INDEX roles_by_entity ON roles (entity, role, position);

-- States that a signed transaction would consume, until it is notarised or dead.
CREATE TABLE locks (
    tx_id   BLOB    NOT NULL,
    output  INTEGER NOT NULL,
    flow_id BLOB    NOT NULL,
    PRIMARY KEY (tx_id, output)
) STRICT, WITHOUT ROWID;

CREATE TABLE flows (
    flow_id    BLOB    PRIMARY KEY CHECK (length(flow_id) = 16),
    session    BLOB    NOT NULL UNIQUE CHECK (length(session) = 8),
    tx_id      BLOB    NOT NULL,
    phase      TEXT    NOT NULL,
    began_ms   INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX flows_by_tx ON flows (tx_id);

-- Every step of every flow, written before what follows from it is done.
CREATE TABLE journal (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    flow_id  BLOB    NOT NULL,
    at_ms    INTEGER NOT NULL,
    entry    BLOB    NOT NULL
) STRICT;
CREATE INDEX journal_by_flow ON journal (flow_id, position);

-- What follows from journalled steps and is not known to be done.
CREATE TABLE todo (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    flow_id  BLOB    NOT NULL,
    due_ms   INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    effect   BLOB    NOT NULL
) STRICT;
CREATE INDEX todo_by_due ON todo (due_ms, position);

-- Messages of peers, kept before they are acknowledged.
CREATE TABLE inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    peer     BLOB    NOT NULL CHECK (length(peer) = 20),
    session  BLOB    NOT NULL CHECK (length(session) = 8),
    kind     INTEGER NOT NULL,
    payload  BLOB    NOT NULL
) STRICT;
