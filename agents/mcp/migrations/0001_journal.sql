-- First answers by idempotency key.
CREATE TABLE calls (
    key TEXT PRIMARY KEY NOT NULL,
    tool TEXT NOT NULL,
    -- SHA-256 of the arguments: the same key for something else is refused.
    arguments_hash BLOB NOT NULL,
    -- What was chosen before the first try, as JSON.
    plan TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    -- What the agent spent by itself; NULL where a person approved it or it is worth nothing.
    currency TEXT,
    minor INTEGER,
    -- JSON; NULL while nobody knows whether it was carried out.
    answer TEXT
) STRICT;
CREATE INDEX calls_by_time ON calls (at_ms);
CREATE INDEX calls_by_spending ON calls (currency, at_ms) WHERE currency IS NOT NULL;

-- Calls that wait for a person, and what became of them.
CREATE TABLE approvals (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tool TEXT NOT NULL,
    arguments TEXT NOT NULL,
    reason TEXT NOT NULL,
    currency TEXT,
    amount TEXT,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'failed')),
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    decided_ms INTEGER,
    answer TEXT
) STRICT;
CREATE INDEX approvals_by_state ON approvals (state);
