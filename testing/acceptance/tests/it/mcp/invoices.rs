//! Invoices between two companies, each led by a language model.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_acceptance::Service;
use stateset_acceptance::service::run_on;

use super::client::Model;
use super::mcp;

pub(super) fn stateset(data: &Path, arguments: &[&str]) -> Value {
    let (code, said, error) = run_on(data, &[arguments, &["--json"]].concat());
    assert_eq!(code, Some(0), "{arguments:?}: {error}");
    serde_json::from_str(&said).unwrap_or_default()
}

fn tools(model: &mut Model) -> Vec<String> {
    let listed = model.ask("tools/list", json!({}))["result"]["tools"].clone();
    let of_ledger = |tool: &Value| {
        let name = tool["name"].as_str()?;
        name.starts_with("invoice_").then(|| name.to_owned())
    };
    listed.as_array().expect("tools").iter().filter_map(of_ledger).collect()
}

pub(super) fn of(data: &Path, org: &str, limit: &str) -> Model {
    Model::stateless(data, &["--manual-sync", "--org", org, "--limit", limit])
}

/// What waits for the company, once it is there: others are told a moment later.
pub(super) fn asked(model: &mut Model) -> Value {
    let begun = Instant::now();
    loop {
        let found = model.call("invoice_requests", json!({}))["requests"][0].clone();
        if found.is_object() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is asked");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An invoice once it has this status.
pub(super) fn becomes(model: &mut Model, number: &str, status: &str) -> Value {
    let begun = Instant::now();
    loop {
        let answer =
            model.ask("tools/call", json!({"name": "invoice_get", "arguments": {"invoice": number}}));
        let invoice = answer["result"]["structuredContent"]["invoice"].clone();
        if invoice["status"] == status {
            return invoice;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{number} is not {status}: {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn decide(data: &Path, said: &str, id: &str, org: &str) -> (Option<i32>, Value) {
    let mut command = mcp(&["approvals", said, id, "--json", "--org", org]);
    let output = command.arg("--data").arg(data).output().expect("it starts");
    let told = if output.status.success() { output.stdout } else { output.stderr };
    let told = String::from_utf8_lossy(&told);
    (output.status.code(), serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}")))
}

pub(super) fn bill(number: &str, amount: &str) -> Value {
    json!({
        "counterparty": "globex", "number": number, "due_date": "2099-01-31", "currency": "USD",
        "amount": amount, "idempotency_key": number,
    })
}

#[test]
fn an_invoice_goes_from_issue_to_payment_and_each_call_is_carried_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let _service = Service::start(data);
    let mut nobody = Model::stateless(data, &["--manual-sync"]);
    assert_eq!(tools(&mut nobody), [""; 0], "no company, no tools");
    let schema = nobody.ask("resources/read", json!({"uri": "stateset://schemas/invoice_pay"}));
    assert!(schema["error"].is_object(), "{schema}");
    assert_eq!(nobody.bad_field("invoice_get", json!({"invoice": "1"})), "name");
    for org in ["acme", "globex"] {
        stateset(data, &["org", "create", org]);
    }
    stateset(data, &["org", "deposit", "globex", "1000.00"]);
    let mut undecided = Model::stateless(data, &["--manual-sync"]);
    assert_eq!(tools(&mut undecided), [""; 0], "one of two companies");

    let mut acme = of(data, "acme", "USD=1000.00");
    assert_eq!(tools(&mut acme).len(), 8);
    assert_eq!(acme.bad_field("invoice_create", json!({"number": "1"})), "counterparty");
    let mut late = bill("LATE", "1.00");
    late["due_date"] = "2020-01-31".into();
    assert_eq!(acme.refused("invoice_create", late), "BAD_DUE");
    let created = acme.call("invoice_create", bill("INV-1", "500.00"));
    assert_eq!((&created["status"], &created["step"]), (&json!("waiting"), &json!("Create")), "{created}");
    assert_eq!(created["invoice"]["total"], "500.00");
    drop(acme);

    let mut acme = of(data, "acme", "USD=1000.00");
    assert_eq!(acme.call("invoice_create", bill("INV-1", "500.00")), created, "over a restart");
    assert_eq!(acme.refused("invoice_create", bill("INV-1", "501.00")), "idempotency_key_reused");
    let mut again = bill("INV-1", "500.00");
    again["idempotency_key"] = "another".into();
    assert_eq!(acme.refused("invoice_create", again), "CONFLICT");

    // The payer's agent may bind it up to 100.00.
    let mut globex = of(data, "globex", "USD=100.00");
    assert_eq!(asked(&mut globex)["invoice"]["number"], "INV-1");
    let accept = json!({"invoice": "INV-1", "idempotency_key": "accept"});
    let waits = globex.call("invoice_accept", accept.clone());
    assert_eq!(
        (&waits["status"], &waits["approval"]["amount"]),
        (&json!("pending_approval"), &json!("500.00"))
    );
    let id = waits["approval"]["approval_id"].as_str().expect("an id");
    let (code, wrong) = decide(data, "approve", id, "acme");
    assert_eq!((code, &wrong["error"]["code"]), (Some(2), &json!("BAD_ARGUMENT")), "not for acme: {wrong}");
    let (code, approved) = decide(data, "approve", id, "globex");
    assert_eq!((code, &approved["state"]), (Some(0), &json!("approved")), "{approved}");
    assert_eq!(globex.call("invoice_accept", accept), waits, "the first answer");
    assert_eq!(becomes(&mut globex, "INV-1", "ACCEPTED")["amount_remaining"], "500.00");

    // A part within the limit, then the rest above it.
    let part = json!({"invoice": "INV-1", "amount": "100.00", "currency": "USD", "idempotency_key": "part"});
    // The seller owes nothing: its money would go to itself, or to a factor, and count for nothing.
    let not_ours = json!({"invoice": "INV-1", "idempotency_key": "not-ours"});
    assert_eq!(acme.refused("invoice_pay", not_ours), "NOT_AUTHORISED");
    let paid = globex.call("invoice_pay", part.clone());
    assert_eq!((&paid["status"], &paid["step"]), (&json!("final"), &json!("Pay")), "{paid}");
    assert_eq!(globex.call("invoice_pay", part), paid);
    assert_eq!(becomes(&mut globex, "INV-1", "PARTIALLY_PAID")["amount_paid"], "100.00");
    let too_much = json!({"invoice": "INV-1", "amount": "400.01", "currency": "USD"});
    assert_eq!(globex.refused("invoice_pay", too_much), "BAD_AMOUNT");
    let rest = globex.call("invoice_pay", json!({"invoice": "INV-1", "idempotency_key": "rest"}));
    assert_eq!(rest["approval"]["arguments"]["amount"], "400.00", "{rest}");
    let (_, approved) = decide(data, "approve", rest["approval"]["approval_id"].as_str().unwrap(), "globex");
    assert_eq!(approved["answer"]["status"], "final", "{approved}");

    let there = becomes(&mut acme, "INV-1", "PAID");
    assert_eq!((&there["amount_paid"], &there["amount_remaining"]), (&json!("500.00"), &json!("0.00")));
    let balance = stateset(data, &["org", "show", "globex"])["balances"][0]["amount"].clone();
    assert_eq!(balance, "500.00", "paid once");
    assert_eq!(globex.refused("invoice_pay", json!({"invoice": "INV-1"})), "BAD_TRANSITION");

    // Another one is declined; both are in the list of what there is, a page each.
    assert_eq!(acme.call("invoice_create", bill("INV-2", "5.00"))["status"], "waiting");
    assert_eq!(asked(&mut globex)["invoice"]["number"], "INV-2");
    let no = json!({"request": "INV-2", "reason": "never ordered", "idempotency_key": "no"});
    let declined = globex.call("invoice_decline", no.clone());
    assert_eq!(declined["status"], "declined", "{declined}");
    assert_eq!(globex.call("invoice_decline", no), declined);
    assert_eq!(globex.refused("invoice_get", json!({"invoice": "INV-2"})), "NO_SUCH_INVOICE");
    assert_eq!(acme.call("invoice_create", bill("INV-3", "5.00"))["status"], "waiting");
    asked(&mut globex);
    assert_eq!(globex.call("invoice_approve", json!({"request": "INV-3"}))["status"], "final");
    becomes(&mut acme, "INV-3", "ISSUED");
    let first = acme.call("invoice_list", json!({"limit": 1}));
    assert_eq!(first["invoices"][0]["number"], "INV-1", "{first}");
    let next = acme.call("invoice_list", json!({"limit": 1, "cursor": first["next_cursor"]}));
    assert_eq!(next["invoices"][0]["number"], "INV-3", "{next}");
    let wrong = json!({"limit": 1, "cursor": first["next_cursor"], "status": "PAID"});
    assert_eq!(acme.bad_field("invoice_list", wrong), "cursor", "of another list");
}
