//! An agent that was offline: its outbox and replica against a real service, through a network that fails, over REST and
//! over gRPC.

pub mod agent;
mod full_disk;
mod proxy;
mod rotated;
mod tls;
pub mod token;

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_acceptance::Service;
use stateset_acceptance::events::stored;
use stateset_fixtures::Seed;

use self::agent::{Agent, Doors, NOWHERE, sync};
use self::proxy::Proxy;

/// Events of the run with cut connections; a long form takes another number.
const EVENTS: u64 = 1_500;
const EVENTS_VARIABLE: &str = "STATESET_SYNC_EVENTS";
/// Tries of a push through a network that cuts; a long form needs many.
const ROUNDS_MAX: u64 = 400;

#[test]
fn events_of_days_offline_arrive_once_and_in_order_through_cut_connections_and_kills() {
    arrive_once_and_in_order("rest");
}

#[test]
fn events_of_days_offline_arrive_once_and_in_order_over_grpc_too() {
    arrive_once_and_in_order("grpc");
}

fn arrive_once_and_in_order(transport: &str) {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let events = std::env::var(EVENTS_VARIABLE).ok().map_or(EVENTS, |text| text.parse().expect("a number"));
    let is_long = events > EVENTS;
    let agent = Agent::new(&service, data.path().join("agent"), transport);
    agent.talks_to(&Doors::both(NOWHERE));
    agent.append(0..events);
    assert_eq!(agent.refused(&["push"]), (Some(1), "SERVER_UNREACHABLE".to_owned()));

    let mut seed = Seed::new("cut connections", 7);
    let doors = Doors::of(&service);
    let proxies = [&doors.rest, &doors.grpc].map(|door| Proxy::start(door, seed.clone()));
    let cut = Doors { rest: proxies[0].url().to_owned(), grpc: proxies[1].url().to_owned() };
    agent.talks_to(&cut);
    let rounds_max = ROUNDS_MAX.max(events / 100);
    let mut rounds = 0;
    loop {
        rounds += 1;
        assert!(rounds < rounds_max, "the outbox is never empty");
        if is_long && rounds % 20 == 1 {
            say(&format!("{transport}, round {rounds}: {}", agent.good(&["status"])["outbox"]));
        }
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
    let cuts: u64 = proxies.iter().map(Proxy::cuts).sum();
    assert!(cuts >= 3, "the network was too good: {cuts} cuts");
    if is_long {
        say(&format!("{transport}: all pushed in {rounds} rounds, {cuts} connections were cut"));
    }

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
    let reader = Agent::new(&service, data.path().join("reader"), transport);
    reader.talks_to(&cut);
    for round in 0..rounds_max {
        if reader.run(&["pull"]).0 == Some(0) {
            break;
        }
        if is_long && round % 20 == 0 {
            let head = reader.good(&["status"])["replica_head"].clone();
            say(&format!("{transport}, round {round}: pulled to {head}"));
        }
    }
    assert_eq!(reader.good(&["status"])["replica_head"], events);
    let audit = reader.good(&["verify"]);
    assert_eq!(audit["events"], events, "{audit}");
    assert_eq!(reader.good(&["status"])["faults"], json!([]), "a bad network is no lie");

    // What is acknowledged and in the replica too needs no room in the outbox.
    agent.talks_to(&doors);
    assert_eq!(agent.good(&["pull"])["events"], events);
    let pruned = agent.good(&["prune", "--keep", "10"]);
    assert_eq!((&pruned["pruned"], &pruned["outbox"]["receipted"]), (&json!(events - 10), &json!(10)));
    assert_eq!(agent.good(&["push"])["requests"], 0);
    assert_eq!(agent.good(&["verify"])["events"], events);
}

/// Past the capture of a test, so that a long one is seen to move.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn an_append_that_was_killed_left_all_of_it_or_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let agent = Agent::new(&service, data.path().join("agent"), "rest");
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
    for transport in ["rest", "grpc"] {
        sealed_for_an_agent(transport);
    }
}

fn sealed_for_an_agent(transport: &str) {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let [writer, reader, other] =
        ["writer", "reader", "other"].map(|name| Agent::new(&service, data.path().join(name), transport));
    writer.good(&["recipients", &reader.id()]);
    // Offline from here on: the keys that were fetched are enough.
    writer.talks_to(&Doors::both(NOWHERE));
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
    // Rotated while it waits: it is sealed and signed under the new key.
    let rotated = writer.good(&["keys:rotate", "--offline"]);
    assert_eq!((&rotated["signed_anew"], &rotated["left"]), (&json!(1), &json!(0)), "{rotated}");
    writer.talks_to(&Doors::of(&service));
    writer.good(&["keys:register"]);
    assert_eq!(writer.good(&["push"])["receipted"], 1);

    reader.good(&["keys:rotate"]);
    for agent in [&writer, &reader, &other] {
        assert_eq!(agent.good(&["pull"])["events"], 1);
    }
    let payload = |agent: &Agent| agent.good(&["show", &id])["payload"].clone();
    assert_eq!(payload(&reader), json!({"total": "12.50"}), "with the key of before the rotation");
    assert_eq!(payload(&writer), json!({"total": "12.50"}), "its author is a recipient as well");
    assert_eq!(payload(&other), Value::Null);

    // A key that was revoked signs nothing more, what it signed stays good, and what waits is signed by another.
    writer.good(&["keys:revoke", "2"]);
    writer.append(1..2);
    assert_eq!(writer.refused(&["push"]), (Some(1), "EVENTS_WAIT".to_owned()));
    let rotated = writer.good(&["keys:rotate"]);
    assert_eq!((&rotated["registered"], &rotated["signed_anew"]), (&json!(true), &json!(1)));
    writer.append(2..3);
    assert_eq!(writer.good(&["push"])["receipted"], 2);
    assert_eq!(other.good(&["pull"])["events"], 2);
    assert_eq!(other.good(&["verify"])["events"], 3);
}

