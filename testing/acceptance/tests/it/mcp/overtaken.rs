//! Tools of invoices where an answer is lost, or another step comes between.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_acceptance::Service;
use stateset_acceptance::service::run_on;

use super::between::{Between, Deed};
use super::client::Model;
use super::invoices::{asked, becomes, bill, of, stateset};

/// Two companies, of which globex has 1,000.00, and their models.
fn companies(data: &Path) -> (Model, Model) {
    for org in ["acme", "globex"] {
        stateset(data, &["org", "create", org]);
    }
    stateset(data, &["org", "deposit", "globex", "1000.00"]);
    (of(data, "acme", "USD=1000.00"), of(data, "globex", "USD=1000.00"))
}

fn has(data: &Path, org: &str) -> Value {
    stateset(data, &["org", "show", org])["balances"][0]["amount"].clone()
}

fn accepted(acme: &mut Model, globex: &mut Model, number: &str, amount: &str) {
    acme.call("invoice_create", bill(number, amount));
    asked(globex);
    assert_eq!(globex.call("invoice_accept", json!({"invoice": number}))["status"], "final");
    becomes(acme, number, "ACCEPTED");
}

#[test]
fn a_payment_whose_answer_is_lost_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let _service = Service::start(data);
    let (mut acme, mut globex) = companies(data);
    let between = Between::start(data);
    for (at, (request, deed)) in [
        ("POST /orgs/globex/payments", Deed::AnswerLost),
        ("POST /orgs/globex/payments", Deed::Held),
        ("POST /orgs/globex/invoices", Deed::AnswerLost),
        ("POST /orgs/globex/invoices", Deed::Held),
    ]
    .into_iter()
    .enumerate()
    {
        let number = format!("INV-{at}");
        accepted(&mut acme, &mut globex, &number, "10.00");
        let pay = json!({"invoice": number, "idempotency_key": format!("pay {at}")});
        between.await_one(request, deed);
        assert_eq!(globex.refused("invoice_pay", pay.clone()), "HTTP_502", "{at}");
        assert!(between.has_come(), "{at}");
        assert_eq!(globex.call("invoice_pay", pay)["status"], "final", "{at}");
        assert_eq!(becomes(&mut acme, &number, "PAID")["amount_paid"], "10.00", "{at}");
    }
    assert_eq!((has(data, "globex"), has(data, "acme")), (json!("960.00"), json!("40.00")));
}

#[test]
fn a_payment_that_another_step_overtook_says_so_and_pays_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let _service = Service::start(data);
    let (mut acme, mut globex) = companies(data);
    let between = Between::start(data);
    // Due at the end of 2019, as one that comes late from another system.
    let [long_ago, asked_for] = ["1577836799999", "4073587199999"].map(str::to_owned);
    between.await_one("POST /orgs/acme/invoices", Deed::With { number: long_ago, instead_of: asked_for });
    accepted(&mut acme, &mut globex, "INV-1", "100.00");
    let pay = json!({"invoice": "INV-1", "amount": "40.00", "currency": "USD", "idempotency_key": "pay"});
    between.await_one("POST /orgs/globex/invoices", Deed::Held);
    globex.refused("invoice_pay", pay.clone());
    assert_eq!(has(data, "globex"), "960.00", "the money moved");
    // No step of the payer comes between, and its node approves none; the payee's own need neither.
    let (_, _, refused) = run_on(data, &["invoice", "dispute", "INV-1", "--org", "globex"]);
    assert!(refused.contains("is paid for: that step comes first"), "{refused}");
    stateset(data, &["invoice", "overdue", "INV-1", "--org", "acme"]);
    becomes(&mut globex, "INV-1", "OVERDUE");

    for _ in 0..2 {
        let arguments = json!({"name": "invoice_pay", "arguments": pay});
        let error = globex.ask("tools/call", arguments)["result"]["structuredContent"]["error"].clone();
        assert_eq!(error["code"], "PAYMENT_NOT_COUNTED", "{error}");
        assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("pays nothing more")), "{error}");
    }
    assert_eq!((has(data, "globex"), has(data, "acme")), (json!("960.00"), json!("40.00")));
}

