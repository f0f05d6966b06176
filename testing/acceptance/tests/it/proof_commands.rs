//! The proof commands of the program against a running service, as a person runs them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stateset_acceptance::Service;
use stateset_acceptance::events::{orders, receipts, register};
use stateset_acceptance::service::{command, run_on};
use stateset_fixtures::{Agent, Recipient, ingest_body, plain_event, sealed_event};
use ves::StreamKey;

/// `stateset stark`, run in a folder by an agent, as an administrator of the service.
struct Person<'a> {
    service: &'a Service,
    folder: &'a Path,
    agent: &'a Agent,
}

impl Person<'_> {
    fn run(&self, arguments: &[&str], stream: Option<&StreamKey>) -> (Option<i32>, String, String) {
        let mut command = command(&[&["stark"], arguments].concat());
        command.current_dir(self.folder);
        command.env("STATESET_URL", &self.service.url).env("STATESET_API_KEY", &self.service.api_key);
        command.env("VES_AGENT_KEY", ves::hex::encode(&self.agent.secret_seed()));
        if let Some(stream) = stream {
            command.env("STATESET_TENANT", stream.tenant_id.to_string());
            command.env("STATESET_STORE", stream.store_id.to_string());
        }
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// What a program is answered.
    fn json(&self, arguments: &[&str], stream: Option<&StreamKey>) -> Value {
        let (code, out, error) = self.run(&[arguments, &["--json"]].concat(), stream);
        assert_eq!(code, Some(0), "{arguments:?}: {out}{error}");
        serde_json::from_str(&out).unwrap()
    }
}

fn ingest(service: &Service, body: &str) {
    let (status, answer) = service.rest().post("/api/v1/ves/events/ingest", body).unwrap();
    assert!(receipts(status, &answer).unwrap().is_some(), "{answer}");
}

