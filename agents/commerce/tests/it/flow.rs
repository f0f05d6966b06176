//! From discovery to an order in the log.

use serde_json::{Value, json};
use stateset_commerce::jose::{Jws, PublicKey, hash_text};
use stateset_commerce::ports::TillError;

use crate::world::{Mandates, World, closed_after, completion, lines, token, total};

/// The key of the shop's profile.
async fn shop_key(world: &World) -> PublicKey {
    let profile = world.call("GET", "/.well-known/ucp", &[], "").await.1;
    PublicKey::from_jwk(&profile["keys"][0]).unwrap()
}

#[tokio::test]
async fn mandates_pay_and_the_order_is_in_the_log() {
    let mut world = World::new();
    let opened = world.session(&[("mug", 2)]).await;
    assert_eq!((opened["status"].as_str(), total(&opened)), (Some("ready_for_complete"), 2500));
    let path = format!("/checkout-sessions/{}", opened["id"].as_str().unwrap());
    let (_, checkout) = world.ask("PUT", &path, &lines(&[("mug", 1), ("tea", 3)])).await;
    assert_eq!(total(&checkout), 1250 + 3 * 499);
    let key = shop_key(&world).await;
    Jws::parse(&crate::world::checkout_jwt(&checkout)).unwrap().verify(&key).unwrap();

    let (of_checkout, of_payment) = Mandates::of(&checkout, world.now_s()).direct(&world.platform);
    let body = completion(&checkout, (&of_checkout, &of_payment), "1");
    let (status, done) = world.complete(&checkout, &body).await;
    assert_eq!((status, done["status"].as_str()), (200, Some("completed")), "{done}");
    let types = [
        "checkout.created",
        "checkout.updated",
        "ap2_mandate.used",
        "ap2_mandate.used",
        "checkout.completion_started",
        "order.created",
        "order.confirmed",
        "checkout.completed",
    ];
    assert_eq!(world.log.types(), types);
    for (name, mandate) in [("checkout_receipt", &of_checkout), ("payment_receipt", &of_payment)] {
        let text = done["ap2"][name].as_str().unwrap();
        let receipt = Jws::parse(text).unwrap();
        receipt.verify(&key).unwrap();
        assert_eq!(receipt.payload["reference"], hash_text(mandate), "{name}");
        assert_eq!(receipt.payload["status"], "Success");
    }
    let order = done["order"]["id"].as_str().unwrap();
    let (status, read) = world.ask("GET", &format!("/orders/{order}"), &Value::Null).await;
    assert_eq!((status, &read["event"]["sequence_number"]), (200, &json!(6)), "{read}");

    world.restart();
    let again = world.complete(&checkout, &body).await.1;
    assert_eq!((&again["order"], again["status"].as_str()), (&done["order"], Some("completed")));
    assert_eq!(world.log.types().len(), types.len(), "nothing happens twice");
}

