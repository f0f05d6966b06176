//! An agent that was offline: its outbox and replica against a real service, through a network that fails.

mod proxy;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_acceptance::events::stored;
use stateset_acceptance::service::command_of;
use stateset_acceptance::{Service, stateset_sync};
use stateset_fixtures::Seed;

use self::proxy::Proxy;

/// Events of the run with cut connections; a long form takes another number.
const EVENTS: u64 = 1_500;
const EVENTS_VARIABLE: &str = "STATESET_SYNC_EVENTS";

/// `stateset-sync --json --dir`, to be followed by the folder.
fn sync() -> Command {
    command_of(stateset_sync(), &["--json", "--dir"])
}

/// One agent's folder.
struct Agent {
    folder: PathBuf,
}

impl Agent {
    fn new(service_data: &Path, folder: PathBuf) -> Self {
        let agent = Self { folder };
        agent.good(&["init", "--up", service_data.to_str().expect("a plain path")]);
        let keys = agent.good(&["keys:generate"]);
        assert_eq!(keys["registered"], true, "{keys}");
        agent
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, Value, Value) {
        let mut command = sync();
        let output = command.arg(&self.folder).args(arguments).output().expect("stateset starts");
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
        (output.status.code(), read(&output.stdout), read(&output.stderr))
    }

    fn good(&self, arguments: &[&str]) -> Value {
        let (code, said, error) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said} {error}");
        said
    }

    fn refused(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (code, _, error) = self.run(arguments);
        (code, error["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    fn config(&self) -> Value {
        let text = std::fs::read_to_string(self.folder.join("sync.json")).expect("a configuration");
        serde_json::from_str(&text).expect("JSON")
    }

    fn talks_to(&self, url: &str) {
        let mut config = self.config();
        config["server"] = json!(url);
        std::fs::write(self.folder.join("sync.json"), config.to_string()).expect("is written");
    }

    fn id(&self) -> String {
        self.config()["agent_id"].as_str().expect("an agent").to_owned()
    }

    fn drafts(&self, range: std::ops::Range<u64>) -> PathBuf {
        let path = self.folder.join("drafts.jsonl");
        let lines = range.map(|n| {
            let draft = json!({"entity_type": "order", "entity_id": format!("ORD-{n:06}"),
                "event_type": "order.created", "payload": {"total": n}});
            format!("{draft}\n")
        });
        std::fs::write(&path, lines.collect::<String>()).expect("is written");
        path
    }

    fn append(&self, range: std::ops::Range<u64>) {
        let path = self.drafts(range);
        self.good(&["append", path.to_str().expect("a plain path")]);
    }

    /// Ids of the outbox in the order of appends, with the places that their receipts name.
    fn outbox(&self) -> Vec<(String, Option<u64>)> {
        let (mut all, mut from) = (Vec::new(), 1_u64);
        loop {
            let from_text = from.to_string();
            let page = self.good(&["log", "--outbox", "--from", &from_text, "--limit", "10000"]);
            let page = page.as_array().expect("a list");
            let entry = |entry: &Value| {
                let id = entry["envelope"]["event_id"].as_str().expect("an id").to_owned();
                (id, entry["receipt"]["sequenceNumber"].as_u64())
            };
            all.extend(page.iter().map(entry));
            match page.last() {
                Some(last) => from = last["position"].as_u64().expect("a place") + 1,
                None => return all,
            }
        }
    }
}

#[test]
fn events_of_days_offline_arrive_once_and_in_order_through_cut_connections_and_kills() {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let events = std::env::var(EVENTS_VARIABLE).ok().map_or(EVENTS, |text| text.parse().expect("a number"));
    let agent = Agent::new(data.path(), data.path().join("agent"));
    agent.talks_to("http://127.0.0.1:1");
    agent.append(0..events);
    assert_eq!(agent.refused(&["push"]), (Some(1), "SERVER_UNREACHABLE".to_owned()));

    let mut seed = Seed::new("cut connections", 7);
    let proxy = Proxy::start(&service.url, seed.clone());
    agent.talks_to(proxy.url());
    let mut rounds = 0;
    loop {
        rounds += 1;
        assert!(rounds < 400, "the outbox is never empty");
        let mut push = sync();
        let mut push = push
            .arg(&agent.folder)
            .arg("push")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("stateset starts");
        if seed.below(3) == 0 {
            std::thread::sleep(Duration::from_millis(seed.below(120)));
            // It may have ended by itself.
            let _ = push.kill();
        }
        if push.wait().expect("ends").success() {
            break;
        }
    }
    assert!(proxy.cuts() >= 3, "the network was too good: {} cuts", proxy.cuts());

    let sent = agent.outbox();
    assert_eq!(sent.len() as u64, events);
    let places: Vec<u64> = sent.iter().map(|(_, place)| place.expect("a receipt")).collect();
    assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "the order was lost");
    let stream = service.default_stream();
    let there = stored(&service.rest(), &stream, 1).expect("a stream without gaps");
    assert_eq!(there.len() as u64, events, "lost or doubled");
    for ((id, place), event) in sent.iter().zip(&there) {
        assert_eq!((id, *place), (&event.event_id, Some(event.sequence_number)));
    }

    // A second agent pulls all of it through the same network.
    let reader = Agent::new(data.path(), data.path().join("reader"));
    reader.talks_to(proxy.url());
    for _ in 0..400 {
        if reader.run(&["pull"]).0 == Some(0) {
            break;
        }
    }
    assert_eq!(reader.good(&["status"])["replica_head"], events);
    let audit = reader.good(&["verify"]);
    assert_eq!(audit["events"], events, "{audit}");
    assert_eq!(reader.good(&["status"])["faults"], json!([]), "a bad network is no lie");
}

