//! Keys of what is sealed in the database, and the commands that rotate them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use stateset_at_rest::{AtRest, Key, KeyName, Keys, Mode};
use stateset_client::audit::{Report, audit_since};
use stateset_event_log::{Opening, SqliteReader, SqliteStore};
use stateset_fixtures::{Agent, resign, sequencer_key, sign_payload, stream};
use stateset_sequencer::{Config, Sequencer, SystemClock, Workers};
use stateset_sequencer_admin::database::{DbCommand, Target, run};
use stateset_sequencer_admin::store_source::StoreSource;
use stateset_sequencer_app::joined::{WorkerSettings, projections, store, workers};
use stateset_sequencer_app::terminal::Output;
use ves::SequencerId;

use crate::{admin, world};

/// Runs with a mode and keys: exit status, stdout, stderr.
fn with_keys(folder: &Path, mode: &str, keys: &[u8], args: &[&str]) -> (i32, String, String) {
    let keys: Vec<String> = keys.iter().map(|n| ves::hex::encode(&[*n; 32])).collect();
    let mut command = admin(folder);
    command.env("PAYLOAD_ENCRYPTION_MODE", mode);
    if !keys.is_empty() {
        command.env("PAYLOAD_ENCRYPTION_KEYS", keys.join(","));
    }
    let ended = command.args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code().unwrap_or(-1), text(ended.stdout), text(ended.stderr))
}

fn done(folder: &Path, mode: &str, keys: &[u8], args: &[&str]) -> Value {
    let (status, out, error) = with_keys(folder, mode, keys, &[args, &["--json"]].concat());
    assert_eq!(status, 0, "{args:?}: {error}");
    serde_json::from_str(&out).unwrap()
}

const ALL: [&str; 3] =
    ["reencrypt-events", "reencrypt-ves-validity-proofs", "reencrypt-ves-compliance-proofs"];

#[test]
fn a_database_is_sealed_rotated_and_opened_again_by_commands() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, _) = world::make(at, 40);
    let export =
        ["export-events", "--tenant-id", &stream.tenant_id.to_string(), "--store-id"].map(str::to_owned);
    let store = stream.store_id.to_string();
    let export: Vec<&str> = export.iter().map(String::as_str).chain([store.as_str()]).collect();
    let (_, clear, _) = with_keys(at, "disabled", &[], &export);
    assert_eq!(clear.lines().count(), 40);

    let counted = done(at, "optional", &[1], &["reencrypt-events", "--dry-run"]);
    assert_eq!(
        (&counted["seen"], &counted["rewritten"], &counted["all_done"]),
        (&40.into(), &40.into(), &Value::Null)
    );
    let some = done(at, "optional", &[1], &["reencrypt-events", "--limit", "15", "--batch-size", "10"]);
    assert_eq!((&some["rewritten"], &some["all_done"]), (&15.into(), &false.into()));
    let rest = done(at, "optional", &[1], &["reencrypt-events"]);
    assert_eq!(
        (&rest["seen"], &rest["rewritten"], &rest["all_done"]),
        (&25.into(), &25.into(), &false.into())
    );
    done(at, "optional", &[1], &[ALL[1]]);
    assert_eq!(done(at, "optional", &[1], &[ALL[2]])["all_done"], true);

    // Sealed: read with the key, and without it not as something else.
    assert_eq!(with_keys(at, "required", &[1], &export).1, clear);
    let (status, out, error) = with_keys(at, "disabled", &[], &export);
    assert!(status == 1 && out.is_empty() && error.contains("PAYLOAD_ENCRYPTION_KEY"), "{out}{error}");
    let (status, _, error) = with_keys(at, "optional", &[2], &[ALL[0]]);
    assert!(status == 1 && error.contains("PAYLOAD_ENCRYPTION_KEYS"), "{error}");
    // What needs no payload needs no key.
    assert_eq!(with_keys(at, "disabled", &[], &["backfill-ves-state-roots", "--force"]).0, 0);

    for command in ALL {
        done(at, "required", &[2, 1], &[command]);
    }
    assert_eq!(with_keys(at, "required", &[2], &export).1, clear, "the first key is needed no more");
    let again = done(at, "required", &[2], &["reencrypt-events", "--force"]);
    assert_eq!(again["rewritten"], 40);

    for command in ALL {
        done(at, "disabled", &[2], &[command]);
    }
    assert_eq!(with_keys(at, "disabled", &[], &export).1, clear, "byte for byte as it was");
    let nothing = done(at, "disabled", &[], &["reencrypt-events"]);
    assert_eq!((&nothing["rewritten"], &nothing["all_done"]), (&0.into(), &true.into()));
}

