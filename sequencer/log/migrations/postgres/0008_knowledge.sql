-- Tables of documents: schemas, what projections derive, payments, the audit log.

CREATE TABLE event_schemas (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE event_schema_ids (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE dead_letter_events (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE dead_letter_ids (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE projection_checkpoints (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE projection_states (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE projection_snapshots (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE rejected_events_log (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE x402_payment_intents (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE x402_payment_intent_ids (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE x402_nonce_tracking (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE x402_idempotency_keys (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE x402_payment_lists (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE x402_payment_batches (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE audit_log (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE reencryption_progress (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