#[test]
fn an_append_that_was_killed_left_all_of_it_or_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let agent = Agent::new(data.path(), data.path().join("agent"));
    drop(service);
    let mut seed = Seed::new("killed appends", 3);
    let (mut kept, batch) = (500, 500_u64);
    // How long one takes, unless it is killed: the kills are to fall everywhere within it.
    let since = Instant::now();
    agent.append(0..batch);
    let usual_ms = since.elapsed().as_millis() as u64;
    for round in 1..7 {
        let path = agent.drafts(round * batch..(round + 1) * batch);
        let mut append = sync();
        let mut append = append
            .arg(&agent.folder)
            .arg("append")
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("stateset starts");
        std::thread::sleep(Duration::from_millis(usual_ms / 2 + seed.below(usual_ms)));
        // It may have ended by itself.
        let _ = append.kill();
        let output = append.wait_with_output().expect("ends");
        let waiting = agent.good(&["status"])["outbox"]["pending"].as_u64().expect("a count");
        assert!(waiting == kept || waiting == kept + batch, "{waiting} after {kept}");
        if !output.stdout.is_empty() {
            assert_eq!(waiting, kept + batch, "what was answered is there");
        }
        kept = waiting;
    }
}

#[test]
fn an_event_sealed_for_an_agent_is_read_by_it_and_its_author_also_after_a_rotation() {
    let data = tempfile::tempdir().expect("a folder");
    let _service = Service::start(data.path());
    let [writer, reader, other] =
        ["writer", "reader", "other"].map(|name| Agent::new(data.path(), data.path().join(name)));
    writer.good(&["recipients", &reader.id()]);
    // Offline from here on: the keys that were fetched are enough.
    let server = writer.config()["server"].as_str().expect("a URL").to_owned();
    writer.talks_to("http://127.0.0.1:1");
    let appended = writer.good(&[
        "append",
        "--entity-type",
        "order",
        "--entity-id",
        "ORD-1",
        "--type",
        "order.created",
        "--payload",
        r#"{"total":"12.50"}"#,
        "--seal-to",
        &reader.id(),
    ]);
    let id = appended["events"][0]["event_id"].as_str().expect("an id").to_owned();
    writer.talks_to(&server);
    assert_eq!(writer.good(&["push"])["receipted"], 1);

    reader.good(&["keys:rotate"]);
    for agent in [&writer, &reader, &other] {
        assert_eq!(agent.good(&["pull"])["events"], 1);
    }
    let payload = |agent: &Agent| agent.good(&["show", &id])["payload"].clone();
    assert_eq!(payload(&reader), json!({"total": "12.50"}), "with the key of before the rotation");
    assert_eq!(payload(&writer), json!({"total": "12.50"}), "its author is a recipient as well");
    assert_eq!(payload(&other), Value::Null);

    // A key that was revoked signs nothing more, and what it signed stays good.
    writer.good(&["keys:revoke", "1"]);
    writer.append(1..2);
    assert_eq!(writer.refused(&["push"]), (Some(1), "EVENTS_REFUSED".to_owned()));
    let rotated = writer.good(&["keys:rotate"]);
    assert_eq!(rotated["registered"], true);
    writer.append(2..3);
    assert_eq!(writer.good(&["push"])["receipted"], 1);
    assert_eq!(other.good(&["pull"])["events"], 1);
    assert_eq!(other.good(&["verify"])["events"], 2);
}