/// Runs with the first key given up as lost.
fn with_first_lost(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = admin(folder);
    command.env("PAYLOAD_ENCRYPTION_MODE", "optional");
    command.env("PAYLOAD_ENCRYPTION_KEYS", ves::hex::encode(&[2; 32]));
    command.env("PAYLOAD_ENCRYPTION_LOST_KEYS", KeyName::of(&[1; 32]).to_string());
    let ended = command.args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code().unwrap_or(-1), text(ended.stdout), text(ended.stderr))
}

#[test]
fn no_command_calls_older_keys_needless_while_a_record_was_opened_by_none() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    world::make(at, 12);
    for command in ALL {
        done(at, "optional", &[1], &[command]);
    }
    for round in 0..2 {
        let ended = ALL.map(|command| with_first_lost(at, &[command, "--json"]));
        let [.., (status, out, error)] = &ended;
        assert!(*status == 1 && error.contains("12 records") && error.contains("SEALED"), "{round}: {error}");
        assert_eq!(serde_json::from_str::<Value>(out).unwrap()["all_done"], false, "{round}");
    }
    let (_, out, error) = with_first_lost(at, &[ALL[0]]);
    assert!(!format!("{out}{error}").contains("needed no more"), "{out}{error}");

    let found = ALL.map(|command| done(at, "optional", &[2, 1], &[command]));
    assert_eq!((&found[0]["rewritten"], &found[2]["all_done"]), (&12.into(), &true.into()));
    assert_eq!(done(at, "required", &[2], &[ALL[0]])["all_done"], true);
}

#[test]
fn a_rotation_needs_the_writers_place() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, _) = world::make(at, 4);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let service = runtime.block_on(async { world::open(at) });
    let (status, _, error) = with_keys(at, "optional", &[1], &["reencrypt-events"]);
    assert!(status == 1 && error.contains("rotates by itself"), "{error}");
    let tenant = stream.tenant_id.to_string();
    let counted = done(at, "optional", &[1], &["reencrypt-events", "--dry-run", "--tenant-id", &tenant]);
    assert_eq!(counted["rewritten"], 4, "counting does not");
    runtime.block_on(service.shutdown());
    assert_eq!(with_keys(at, "optional", &[1], &["reencrypt-events", "--store-id", &tenant]).0, 2);
    std::fs::remove_file(at.join("log.db")).unwrap();
    assert_eq!(with_keys(at, "optional", &[1], &["reencrypt-events"]).0, 2, "none is made by a slip");
}

/// What an audit of `folder`/FILE finds with these keys.
fn audit(folder: &Path, file: &str, keys: &[u8]) -> Report {
    let mut target = Target::file(&folder.join(file)).unwrap();
    target.workers.at_rest = at_rest(Mode::Optional, keys);
    let source = StoreSource::open(&target).unwrap();
    let (identity, stream) = (source.published_identity().unwrap(), stream(1));
    let agents = source.signing_keys(&stream).unwrap();
    let keys = stateset_client::audit::Keys { agents: &agents, sequencer: &identity };
    audit_since(&source, &stream, &keys, None, &|_, _| ()).unwrap()
}

