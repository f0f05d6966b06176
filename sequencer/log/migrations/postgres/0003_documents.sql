-- Documents: what the service keeps beside signed events. `text` is JSON, `content` what is no text.

CREATE TABLE ves_validity_proofs (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE ves_compliance_proofs (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE ves_proof_ids (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE key_rotation_policies (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE key_usage_counters (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE encryption_key_groups (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE encryption_key_group_members (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE agent_sync_state (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE events (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE event_ids (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE event_command_dedupe (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE entity_versions (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE entity_events (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE commitments (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE commitment_ids (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE ves_anchors (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
