//! Every command, and what the audit log holds of it. A new command that is not in the table fails, and so does one that
//! does not record what the table says.

use std::collections::BTreeMap;
use std::path::Path;

use stateset_event_log::{Document, DocumentChange, EventLog as _, SqliteLog, Table};
use stateset_projection::Checkpoint;
use ves::StreamKey;
use ves::audit::AuditRecord;

use crate::{admin, world};

/// `None`: it changes nothing, or nothing that an administrator decides.
const COMMANDS: &[(&str, Option<&str>)] = &[
    // What every start of the service does too.
    ("migrate", None),
    ("verify-proof", None),
    ("export-events", None),
    ("rotate-keys", Some("agent_key_rotated")),
    ("list-agent-keys", None),
    ("backfill-ves-state-roots", None),
    ("reencrypt-events", Some("custom:payloads_reencrypted")),
    ("reencrypt-ves-validity-proofs", Some("custom:payloads_reencrypted")),
    ("reencrypt-ves-compliance-proofs", Some("custom:payloads_reencrypted")),
    ("api-keys create", Some("api_key_created")),
    ("api-keys list", None),
    ("api-keys revoke", Some("api_key_revoked")),
    ("audit export", None),
    ("audit verify", None),
    ("projections status", None),
    ("projections check", None),
    ("projections rebuild", Some("custom:projections_rebuilt")),
    ("dlq list", None),
    ("dlq show", None),
    ("dlq retry", Some("dead_letter_retried")),
    ("dlq purge", Some("dead_letter_purged")),
    ("schemas register", Some("schema_registered")),
    ("schemas list", None),
    ("schemas show", None),
    // No step leads to it, so it never changes anything.
    ("schemas activate", None),
    ("schemas deprecate", Some("schema_deprecated")),
    ("schemas archive", Some("schema_updated")),
    ("schemas check", None),
    ("commands", None),
    ("version", None),
];

fn leaves(command: &clap::Command, before: &str, all: &mut Vec<String>) {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let name = format!("{before}{}", inner.get_name());
        match inner.has_subcommands() {
            true => leaves(inner, &format!("{name} "), all),
            false => all.push(name),
        }
    }
}

#[test]
fn every_command_is_in_the_table() {
    let mut all = Vec::new();
    leaves(&stateset_sequencer_admin::command(), "", &mut all);
    let named: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
    assert_eq!(all, named, "say in the table what the audit log holds of each command");
}

/// The newest record.
fn newest(at: &Path) -> AuditRecord {
    let log = SqliteLog::open(at.join("log.db")).unwrap();
    let rows = log.reader().documents(Table::AuditLog, &[], None, 1_000).unwrap();
    let records = rows.iter().filter(|row| row.key.len() == 8);
    records.map(|row| AuditRecord::read(&row.text).unwrap()).next_back().expect("a record")
}

/// Runs a command that has to succeed, with keys of encryption where it is about those; what it printed as JSON.
fn done(at: &Path, command: &str, args: &[&str]) -> serde_json::Value {
    let mut program = admin(at);
    if command.starts_with("reencrypt") {
        program.env("PAYLOAD_ENCRYPTION_MODE", "optional").env("PAYLOAD_ENCRYPTION_KEY", "11".repeat(32));
    }
    let ended = program.args(command.split(' ')).args(args).arg("--json").output().unwrap();
    assert!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// As after a service folded the events of a stream.
fn states_are_built(at: &Path, stream: &StreamKey) {
    let checkpoint = Checkpoint { sequence: 4, ..Checkpoint::default() };
    let key = [&stream.tenant_id.as_bytes()[..], stream.store_id.as_bytes()].concat();
    let text = serde_json::to_string(&checkpoint).unwrap();
    let document = Document { key, text, content: Vec::new() };
    let mut log = SqliteLog::open(at.join("log.db")).unwrap();
    log.put_documents(&[DocumentChange::Put(Table::ProjectionCheckpoints, document)]).unwrap();
    Box::new(log).close().unwrap();
}

#[test]
fn every_command_that_changes_something_records_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, agent) = world::make(at, 4);
    let (tenant, agent_id) = (stream.tenant_id.to_string(), agent.agent_id.to_string());
    let next = agent.with_key(ves::KeyId(2));
    let (public, proof) = (ves::hex::encode(&next.public_key()), ves::hex::encode(&next.possession_bound()));
    std::fs::write(at.join("schema.json"), r#"{"type": "object"}"#).unwrap();
    states_are_built(at, &stream);
    // What an earlier command made and a later one names.
    let mut made: BTreeMap<&str, String> = BTreeMap::new();
    let expected = COMMANDS.iter().filter_map(|(command, action)| Some((*command, (*action)?)));
    for (command, action) in expected {
        let of_tenant = ["--tenant-id", tenant.as_str()];
        let named = |name: &str| made.get(name).map_or("", String::as_str);
        let args: Vec<&str> = match command {
            "rotate-keys" => vec![
                "--agent-id",
                &agent_id,
                "--new-key-id",
                "2",
                "--public-key",
                &public,
                "--proof-of-possession",
                &proof,
            ],
            "api-keys create" => vec!["--agent-id", &agent_id],
            "api-keys revoke" => vec![named("api-keys create")],
            "dlq retry" => vec!["--all"],
            "dlq purge" => vec!["--status", "resolved"],
            "schemas register" => vec!["--event-type", "order.made", "schema.json"],
            "schemas deprecate" | "schemas archive" => vec![named("schemas register")],
            _ => Vec::new(),
        };
        let has_tenant = !matches!(command, "api-keys revoke" | "schemas deprecate" | "schemas archive");
        let of_tenant = if has_tenant { &of_tenant[..] } else { &[] };
        let before = newest(at).seq;
        let said = done(at, command, &[of_tenant, &args].concat());
        for member in ["key_hash_prefix", "id"] {
            if let Some(id) = said[member].as_str() {
                made.insert(command, id.to_owned());
            }
        }
        let record = newest(at);
        assert_eq!((record.action.as_str(), record.seq), (action, before + 1), "{command}");
        assert_eq!(record.actor_type, ves::audit::ActorType::AdminCli, "{command}");
        assert_eq!(record.tenant_id, Some(stream.tenant_id), "{command}");
    }
    assert!(done(at, "audit verify", &[])["holds"].as_bool().unwrap());
}