#[test]
fn a_committed_batch_is_proved_by_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let service = Service::start(&data);
    let stream = service.default_stream();
    let (agent, other) = (Agent::new(&stream, 1), Agent::new(&stream, 2));
    for (agent, first, count) in [(&agent, 1, 5), (&other, 6, 1)] {
        register(&service.rest(), agent).unwrap();
        ingest(&service, &orders(agent, &stream, first, count));
    }
    let (code, out, error) = run_on(&data, &["commit", "--json"]);
    assert_eq!(code, Some(0), "{out}{error}");
    let batch = serde_json::from_str::<Value>(&out).unwrap()["batch_id"].as_str().unwrap().to_owned();

    let person = Person { service: &service, folder: folder.path(), agent: &agent };
    // By number and by id, in any order. The third breaks the policy, the fifth is not named, the sixth is another agent's.
    let second = plain_event(&agent, &stream, 2).event_id;
    fs::write(folder.path().join("amounts"), format!("4 77\n{second} 10000\n1 4350\n3 10001\n")).unwrap();
    let cap = ["batch-submit", "--batch-id", &batch, "--policy", "order_total.cap", "--verify", "--limit"];
    let submit = |limit: &str, more: &[&str]| person.run(&[&cap[..], &[limit], more].concat(), None);
    let answered = |more: &[&str]| person.json(&[&cap[..], &["10000"], more].concat(), None);

    let stored = answered(&["--amounts", "amounts", "--keep-opening", "kept.json"]);
    assert_eq!((&stored["events"], &stored["leftOut"]), (&json!(3), &json!([3, 5, 6])), "{stored}");
    assert_eq!((&stored["proof"]["verified"], &stored["earlierProof"]), (&json!(true), &json!(false)));
    assert_eq!(stored["proof"]["events_left_out"], 3);
    assert_eq!(stored["verification"]["valid"], true, "{stored}");
    assert!(stored["provingTimeMs"].as_f64().is_some_and(|ms| ms > 0.0));
    // The same statement again: another proof, and no second record.
    let again = answered(&["--openings", "kept.json"]);
    assert_eq!((&again["earlierProof"], &again["leftOut"]), (&json!(true), &stored["leftOut"]));
    assert_eq!(again["proof"]["proof_id"], stored["proof"]["proof_id"]);
    let (code, told, error) = submit("10000", &["--openings", "kept.json"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(told.contains("already holds another proof of this statement"), "{told}");
    assert!(told.contains("Left out: 1 above its limit, 2 not named"), "{told}");
    assert!(told.contains("Proof VALID (verified by the service in "), "{told}");
    // Other randomness, and so other commitments.
    let (code, _, error) = submit("10000", &["--amounts", "amounts"]);
    assert!(code == Some(1) && error.contains("ALREADY_EXISTS"), "{error}");

    let refused = |amounts: &str, exit: i32, named: &str| {
        fs::write(folder.path().join("amounts"), amounts).unwrap();
        let (code, out, error) = submit("20000", &["--amounts", "amounts"]);
        assert!(code == Some(exit) && out.is_empty() && error.contains(named), "{amounts}: {out}{error}");
    };
    refused("7 5\n", 2, "event 7 is not of the batch, which holds 1 to 6");
    refused("1 5\n6 5\n", 2, "events 1 and 6 are of different agents");
    refused("6 5\n", 1, "the commitment to event 6");
    refused("1 20001\n", 1, "no amount satisfies the policy");
    let unknown = ["batch-submit", "--batch-id", &second.to_string(), "--limit", "5", "--amounts", "amounts"];
    let (code, _, error) = person.run(&unknown, None);
    assert!(code == Some(2) && error.contains("NOT_FOUND"), "{error}");

    let listed: Value = service.rest().get_json(&format!("/api/v1/ves/validity/{batch}/proofs")).unwrap();
    assert_eq!(listed["count"], 1, "{listed}");
    assert!(service.stop().success());
}

#[test]
fn a_sealed_event_is_proved_under_a_composed_policy_by_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let service = Service::start(&at.join("data"));
    let stream = service.default_stream();
    let agent = Agent::new(&stream, 1);
    register(&service.rest(), &agent).unwrap();
    let event = sealed_event(&agent, &stream, 1, &[Recipient::new(1)]);
    let id = event.event_id.to_string();
    ingest(&service, &ingest_body(agent.agent_id, &[event]));

    let person = Person { service: &service, folder: at, agent: &agent };
    let currencies = r#"{"version":"1","validFrom":0,"validUntil":4102444799,"entries":[756,826,840,978]}"#;
    fs::write(at.join("currencies.json"), currencies).unwrap();
    let root = person.json(&["list", "--list", "currencies.json"], None);
    let clauses = json!([{"clause": "range", "x": 0, "hi": 10_000}, {"clause": "member", "x": 1, "root": 0}]);
    let policy = json!({"inputs": 2, "clauses": clauses, "roots": [root]});
    fs::write(at.join("policy.json"), policy.to_string()).unwrap();
    let numbers = |total: u64, currency: u64| {
        let numbers = json!([{"name": "total", "value": total}, {"name": "currency", "value": currency}]);
        fs::write(at.join("numbers.json"), numbers.to_string()).unwrap();
    };
    let arguments = |openings: &'static str| {
        let policy = ["--policy", "ves.policy.v2", "--policy-params", "policy.json", "--verify"];
        let event = ["prove-submit", "--event-id", &id, "--openings", openings, "--list", "currencies.json"];
        [&event[..], &policy].concat().iter().map(ToString::to_string).collect::<Vec<String>>()
    };
    let run = |openings: &'static str, more: &[&str], stream: Option<&StreamKey>| {
        let arguments = arguments(openings);
        person.run(&[&arguments.iter().map(String::as_str).collect::<Vec<_>>()[..], more].concat(), stream)
    };

    numbers(10_000, 978);
    // The first administrator's key is of no tenant.
    let (code, _, error) = run("numbers.json", &[], None);
    assert!(code == Some(2) && error.contains("--tenant and --store"), "{error}");
    let (code, told, error) = run("numbers.json", &["--keep-opening", "kept.json"], Some(&stream));
    assert_eq!(code, Some(0), "{told}{error}");
    assert!(told.contains("ves.policy.v2 of event") && told.contains("binding signed"), "{told}");
    assert!(told.contains("Proof VALID (verified by the service in "), "{told}");
    let (code, told, error) = run("kept.json", &[], Some(&stream));
    assert!(code == Some(0) && told.contains("already holds another proof"), "{told}{error}");
    for (total, currency, clause) in [(10_001, 978, "clause 0"), (10_000, 643, "clause 1")] {
        numbers(total, currency);
        let (code, told, error) = run("numbers.json", &[], Some(&stream));
        assert!(code == Some(1) && told.is_empty() && error.contains(clause), "{told}{error}");
    }
    assert!(service.stop().success());
}
