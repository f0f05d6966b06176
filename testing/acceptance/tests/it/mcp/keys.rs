//! With which keys the tools write and read: those of the node, in files or in a token.

use serde_json::{Value, json};
use stateset_acceptance::Service;
use stateset_acceptance::service::run_on;
use stateset_softhsm::SoftToken;

use super::client::Model;
use crate::sync::agent::Agent;
use crate::sync::token::variables;

#[test]
fn what_is_sealed_for_the_agent_is_read_by_its_tools_and_no_other_agents() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let service = Service::start(data);
    let stateset = |arguments: &[&str]| -> Value {
        let (code, said, error) = run_on(data, &[arguments, &["--json"]].concat());
        assert_eq!(code, Some(0), "{arguments:?}: {error}");
        serde_json::from_str(&said).expect("JSON")
    };
    let agent = stateset(&["key", "show", "agent"])["labels"]["Agent"].as_str().expect("an agent").to_owned();
    let reading = ["--algorithm", "x25519", "--agent", agent.as_str(), "--key-id", "77"];
    stateset(&[&["key", "generate", "reader"], &reading[..]].concat());
    stateset(&["key", "register", "reader"]);
    stateset(&["key", "generate", "other"]);

    let writer = Agent::new(&service, data.join("writer"), "rest");
    let draft = ["append", "--entity-type", "customer", "--entity-id", "C-1", "--type", "customer.created"];
    let sealed = ["--payload", r#"{"email":"ada@example.org"}"#, "--seal-to", agent.as_str()];
    writer.good(&[&draft[..], &sealed[..]].concat());
    assert_eq!(writer.good(&["push"])["receipted"], 1);

    let server = ["--server", service.url.as_str(), "--manual-sync"];
    let mut model = Model::stateless(data, &server);
    assert_eq!(model.call("sync_pull", json!({}))["events"], 1);
    let customer = model.call("customer_get", json!({"customer_id": "C-1"}))["entity"].clone();
    assert_eq!(
        (&customer["state"]["email"], &customer["unreadable"]),
        (&json!("ada@example.org"), &json!(0))
    );
    let history = json!({"entity_type": "customer", "entity_id": "C-1"});
    let events = model.call("event_history", history.clone())["events"].clone();
    assert_eq!(events[0]["payload"]["email"], "ada@example.org", "{events}");

    let mut other = Model::stateless(data, &[&server[..], &["--key", "other"]].concat());
    assert_eq!(other.call("sync_pull", json!({}))["events"], 1);
    let customer = other.call("customer_get", json!({"customer_id": "C-1"}))["entity"].clone();
    assert_eq!(
        (&customer["state"]["email"], &customer["unreadable"]),
        (&Value::Null, &json!(1)),
        "{customer}"
    );
    let events = other.call("event_history", history)["events"].clone();
    assert_eq!(events[0]["payload"], Value::Null, "{events}");
}

#[test]
fn the_tools_sign_with_a_key_in_the_token_of_the_node() {
    let Some(token) = SoftToken::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let variables = variables(&token);
    let service = Service::start_in(folder.path(), &[], &variables);
    let server = ["--server", service.url.as_str(), "--manual-sync"];
    let mut model = Model::stateless_in(folder.path(), &server, &variables);
    let begun = model.call("inventory_initialize", json!({"product_id": "P-1", "quantity": 5}));
    assert_eq!(model.call("sync_push", json!({}))["events"], 1);
    let receipt = model.call("receipt_get", json!({"event_id": begun["event_id"]}));
    assert_eq!(receipt["status"], "receipted", "{receipt}");
    let files = std::fs::read_dir(folder.path().join("keys")).map_or(0, |files| files.count());
    assert_eq!(files, 0, "no key of the node is a file");
}
