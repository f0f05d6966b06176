//! An agent finds the demo shop, buys with mandates, and the order stands in the log with a receipt; what is spoiled buys nothing.

use std::path::Path;

use serde_json::{Value, json};

use crate::pay::up;
use crate::{json as run_json, run};

/// One request to the shop as the demo's platform.
fn ask(shop: &str, path: &str, body: &Value) -> (u16, Value) {
    let agent =
        ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
    let request = agent
        .post(format!("{shop}/ucp/v1{path}"))
        .header("ucp-agent", "profile=\"https://demo-platform.invalid/profile\"");
    let mut response = request.content_type("application/json").send(body.to_string()).unwrap();
    let status = response.status().as_u16();
    (status, response.body_mut().read_json().unwrap())
}

/// What a dry run would send to complete its checkout.
fn signed(at: &Path, items: &[&str], more: &[&str]) -> (String, Value) {
    let args = [&["commerce", "buy"], items, &["--max-amount", "1000", "--dry-run"], more].concat();
    let (status, answer) = run_json(at, &args);
    assert_eq!(status, 0, "{answer}");
    (answer["checkout"].as_str().unwrap().to_owned(), answer["complete"].clone())
}

fn payments(up: &crate::service::Up, at: &Path) -> usize {
    let text = |member: &str| up.started[member].as_str().unwrap().to_owned();
    let key = std::fs::read_to_string(at.join(text("admin_api_key_file"))).unwrap();
    let listed = ureq::get(format!("{}/api/v1/x402/payments", text("url")))
        .query("tenant_id", up.started["profile"]["tenant_id"].as_str().unwrap())
        .header("x-api-key", key.trim())
        .call();
    listed.unwrap().body_mut().read_json::<Vec<Value>>().unwrap().len()
}

#[test]
fn an_agent_buys_with_mandates_and_the_order_has_a_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(up) = up(at) else { return };
    let shop = up.started["paid_demo"].as_str().unwrap().trim_end_matches("/demo/paid").to_owned();

    let (status, card) = run_json(at, &["commerce", "card"]);
    assert_eq!((status, &card["supportedInterfaces"][0]["protocolVersion"]), (0, &json!("1.0")), "{card}");
    let (status, profile) = run_json(at, &["commerce", "profile"]);
    assert_eq!((status, &profile["ucp"]["version"]), (0, &json!("2026-08-25")));

    let (status, _, error) = run(at, &["commerce", "buy", "mug", "--max-amount", "11"]);
    assert!(status == 1 && error.contains("costs 12"), "{error}");
    let (status, _, error) = run(at, &["commerce", "buy", "car", "--max-amount", "11"]);
    assert!(status == 1 && error.contains("not on offer"), "{error}");

    let (status, bought) = run_json(at, &["commerce", "buy", "mug", "tea:2", "--max-amount", "22"]);
    assert_eq!(status, 0, "{bought}");
    let order = &bought["order"];
    assert_eq!(
        order["payment"]["x402"]["amount"], "220000",
        "22 cents in a dollar of six decimals: {bought}"
    );
    let event = order["event"]["event_id"].as_str().unwrap();
    let (status, shown) = run_json(at, &["event", "show", event]);
    assert_eq!((status, &shown["envelope"]["event_type"]), (0, &json!("order.created")), "{shown}");
    assert_eq!(payments(&up, at), 1);

    let (status, alone) = run_json(at, &["commerce", "buy", "spoon", "--max-amount", "1", "--autonomous"]);
    assert_eq!(status, 0, "{alone}");
    assert_eq!(payments(&up, at), 2);

    // A mandate of one session in another; a payment brought twice; one letter of a mandate.
    let (first, body) = signed(at, &["tea"], &[]);
    let (second, other) = signed(at, &["tea"], &["--autonomous"]);
    let complete = |id: &str, body: &Value| ask(&shop, &format!("/checkout-sessions/{id}/complete"), body).1;
    let code = |answer: &Value| answer["messages"][0]["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!(code(&complete(&second, &body)), "mandate_scope_mismatch");
    let mut forged = body.clone();
    let mandate = forged["ap2"]["checkout_mandate"].as_str().unwrap().replacen('~', "A~", 1);
    forged["ap2"]["checkout_mandate"] = json!(mandate);
    assert_eq!(code(&complete(&first, &forged)), "mandate_invalid_signature");
    let mut cheap = body.clone();
    let value =
        &mut cheap["payment"]["instruments"][0]["credential"]["payment"]["payload"]["authorization"]["value"];
    *value = json!("1");
    assert_eq!(code(&complete(&first, &cheap)), "payment_failed");
    assert_eq!(payments(&up, at), 2, "nothing of that was paid");

    assert_eq!(complete(&first, &body)["status"], "completed");
    let mut again = other.clone();
    let payment = &mut again["payment"]["instruments"][0]["credential"]["payment"];
    *payment = body["payment"]["instruments"][0]["credential"]["payment"].clone();
    assert_eq!(code(&complete(&second, &again)), "payment_failed", "an authorization pays once");
    assert_eq!(payments(&up, at), 3);

    // Sessions outlive the process.
    let (waiting, body) = signed(at, &["mug"], &[]);
    assert_eq!(up.signal("-TERM").0, 0);
    let Some(up) = self::up(at) else { return };
    let shop = up.started["paid_demo"].as_str().unwrap().trim_end_matches("/demo/paid").to_owned();
    let (status, answer) = ask(&shop, &format!("/checkout-sessions/{waiting}/cancel"), &json!({}));
    assert_eq!(
        (status, &answer["status"], &answer["totals"][1]["amount"]),
        (200, &json!("canceled"), &json!(12))
    );
    let (_, late) = ask(&shop, &format!("/checkout-sessions/{waiting}/complete"), &body);
    assert_eq!(late["messages"][0]["code"], "not_allowed", "{late}");
    assert_eq!(up.signal("-TERM").0, 0);
}