#[tokio::test]
async fn an_agent_closes_what_a_person_left_open() {
    let world = World::new();
    let checkout = world.session(&[("mug", 1)]).await;
    let now_s = world.now_s();
    let cnf = json!({"jwk": world.agent.public().to_jwk()});
    let open = |content: Value| token(&world.platform, "dc+sd-jwt", &content, json!({"exp": now_s + 600}));
    let merchant = json!({"id": "shop_1", "name": "A shop"});
    let open_checkout = open(json!({"vct": "mandate.checkout.open.1", "cnf": cnf, "constraints": [
        {"type": "checkout.allowed_merchants", "allowed": [{"id": "other"}, merchant]},
        {"type": "checkout.line_items", "items": [
            {"id": "any", "acceptable_items": [{"id": "mug"}, {"id": "tea"}], "quantity": 1}]},
    ]}));
    let open_payment = open(json!({"vct": "mandate.payment.open.1", "cnf": cnf, "constraints": [
        {"type": "payment.amount_range", "currency": "USD", "max": 2000},
        {"type": "payment.allowed_payees", "allowed": [merchant]},
        {"type": "payment.reference", "conditional_transaction_id": hash_text(&open_checkout)},
    ]}));
    let closed = |checkout: &Value| {
        let mandates = Mandates::of(checkout, now_s);
        let audience = "https://shop.example";
        (
            closed_after(&open_checkout, &world.agent, &mandates.checkout, now_s, audience),
            closed_after(&open_payment, &world.agent, &mandates.payment, now_s, audience),
        )
    };
    let dear = world.session(&[("mug", 2)]).await;
    let (a, b) = closed(&dear);
    let (_, refused) = world.complete(&dear, &completion(&dear, (&a, &b), "0")).await;
    assert_eq!(
        refused["messages"][0]["code"], "invalid_mandate",
        "two mugs are more than was allowed: {refused}"
    );

    let (a, b) = closed(&checkout);
    let (_, done) = world.complete(&checkout, &completion(&checkout, (&a, &b), "1")).await;
    assert_eq!(done["status"], "completed", "{done}");

    let second = world.session(&[("mug", 1)]).await;
    let (a, b) = closed(&second);
    let (_, refused) = world.complete(&second, &completion(&second, (&a, &b), "2")).await;
    assert_eq!(refused["status"], "ready_for_complete");
    let content = refused["messages"][0]["content"].as_str().unwrap();
    assert!(content.contains("used for another checkout"), "an open mandate serves once: {refused}");
    assert_eq!(world.till.taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_request_with_a_key_is_answered_once() {
    let world = World::new();
    let body = lines(&[("tea", 1)]);
    let create =
        async |key: &str, body: &Value| world.ask_keyed("POST", "/checkout-sessions", body, Some(key)).await;
    let (_, first) = create("k1", &body).await;
    assert_eq!(create("k1", &body).await.1["id"], first["id"]);
    let (status, error) = create("k1", &lines(&[("tea", 2)])).await;
    assert_eq!((status, &error["code"]), (409, &json!("idempotency_key_reused")));
    assert_ne!(create("k2", &body).await.1["id"], first["id"]);

    let path = format!("/checkout-sessions/{}", first["id"].as_str().unwrap());
    let put = async |key: &str, n| world.ask_keyed("PUT", &path, &lines(&[("tea", n)]), Some(key)).await;
    assert_eq!(total(&put("u1", 2).await.1), 998);
    assert_eq!(total(&put("u2", 3).await.1), 1497);
    assert_eq!(total(&put("u1", 2).await.1), 998, "the first answer, though the session went on");
    assert_eq!(put("u1", 9).await.0, 409);
    assert_eq!(total(&world.ask("GET", &path, &Value::Null).await.1), 1497);
}

#[tokio::test]
async fn a_crash_between_payment_and_order_is_made_good() {
    let mut world = World::new();
    let checkout = world.session(&[("mug", 1)]).await;
    let (a, b) = Mandates::of(&checkout, world.now_s()).direct(&world.platform);
    let body = completion(&checkout, (&a, &b), "1");
    *world.till.refuses.lock().unwrap() = Some(TillError::Underway("no block yet".to_owned()));
    let (_, waiting) = world.complete(&checkout, &body).await;
    assert_eq!(waiting["status"], "complete_in_progress", "{waiting}");
    assert!(waiting.get("order").is_none());
    let path = format!("/checkout-sessions/{}", checkout["id"].as_str().unwrap());
    let (_, held) = world.ask("PUT", &path, &lines(&[("tea", 1)])).await;
    assert_eq!((held["messages"][0]["code"].as_str(), total(&held)), (Some("not_allowed"), 1250));
    *world.till.refuses.lock().unwrap() = None;
    *world.log.is_away.lock().unwrap() = true;
    assert_eq!(world.ask("GET", &path, &Value::Null).await.0, 503, "settled, and not yet recorded");
    *world.log.is_away.lock().unwrap() = false;
    world.restart();
    let (_, done) = world.ask("GET", &path, &Value::Null).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(world.till.taken.lock().unwrap().len(), 1);
    assert_eq!(world.log.types().iter().filter(|name| *name == "order.created").count(), 1);
}

#[tokio::test]
async fn a_payment_that_fails_leaves_the_session_open() {
    let world = World::new();
    let checkout = world.session(&[("mug", 1)]).await;
    let (a, b) = Mandates::of(&checkout, world.now_s()).direct(&world.platform);
    *world.till.refuses.lock().unwrap() = Some(TillError::Refused("insufficient_funds".to_owned()));
    let (_, failed) = world.complete(&checkout, &completion(&checkout, (&a, &b), "1")).await;
    assert_eq!(failed["status"], "ready_for_complete");
    assert_eq!(failed["messages"][0]["code"], "payment_failed", "{failed}");
    *world.till.refuses.lock().unwrap() = None;
    let (_, done) = world.complete(&checkout, &completion(&checkout, (&a, &b), "2")).await;
    assert_eq!(done["status"], "completed", "the same mandates serve the same checkout: {done}");
}

#[tokio::test]
async fn a_session_ends_by_the_platform_or_by_its_time() {
    let world = World::new();
    let checkout = world.session(&[("mug", 1)]).await;
    let path = format!("/checkout-sessions/{}", checkout["id"].as_str().unwrap());
    let (_, ended) = world.ask("POST", &format!("{path}/cancel"), &json!({})).await;
    assert_eq!(ended["status"], "canceled");
    let (_, again) = world.ask("POST", &format!("{path}/cancel"), &Value::Null).await;
    assert_eq!(again["messages"][0]["code"], "not_allowed", "{again}");

    let late = world.session(&[("mug", 1)]).await;
    let (a, b) = Mandates::of(&late, world.now_s() + 7 * 3600).direct(&world.platform);
    world.watch.0.fetch_add(7 * 3600, std::sync::atomic::Ordering::Relaxed);
    let (_, refused) = world.complete(&late, &completion(&late, (&a, &b), "1")).await;
    assert_eq!(refused["status"], "canceled", "{refused}");
    assert!(world.till.taken.lock().unwrap().is_empty());
    let unknown = "/checkout-sessions/chk_00000000000000000000000000000000";
    assert_eq!(world.ask("GET", unknown, &Value::Null).await.0, 404);
    assert_eq!(world.ask("GET", "/checkout-sessions/x", &Value::Null).await.0, 404);
}