#[test]
fn a_sealed_log_is_checked_without_keys_but_for_its_payloads_and_its_backup_is_as_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    world::make(at, 40);
    for command in ALL {
        done(at, "optional", &[1], &[command]);
    }
    let out = Output::new(true, true);
    let target = Target::file(&at.join("log.db")).unwrap();
    run(&out, &target, &DbCommand::Check).expect("all that can be checked without a key holds");
    run(&out, &target, &DbCommand::Backup { file: at.join("copy.db") }).expect("a backup needs no key");
    let restored = Target::file(&at.join("restored.db")).unwrap();
    run(&out, &restored, &DbCommand::Restore { file: at.join("copy.db") }).expect("nor does its restoration");
    for file in ["log.db", "copy.db", "restored.db"] {
        let (blind, seeing) = (audit(at, file, &[]), audit(at, file, &[1]));
        assert!(blind.holds() && seeing.holds(), "{file}: {blind:?} {seeing:?}");
        assert_eq!((blind.payloads_sealed, seeing.payloads_sealed), (40, 0), "{file}");
        assert_eq!(blind.log_root, seeing.log_root);
        assert_eq!(audit(at, file, &[2]).payloads_sealed, 40, "another key opens nothing");
    }
}

fn at_rest(mode: Mode, keys: &[u8]) -> AtRest {
    let keys: Vec<Key> = keys.iter().map(|n| Key::new([*n; 32])).collect();
    AtRest::new(Keys::new(mode, &keys, &BTreeMap::new(), BTreeSet::new()).unwrap())
}

/// An order whose event and state are sealed, made by a whole service on `folder`/log.db.
async fn sealed_state(folder: &Path) {
    let settings = WorkerSettings { at_rest: at_rest(Mode::Required, &[1]), ..WorkerSettings::default() };
    let Ok(Opening::Writer(log)) = store(Arc::new(SqliteStore::new(folder.join("log.db"))), &settings).open()
    else {
        panic!("the database does not open")
    };
    let config = Config::new(SequencerId::from_bytes([9; 16]), Arc::new(sequencer_key(1)), 1);
    let sequencer = Sequencer::start(log, config, Arc::new(SystemClock)).unwrap();
    let (stream, agent) = (stream(1), Agent::new(&stream(1), 1));
    sequencer.register_agent_key(agent.registered_key()).await.unwrap();
    let workers = Workers::start(&workers(&settings), &sequencer);
    let mut event = sign_payload(&agent, &stream, 1, "order.created", r#"{"customer_id":"C"}"#.to_owned());
    (event.entity_type, event.entity_id) = ("order".into(), "O-1".into());
    sequencer.ingest(stream, vec![Ok(resign(event, &agent))]).await.unwrap();
    let reader = SqliteReader::open(folder.join("log.db")).unwrap();
    let since = Instant::now();
    while projections::status(&reader, &stream).unwrap().applied < 1 {
        assert!(since.elapsed() < Duration::from_secs(30), "no state was made");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    workers.stop(Duration::from_secs(10)).await;
    sequencer.shutdown().await;
}

#[test]
fn sealed_states_are_checked_with_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(sealed_state(at));
    let found = done(at, "required", &[1], &["projections", "check"]);
    assert_eq!((&found["entities"], &found["differences_count"]), (&1.into(), &0.into()));
    let (status, _, error) = with_keys(at, "disabled", &[], &["projections", "check"]);
    assert!(status == 1 && error.contains("sealed at rest"), "{error}");
}

#[test]
fn states_are_built_from_nothing_while_the_service_is_stopped_and_no_other_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    world::make(at, 4);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let service = runtime.block_on(async { world::open(at) });
    let (status, _, error) = crate::run(at, &["projections", "rebuild"]);
    assert_eq!(status, 1, "{error}");
    assert!(error.contains("stop it") && !error.contains("--server"), "{error}");
    runtime.block_on(service.shutdown());
    assert_eq!(crate::run(at, &["projections", "rebuild"]).0, 0);
}