#[test]
fn a_conflict_is_listed_and_decided_and_misuse_is_told_apart() {
    for transport in ["rest", "grpc"] {
        a_conflict_is_listed_and_decided(transport);
    }
}

fn a_conflict_is_listed_and_decided(transport: &str) {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let [ours, theirs] =
        ["ours", "theirs"].map(|name| Agent::new(&service, data.path().join(name), transport));
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

/// The group is deleted while an event waits for it: nothing may go to those who were in it last, and nothing else of the
/// agent is stuck for good.
#[test]
fn what_waits_for_a_group_that_is_gone_is_named_and_can_be_taken_back() {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let [writer, reader] =
        ["writer", "reader"].map(|name| Agent::new(&service, data.path().join(name), "rest"));
    let tenant = writer.config()["tenant_id"].clone();
    let body = json!({"tenantId": tenant, "name": "partners", "members": [reader.id()]});
    let group = service.rest().post_json("/api/v1/encryption-groups", &body.to_string()).expect("a group");
    let append = |entity: &str, more: &[&str]| {
        let draft = ["append", "--entity-type", "note", "--entity-id", entity, "--type", "note.made"];
        let said = writer.good(&[&draft, &["--payload", r#"{"n":1}"#][..], more].concat());
        said["events"][0]["event_id"].as_str().expect("an id").to_owned()
    };
    let sealed = append("N-1", &["--seal-to", "partners"]);
    append("N-2", &[]);
    let group = group["groupId"].as_str().expect("an id");
    let url = format!(
        "{}/api/v1/encryption-groups/{group}?tenant_id={}",
        service.url,
        tenant.as_str().expect("an id")
    );
    ureq::delete(url).header("x-api-key", &service.api_key).call().expect("the group is deleted");

    assert_eq!(writer.refused(&["push"]), (Some(1), "GROUP_UNUSABLE".to_owned()));
    assert_eq!(writer.good(&["log", "--outbox"])[0]["group_id"], group);
    reader.append(0..1);
    reader.good(&["push"]);
    let watched = writer.good(&["watch", "--rounds", "1"]);
    assert_eq!(
        (&watched["push"]["waiting"], &watched["pull"]["events"]),
        (&json!(2), &json!(1)),
        "{watched}"
    );
    writer.good(&["discard", &sealed]);
    assert_eq!(writer.good(&["push"])["receipted"], 1);
}

/// What a person reads names the event that is meant, and takes the number that lists show.
#[test]
fn an_event_is_shown_by_its_number_and_a_bad_draft_is_named_by_its_place() {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let agent = Agent::new(&service, data.path().join("agent"), "rest");
    agent.append(0..2);
    agent.good(&["push"]);
    agent.good(&["pull"]);
    let by_number = agent.good(&["show", "2"]);
    let id = by_number["envelope"]["event_id"].as_str().expect("an id");
    assert_eq!((&by_number["sequence_number"], agent.good(&["show", id])), (&json!(2), by_number.clone()));
    assert_eq!(agent.refused(&["show", "3"]), (Some(2), "EVENT_NOT_FOUND".to_owned()));
    assert_eq!(agent.refused(&["show", "x"]), (Some(2), "USAGE".to_owned()));

    let drafts = agent.drafts(2..4);
    let mut text = std::fs::read_to_string(&drafts).expect("drafts");
    text.push_str("{\"entity_type\":\"order\"}\n");
    std::fs::write(&drafts, text).expect("is written");
    let (code, _, error) = agent.run(&["append", drafts.to_str().expect("a plain path")]);
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(code == Some(2) && message.starts_with("event 2: missing field"), "{message}");
}

#[test]
fn a_watch_over_grpc_hears_of_an_event_long_before_its_pause_is_over() {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let [watcher, writer] =
        ["watcher", "writer"].map(|name| Agent::new(&service, data.path().join(name), "grpc"));
    let started = Instant::now();
    let watch = sync()
        .arg(&watcher.folder)
        .args(["watch", "--interval", "120", "--rounds", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("stateset-sync starts");
    // The first round, of nothing, opens its session.
    std::thread::sleep(Duration::from_secs(2));
    writer.append(0..1);
    assert_eq!(writer.good(&["push"])["receipted"], 1);
    let output = watch.wait_with_output().expect("ends");
    assert!(started.elapsed() < Duration::from_secs(60), "it waited out its pause");
    let rounds = String::from_utf8_lossy(&output.stdout);
    let last: Value = serde_json::from_str(rounds.lines().last().unwrap_or_default()).expect("JSON");
    assert_eq!((&last["round"], &last["pull"]["events"]), (&json!(2), &json!(1)), "{rounds}");
}