#[test]
fn a_conflict_is_listed_and_decided_and_misuse_is_told_apart() {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let [ours, theirs] = ["ours", "theirs"].map(|name| Agent::new(data.path(), data.path().join(name)));
    let change = |agent: &Agent, payload: &str| {
        let said = agent.good(&[
            "append",
            "--entity-type",
            "order",
            "--entity-id",
            "ORD-1",
            "--type",
            "order.changed",
            "--payload",
            payload,
            "--base-version",
            "0",
        ]);
        said["events"][0]["event_id"].as_str().expect("an id").to_owned()
    };
    change(&theirs, r#"{"by":"them"}"#);
    theirs.good(&["push"]);
    let id = change(&ours, r#"{"by":"us"}"#);
    assert_eq!(ours.refused(&["push"]), (Some(1), "CONFLICTS".to_owned()));
    let listed = ours.good(&["conflicts"]);
    assert_eq!((listed[0]["actual_version"].as_u64(), listed.as_array().map(Vec::len)), (Some(1), Some(1)));
    ours.good(&["conflicts", "--resolve", &id, "--take", "local"]);
    assert_eq!(ours.good(&["push"])["receipted"], 1);
    ours.good(&["pull"]);
    assert_eq!(ours.good(&["log", "--entity", "order/ORD-1"]).as_array().map(Vec::len), Some(2));

    // Misuse is 2, everything else 1; errors are JSON with code, message and hint.
    assert_eq!(ours.refused(&["conflicts", "--resolve", &id, "--take", "local"]).0, Some(2));
    assert_eq!(ours.refused(&["discard", &id]).0, Some(2));
    assert_eq!(ours.refused(&["init", "--up", data.path().to_str().expect("a plain path")]).0, Some(2));
    assert_eq!(ours.refused(&["append", "--payload", "{}"]), (Some(2), "USAGE".to_owned()));
    assert_eq!(ours.refused(&["nonsense"]), (Some(2), "USAGE".to_owned()));
    let bad = ["append", "--entity-type", "order", "--entity-id", "1", "--type", "t", "--payload", "{"];
    assert_eq!(ours.refused(&bad), (Some(2), "BAD_DRAFT".to_owned()));
    let checks = ours.good(&["doctor"]);
    assert!(checks.as_array().is_some_and(|all| all.iter().all(|one| one["ok"] == true)), "{checks}");
    drop(service);
    assert_eq!(ours.refused(&["doctor"]), (Some(1), "UNWELL".to_owned()));
    assert_eq!(ours.refused(&["pull"]), (Some(1), "SERVER_UNREACHABLE".to_owned()));
}
