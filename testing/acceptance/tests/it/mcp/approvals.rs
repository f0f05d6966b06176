//! What is above the agent's limit waits for a person.

use std::path::Path;

use serde_json::{Value, json};
use stateset_acceptance::Service;

use super::client::Model;
use super::mcp;

fn order(id: &str, total: &str) -> Value {
    json!({
        "order_id": id, "customer_id": "C-1", "currency": "USD", "total_amount": total, "idempotency_key": id,
    })
}

fn person(data: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = mcp(&[&["approvals"], arguments, &["--json"]].concat());
    let output = command.arg("--data").arg(data).output().expect("it starts");
    let told = if output.status.success() { output.stdout } else { output.stderr };
    let told = String::from_utf8_lossy(&told);
    let value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    (output.status.code(), value)
}

#[test]
fn a_call_above_the_limit_is_carried_out_when_a_person_says_yes_and_once() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Service::start(folder.path()).stop().success());
    let limits = ["--limit", "USD=100.00", "--limit-day", "USD=150.00"];
    let mut model = Model::stateless(folder.path(), &limits);
    assert_eq!(model.call("order_create", order("small", "100.00"))["status"], "pending");
    let large = model.call("order_create", order("large", "100.01"));
    assert_eq!(large["status"], "pending_approval", "{large}");
    let of_day = model.call("order_create", order("of-day", "60.00"));
    assert_eq!(of_day["status"], "pending_approval", "{of_day}");
    // Cheap by its total, dear by its lines.
    let mut hidden = order("hidden", "1.00");
    hidden["line_items"] = json!([{"product_id": "P", "quantity": 1000, "unit_price": "99.00"}]);
    assert_eq!(model.call("order_create", hidden)["status"], "pending_approval");
    let mut foreign = order("foreign", "1.00");
    foreign["currency"] = "EUR".into();
    assert_eq!(model.call("order_create", foreign)["status"], "pending_approval");
    assert_eq!(model.refused("order_get", json!({"order_id": "large"})), "not_found");
    assert_eq!(model.call("order_create", order("large", "100.01")), large, "a repetition asks nobody again");

    let (_, listed) = person(folder.path(), &["list"]);
    assert_eq!(listed["approvals"].as_array().map(Vec::len), Some(4), "{listed}");
    let id = large["approval"]["approval_id"].as_str().unwrap();
    let (code, approved) = person(folder.path(), &["approve", id]);
    assert_eq!((code, &approved["state"]), (Some(0), &json!("approved")), "{approved}");
    let seen = model.call("approval_get", json!({"approval_id": id}));
    assert_eq!(seen["approval"]["answer"]["entity"]["entity_id"], "large", "{seen}");
    assert_eq!(model.call("order_get", json!({"order_id": "large"}))["entity"]["version"], 1);
    let (code, again) = person(folder.path(), &["approve", id]);
    assert_eq!((code, &again["error"]["code"]), (Some(1), &json!("APPROVAL_DECIDED")), "{again}");

    let id = of_day["approval"]["approval_id"].as_str().unwrap();
    assert_eq!(person(folder.path(), &["reject", id]).1["state"], "rejected");
    assert_eq!(person(folder.path(), &["approve", id]).0, Some(1), "no is no");
    assert_eq!(model.refused("order_get", json!({"order_id": "of-day"})), "not_found");
    assert_eq!(person(folder.path(), &["show", "apr_none"]).1["error"]["code"], "APPROVAL_NOT_FOUND");
}

#[test]
fn what_a_person_approves_too_late_fails_by_the_rules_of_the_entity() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Service::start(folder.path()).stop().success());
    let mut model = Model::stateless(folder.path(), &["--limit", "USD=100.00"]);
    let mut first = order("twice", "900.00");
    let waits = model.call("order_create", first.clone());
    first["idempotency_key"] = "another".into();
    first["total_amount"] = "9.00".into();
    model.call("order_create", first);
    let id = waits["approval"]["approval_id"].as_str().unwrap();
    let (code, failed) = person(folder.path(), &["approve", id]);
    assert_eq!((code, &failed["error"]["code"]), (Some(1), &json!("INVALID_STATE_TRANSITION")), "{failed}");
    let seen = model.call("approval_get", json!({"approval_id": id}));
    assert_eq!(seen["approval"]["state"], "failed", "{seen}");
}
