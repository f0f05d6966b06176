//! `schemas` on a database that nobody writes, and through a service that does.

use std::path::Path;

use serde_json::{Value, json};
use stateset_sequencer_api::{ApiConfig, ServerConfig, doors, install_bootstrap_key, serve};
use ves::StreamKey;

use crate::{json as json_of, run, world};

const ADMIN: &str = "ss_bootstrap_admin_key_of_the_tests";

fn write(at: &Path, name: &str, value: &Value) {
    std::fs::write(at.join(name), value.to_string()).unwrap();
}

/// Files of two versions, the second of which admits less, and of payloads that the first admits and refuses.
fn files(at: &Path) {
    let with = |required: Value| json!({"type": "object", "required": required, "properties": {"total": {"type": "string"}}});
    write(at, "first.json", &with(json!([])));
    write(at, "narrower.json", &with(json!(["total"])));
    write(at, "good.json", &json!({"total": "1.00"}));
    write(at, "bad.json", &json!({"total": 1}));
    std::fs::write(at.join("broken.json"), "{").unwrap();
}

/// Exit status and the JSON of a command, or the text of its error.
fn of(at: &Path, command: &str, args: &[&str], global: &[&str]) -> (i32, Value) {
    let all = [&["schemas", command], args, global].concat();
    let (status, out, error) = run(at, &[&all[..], &["--json"]].concat());
    (status, serde_json::from_str(&out).unwrap_or(Value::String(error)))
}

/// The same whoever writes the database.
fn lifecycle(at: &Path, stream: &StreamKey, global: &[&str]) {
    let tenant = stream.tenant_id.to_string();
    let typed = ["--tenant-id", tenant.as_str(), "--event-type", "order.made"];
    let with = |rest: &[&'static str]| -> Vec<&str> { typed.iter().chain(rest).copied().collect() };

    let (status, tried) = of(at, "register", &with(&["--dry-run", "first.json"]), global);
    assert_eq!((status, &tried["version"]), (0, &json!(1)));
    assert_eq!(of(at, "list", &["--tenant-id", &tenant], global).1["count"], 0, "it was only tried");
    let (status, first) = of(at, "register", &with(&["first.json"]), global);
    assert_eq!((status, &first["version"]), (0, &json!(1)));
    let (status, refused) = of(at, "register", &with(&["narrower.json"]), global);
    let refused = refused.as_str().unwrap_or_default();
    assert!(status == 2 && refused.contains("not backward compatible with version 1"), "{refused}");
    let (status, _) = of(at, "register", &with(&["--compatibility", "forward", "narrower.json"]), global);
    assert_eq!(status, 0);

    let (_, listed) = of(at, "list", &["--tenant-id", &tenant], global);
    let versions: Vec<&Value> = listed["schemas"].as_array().unwrap().iter().map(|s| &s["version"]).collect();
    assert_eq!(versions, [1, 2]);
    let page = of(at, "list", &["--tenant-id", &tenant, "--limit", "1"], global).1;
    let next = page["next"].as_str().unwrap();
    let rest = of(at, "list", &["--tenant-id", &tenant, "--after", next], global).1;
    assert_eq!(rest["schemas"][0]["version"], 2);
    let second = rest["schemas"][0]["id"].as_str().unwrap();
    assert_eq!(of(at, "show", &[second], global).1["schemaJson"]["required"], json!(["total"]));

    assert_eq!(of(at, "check", &with(&["good.json"]), global).1["schemaVersion"], 2);
    let (status, found) = of(at, "check", &with(&["bad.json"]), global);
    assert_eq!(
        (status, &found["valid"], &found["errors"][0]["path"]),
        (1, &json!(false), &json!("payload.total"))
    );
    let (status, error) = of(at, "check", &with(&["broken.json"]), global);
    assert!(status == 2 && error.as_str().unwrap().contains("broken.json: it is not JSON"), "{error}");

    assert_eq!(of(at, "activate", &[second], global).1["was"], "active", "it is active already");
    assert_eq!(of(at, "archive", &[second], global).0, 2, "one step at a time");
    assert_eq!(of(at, "deprecate", &[second], global).1["status"], "deprecated");
    let (status, error) = of(at, "activate", &[second], global);
    assert!(status == 2 && error.as_str().unwrap().contains("does not become active"), "{error}");
    assert_eq!(of(at, "archive", &[second], global).1["was"], "deprecated");
    let unknown = stream.tenant_id.to_string();
    assert_eq!(of(at, "show", &[&unknown], global).0, 2);
}

#[test]
fn schemas_live_and_are_asked_about_while_no_service_runs_and_bind_it_when_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, agent) = world::make(at, 2);
    files(at);
    lifecycle(at, &stream, &[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sequencer = world::open(at);
        let event = |n, payload: Value| {
            let text = payload.to_string();
            Ok(stateset_fixtures::sign_payload(&agent, &stream, n, "order.made", text))
        };
        let events = vec![event(10, json!({"total": "1"})), event(11, json!({"total": 1}))];
        let outcome = sequencer.ingest(stream, events).await.unwrap();
        let accepted = |result| matches!(result, &stateset_sequencer::EventResult::Accepted(_));
        assert_eq!(outcome.results.iter().map(accepted).collect::<Vec<_>>(), [true, false]);
        sequencer.shutdown().await;
    });
}

#[test]
fn schemas_are_changed_through_the_service_that_writes_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, _) = world::make(at, 2);
    files(at);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (sequencer, address) = runtime.block_on(async {
        let sequencer = world::open(at);
        install_bootstrap_key(&sequencer, ADMIN).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rest = doors(sequencer.clone(), ApiConfig::default()).rest;
        tokio::spawn(serve(listener, rest, ServerConfig::default(), std::future::pending()));
        (sequencer, address)
    });
    let server = format!("http://{address}");
    lifecycle(at, &stream, &["--server", &server, "--api-key", ADMIN]);
    let records = runtime.block_on(sequencer.audit_records(0, 100)).unwrap();
    let of_schemas: Vec<_> = records.iter().filter(|record| record.action.starts_with("schema_")).collect();
    assert_eq!(of_schemas.len(), 4);
    assert!(of_schemas.iter().all(|record| record.actor_type == ves::audit::ActorType::Bootstrap));
    // Without a key nothing is changed, and it is said what to do.
    let args = [
        "schemas",
        "register",
        "--tenant-id",
        &stream.tenant_id.to_string(),
        "--event-type",
        "t",
        "first.json",
    ];
    let (status, _, error) = run(at, &args);
    assert!(status == 1 && error.contains("--api-key"), "{error}");
    runtime.block_on(sequencer.shutdown());
    assert_eq!(json_of(at, &["audit", "verify"]).0, 0);
}
