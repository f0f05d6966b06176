//! Everything that an engine stands behind, by tools.

use serde_json::{Value, json};
use stateset_acceptance::Service;
use stateset_acceptance::service::run_on;

use super::client::{Model, OLDER};

const LIMITS: [&str; 2] = ["--limit", "USD=500.00"];

/// An order of two lines.
fn order(id: &str, key: &str) -> Value {
    json!({
        "order_id": id, "customer_id": "C-1", "currency": "USD", "total_amount": "61.00",
        "line_items": [
            {"product_id": "P-1", "quantity": 2, "unit_price": "25.50"},
            {"product_id": "P-2", "quantity": 1, "unit_price": "10.00"},
        ],
        "idempotency_key": key,
    })
}

#[test]
fn a_shop_is_run_by_tools_and_its_events_are_proved() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let mut model = Model::stateless(folder.path(), &LIMITS);
    model.call(
        "product_create",
        json!({
            "product_id": "P-1", "sku": "CHAI", "name": "Chai", "price": "25.50", "currency": "USD",
        }),
    );
    model.call("product_update", json!({"product_id": "P-1", "name": "Chai, loose"}));
    let found = model.call("product_search", json!({"query": "CHAI loose"}));
    assert_eq!(found["entities"][0]["state"]["price"], "25.50", "{found}");
    let stock = json!({"product_id": "P-1", "location": "main"});
    let with = |more: Value| {
        let mut stock = stock.clone();
        stock.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stock
    };
    model.call("inventory_initialize", with(json!({"quantity": 10})));
    model.call("inventory_adjust", with(json!({"adjustment": -3, "reason": "broken"})));
    model.call("inventory_reserve", with(json!({"quantity": 5, "order_id": "O-1"})));
    assert_eq!(model.refused("inventory_reserve", with(json!({"quantity": 3}))), "invariant_violation");
    model.call("inventory_release", with(json!({"quantity": 1})));
    let stock = model.call("inventory_get", stock.clone());
    assert_eq!(stock["entity"]["state"]["available"], 3, "{stock}");
    model.call("customer_create", json!({"customer_id": "C-1", "email": "a@example.com"}));

    let placed = model.call("order_create", order("O-1", "first order"));
    assert_eq!(placed["entity"]["state"]["status"], "pending");
    assert_eq!(model.refused("order_ship", json!({"order_id": "O-1"})), "invalid_state_transition");
    for step in ["order_confirm", "order_process", "order_ship"] {
        model.call(step, json!({"order_id": "O-1"}));
    }
    let delivered = model.call("order_deliver", json!({"order_id": "O-1", "wait_for_receipt": true}));
    assert_eq!(delivered["status"], "receipted", "{delivered}");
    let stale = json!({"order_id": "O-1", "expected_version": 1});
    assert_eq!(model.refused("order_cancel", stale), "version_conflict");
    let returned = json!({"return_id": "R-1", "order_id": "O-1", "customer_id": "C-1", "currency": "USD"});
    model.call("return_request", returned);
    model.call("return_approve", json!({"return_id": "R-1"}));
    model.call("return_receive", json!({"return_id": "R-1"}));
    model.call("return_refund", json!({"return_id": "R-1", "amount": "61.00", "currency": "USD"}));
    let refunded = model.call("return_list", json!({"status": "refunded"}));
    assert_eq!(refunded["entities"][0]["entity_id"], "R-1");

    // The service, which folds the same events by itself, came to the same state.
    model.call("sync_push", json!({}));
    model.call("sync_pull", json!({}));
    let ours = model.call("order_get", json!({"order_id": "O-1"}));
    assert_eq!((&ours["entity"]["pending"], &ours["entity"]["version"]), (&json!(0), &json!(5)), "{ours}");
    let theirs = projected(&service, "order", "O-1");
    assert_eq!(theirs["state"], ours["entity"]["state"], "{theirs}");

    let (code, out, error) = run_on(folder.path(), &["commit", "--json"]);
    assert_eq!(code, Some(0), "{out}{error}");
    let id = delivered["event_id"].clone();
    let proof = model.call("proof_get", json!({"event_id": id}))["proof"].clone();
    assert_eq!(model.call("proof_verify", json!({"proof": proof.clone()}))["holds"], true);
    let mut forged = proof.clone();
    forged["event"]["entity_id"] = "O-2".into();
    let verdict = model.ask("tools/call", json!({"name": "proof_verify", "arguments": {"proof": forged}}));
    assert_ne!(verdict["result"]["structuredContent"]["holds"], true, "{verdict}");
    assert_eq!(model.call("receipt_get", json!({"event_id": id}))["status"], "receipted");
    assert_eq!(model.call("key_list", json!({}))["keys"].as_array().map(Vec::len), Some(1));
    model.close();
}