#[test]
fn an_agent_accepts_the_proposal_that_it_looked_at_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let _service = Service::start(data);
    let (mut acme, mut globex) = companies(data);
    acme.call("invoice_create", bill("INV-1", "5.00"));
    let flow = asked(&mut globex)["flow_id"].as_str().map(str::to_owned).expect("an id");
    let between = Between::start(data);
    let of_acme = data.to_owned();
    between.await_one(
        &format!("POST /orgs/globex/flows/{flow}/decision"),
        Deed::After(Box::new(move || {
            stateset(&of_acme, &["invoice", "withdraw", "INV-1", "--org", "acme"]);
            let mut dearer = bill("INV-1", "999.00");
            dearer["idempotency_key"] = "dearer".into();
            acme.call("invoice_create", dearer);
        })),
    );
    let code = globex.refused("invoice_accept", json!({"invoice": "INV-1", "idempotency_key": "accept"}));
    assert_ne!(code, "NODE_UNREACHABLE", "the other company's tool did not wait for this one");
    assert!(between.has_come(), "{code}");
    assert_eq!(globex.refused("invoice_get", json!({"invoice": "INV-1"})), "NO_SUCH_INVOICE", "{code}");
    let waits = asked(&mut globex);
    assert_eq!(waits["invoice"]["total"], "999.00", "it waits for a decision: {waits}");
}

#[test]
fn what_a_first_try_began_is_what_its_repetition_tells_of() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let _service = Service::start(data);
    let (mut acme, mut globex) = companies(data);
    let between = Between::start(data);

    // Proposed, the answer lost, and declined: it is not proposed anew.
    between.await_one("POST /orgs/acme/invoices", Deed::AnswerLost);
    acme.refused("invoice_create", bill("INV-1", "5.00"));
    let no =
        json!({"request": asked(&mut globex)["flow_id"], "reason": "never ordered", "idempotency_key": "no"});
    assert_eq!(globex.call("invoice_decline", no)["status"], "declined");
    let begun = Instant::now();
    let told = loop {
        let told = acme.call("invoice_create", bill("INV-1", "5.00"));
        if told["status"] != "waiting" {
            break told;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{told}");
    };
    assert_eq!(told["status"], "ended", "{told}");
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains("never ordered")), "{told}");
    assert_eq!(globex.call("invoice_requests", json!({}))["requests"], json!([]));

    // Issued by the first half, and the second half refused: the call goes on from there.
    acme.call("invoice_create", bill("INV-2", "6.00"));
    asked(&mut globex);
    between.await_one("POST /orgs/globex/invoices", Deed::Refused);
    let accept =
        json!({"name": "invoice_accept", "arguments": {"invoice": "INV-2", "idempotency_key": "accept"}});
    let error = globex.ask("tools/call", accept)["result"]["structuredContent"]["error"].clone();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("CONFLICT"), &json!(true)), "{error}");
    let again = globex.call("invoice_accept", json!({"invoice": "INV-2", "idempotency_key": "accept"}));
    assert_eq!(again["status"], "final", "{again}");
    becomes(&mut acme, "INV-2", "ACCEPTED");
}

#[test]
fn a_no_that_comes_while_a_repetition_waits_is_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let _service = Service::start(data);
    let (mut acme, mut globex) = companies(data);
    let between = Between::start(data);
    between.await_one("POST /orgs/acme/invoices", Deed::AnswerLost);
    acme.refused("invoice_create", bill("INV-1", "5.00"));
    let no =
        json!({"request": asked(&mut globex)["flow_id"], "reason": "never ordered", "idempotency_key": "no"});

    // What the repetition is shown first is a flow that no person is awaited for, and that goes on.
    let then = Box::new(move || assert_eq!(globex.call("invoice_decline", no)["status"], "declined"));
    let (text, instead_of) = (r#""undecided":false"#.to_owned(), r#""undecided":true"#.to_owned());
    between.await_one("GET /orgs/acme/flows", Deed::Before { then, text, instead_of });
    let told = acme.call("invoice_create", bill("INV-1", "5.00"));
    assert!(between.has_come());
    assert_eq!((&told["status"], &told["code"]), (&json!("ended"), &json!("NOT_AUTHORISED")), "{told}");
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains("never ordered")), "{told}");
}