/// What the service's own projection says, once it has caught up.
fn projected(service: &Service, entity_type: &str, id: &str) -> Value {
    let stream = service.default_stream();
    let query = format!("tenant_id={}&store_id={}", stream.tenant_id, stream.store_id);
    let path = format!("/api/v1/entities/{entity_type}/{id}?{query}");
    let mut last = Value::Null;
    for _ in 0..200 {
        let (status, text) = service.rest().get(&path).unwrap();
        last = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status == 200 && last["state"]["status"] == "delivered" {
            return last;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the projection did not come to it: {last}");
}

#[test]
fn clients_of_older_revisions_shake_hands_and_get_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    for version in OLDER {
        let (mut model, hello) = Model::shaken(folder.path(), &LIMITS, version);
        assert_eq!(hello["result"]["protocolVersion"], version, "{hello}");
        assert_eq!(hello["result"]["serverInfo"]["name"], "stateset", "{hello}");
        assert_eq!(hello["result"]["serverInfo"]["version"], env!("CARGO_PKG_VERSION"), "{hello}");
        let id = format!("O-{version}");
        let placed = model.call("order_create", order(&id, version));
        assert_eq!(placed["entity"]["entity_id"], id.as_str());
        model.close();
    }
    // What is unknown is offered the newest that shakes hands.
    let (model, hello) = Model::shaken(folder.path(), &LIMITS, "2024-01-01");
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25", "{hello}");
    drop(model);
    drop(service);
}

#[test]
fn bad_arguments_are_named_and_every_tool_says_what_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let mut model = Model::stateless(folder.path(), &LIMITS);
    let discovered = model.ask("server/discover", json!({}));
    let versions = discovered["result"]["supportedVersions"].as_array().expect("versions");
    assert!(versions.iter().any(|version| version == super::client::STATELESS), "{discovered}");
    let listed = model.ask("tools/list", json!({}));
    let tools = listed["result"]["tools"].as_array().expect("tools");
    assert!(tools.len() > 40, "{}", tools.len());
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tool["annotations"][hint].is_boolean(), "{tool}");
        }
        // Nothing that has no engine, and nothing that decides about an approval.
        let name = tool["name"].as_str().unwrap();
        for absent in ["cart", "invoice", "loan", "document", "approval_approve", "governance"] {
            assert!(!name.contains(absent), "{name}");
        }
    }
    let order = |member: &str, value: Value| {
        let mut order = order("O-1", "k");
        order[member] = value;
        order
    };
    assert_eq!(model.bad_field("order_create", order("total_amount", json!(61.0))), "total_amount");
    assert_eq!(model.bad_field("order_create", order("currency", json!("dollars"))), "currency");
    assert_eq!(model.bad_field("order_create", order("discount", json!("1.00"))), "discount");
    assert_eq!(model.bad_field("order_create", order("customer_id", json!(null))), "customer_id");
    let lines = json!([{"product_id": "P", "quantity": -1, "unit_price": "1.00"}]);
    assert_eq!(model.bad_field("order_create", order("line_items", lines)), "line_items[0].quantity");
    let address = order("shipping_address", json!({"zip": 9_007_199_254_740_993_u64}));
    assert_eq!(model.bad_field("order_create", address), "arguments.shipping_address.zip");
    assert_eq!(model.bad_field("order_list", json!({"cursor": "AAAA"})), "cursor");
    assert_eq!(model.bad_field("cart_create", json!({})), "name");
    let none = model.ask("tools/nothing", json!({}));
    assert_eq!(none["error"]["code"], -32601, "{none}");
    // Nothing of all that was written.
    assert_eq!(model.refused("order_get", json!({"order_id": "O-1"})), "not_found");
    assert_eq!(model.call("sync_status", json!({}))["pending"], 0);
    drop(service);
}

#[test]
fn lists_resources_and_prompts_page_by_opaque_cursors() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let mut model = Model::stateless(folder.path(), &["--limit", "USD=500.00", "--manual-sync"]);
    for n in 0..130 {
        model.call("customer_create", json!({"customer_id": format!("C/{n:03}"), "email": "a@example.com"}));
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let mut arguments = json!({"limit": 50});
        if let Some(cursor) = &cursor {
            arguments["cursor"] = Value::clone(cursor);
        }
        let page = model.call("customer_list", arguments);
        seen.extend(page["entities"].as_array().unwrap().iter().map(|entity| entity["entity_id"].clone()));
        match page.get("next_cursor") {
            Some(next) => cursor = Some(next.clone()),
            None => break,
        }
    }
    assert_eq!((seen.len(), &seen[129]), (130, &json!("C/129")));
    let first = model.ask("resources/list", json!({}));
    let next = first["result"]["nextCursor"].as_str().expect("another page").to_owned();
    let second = model.ask("resources/list", json!({"cursor": next}));
    let resources = |page: &Value| page["result"]["resources"].as_array().unwrap().clone();
    let all = [resources(&first), resources(&second)].concat();
    let customers = all.iter().filter(|resource| resource["uri"].as_str().unwrap().contains("/customer/"));
    assert_eq!(customers.count(), 130);
    let read = model.ask("resources/read", json!({"uri": "stateset://entities/customer/C%2F007"}));
    let body: Value = serde_json::from_str(read["result"]["contents"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(body["state"]["email"], "a@example.com", "{read}");
    let absent = model.ask("resources/read", json!({"uri": "stateset://entities/customer/nobody"}));
    assert_eq!(absent["error"]["code"], -32602, "{absent}");
    let prompts = model.ask("prompts/list", json!({}));
    let names: Vec<&str> =
        prompts["result"]["prompts"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(names, ["reorder", "reconcile", "dispute"]);
    let prompt = json!({"name": "reconcile", "arguments": {"order_id": "O-1"}});
    let text = model.ask("prompts/get", prompt)["result"]["messages"][0]["content"]["text"].clone();
    assert!(text.as_str().unwrap().contains("O-1"), "{text}");
    drop(service);
}
