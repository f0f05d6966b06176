//! What must not buy anything.

use serde_json::{Value, json};
use stateset_commerce::jose::SigningKey;
use stateset_commerce::versions::{UCP_VERSION, capabilities};

use crate::world::{Mandates, PLATFORM, World, completion, lines, profile_of, token, total};

/// Completes with spoiled mandates; gives the code of the refusal, having seen that nothing was taken.
async fn refusal(world: &World, checkout: &Value, mandates: (&str, &str)) -> String {
    let (status, answer) = world.complete(checkout, &completion(checkout, mandates, "1")).await;
    assert_eq!((status, &answer["status"]), (200, &json!("ready_for_complete")), "{answer}");
    assert!(world.till.taken.lock().unwrap().is_empty(), "nothing is paid");
    assert!(!world.log.types().iter().any(|name| name.starts_with("order.")), "nothing is ordered");
    answer["messages"][0]["code"].as_str().unwrap().to_owned()
}

/// Spoils the mandates of one session and hears why it is refused.
async fn spoiled(spoil: impl FnOnce(&mut Mandates)) -> String {
    let world = World::new();
    let checkout = world.session(&[("mug", 1)]).await;
    let mut mandates = Mandates::of(&checkout, world.now_s());
    spoil(&mut mandates);
    let (a, b) = mandates.direct(&world.platform);
    refusal(&world, &checkout, (&a, &b)).await
}

#[tokio::test]
async fn each_spoiled_member_is_refused_by_name() {
    let now_s = crate::world::START_S;
    type Spoil = Box<dyn FnOnce(&mut Mandates)>;
    let cases: Vec<(&str, &str, Spoil)> = vec![
        ("expired", "mandate_expired", Box::new(move |m| m.claims["exp"] = json!(now_s))),
        ("expired inside", "mandate_expired", Box::new(move |m| m.payment["exp"] = json!(now_s - 1))),
        ("from the future", "mandate_expired", Box::new(move |m| m.claims["iat"] = json!(now_s + 3600))),
        (
            "amount above",
            "mandate_scope_mismatch",
            Box::new(|m| m.payment["payment_amount"]["amount"] = json!(1251)),
        ),
        (
            "amount below",
            "mandate_scope_mismatch",
            Box::new(|m| m.payment["payment_amount"]["amount"] = json!(1249)),
        ),
        (
            "amount as text",
            "mandate_scope_mismatch",
            Box::new(|m| m.payment["payment_amount"]["amount"] = json!("1250")),
        ),
        (
            "currency",
            "mandate_scope_mismatch",
            Box::new(|m| m.payment["payment_amount"]["currency"] = json!("EUR")),
        ),
        ("merchant", "mandate_scope_mismatch", Box::new(|m| m.payment["payee"]["id"] = json!("shop_2"))),
        (
            "website",
            "mandate_scope_mismatch",
            Box::new(|m| m.payment["payee"]["website"] = json!("https://evil.example")),
        ),
        (
            "no payee id",
            "mandate_scope_mismatch",
            Box::new(|m| drop(m.payment["payee"].as_object_mut().unwrap().remove("id"))),
        ),
        (
            "payer",
            "mandate_scope_mismatch",
            Box::new(|m| m.payment["payment_instrument"]["id"] = json!("0xbb")),
        ),
        (
            "instrument",
            "mandate_scope_mismatch",
            Box::new(|m| m.payment["payment_instrument"]["type"] = json!("card")),
        ),
        ("cart hash", "mandate_scope_mismatch", Box::new(|m| m.checkout["checkout_hash"] = json!("AAAA"))),
        ("transaction", "mandate_scope_mismatch", Box::new(|m| m.payment["transaction_id"] = json!("AAAA"))),
        ("checkout type", "invalid_mandate", Box::new(|m| m.checkout["vct"] = json!("mandate.checkout.2"))),
        (
            "open as closed",
            "invalid_mandate",
            Box::new(|m| m.payment["vct"] = json!("mandate.payment.open.1")),
        ),
        (
            "older form",
            "invalid_mandate",
            Box::new(|m| drop(m.payment.as_object_mut().unwrap().remove("vct"))),
        ),
        (
            "execution date",
            "mandate_scope_mismatch",
            Box::new(|m| m.payment["execution_date"] = json!("soon")),
        ),
    ];
    for (name, expected, spoil) in cases {
        assert_eq!(spoiled(spoil).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_forged_mandate_is_refused() {
    let world = World::new();
    let checkout = world.session(&[("mug", 1)]).await;
    let mandates = Mandates::of(&checkout, world.now_s());
    let stranger = SigningKey::generate().unwrap().0;
    let (mine, theirs) = (mandates.direct(&world.platform), mandates.direct(&stranger));
    assert_eq!(refusal(&world, &checkout, (&theirs.0, &theirs.1)).await, "mandate_invalid_signature");
    assert_eq!(refusal(&world, &checkout, (&mine.0, &theirs.1)).await, "mandate_invalid_signature");
    assert_eq!(
        refusal(&world, &checkout, (&mine.1, &mine.0)).await,
        "invalid_mandate",
        "the two are swapped"
    );
    // One letter of the signature, one of a disclosure, and no disclosure.
    let (jws, rest) = mine.0.split_once('~').unwrap();
    let flip = |text: &str| {
        let last = if text.ends_with("AA") { "BB" } else { "AA" };
        format!("{}{last}", &text[..text.len() - 2])
    };
    for forged in [
        format!("{}~{rest}", flip(jws)),
        format!("{jws}~{}~", flip(rest.trim_end_matches('~'))),
        format!("{jws}~"),
    ] {
        let code = refusal(&world, &checkout, (&forged, &mine.1)).await;
        assert_eq!(code, "mandate_invalid_signature", "{forged}");
    }
    // A checkout that this shop never signed.
    let mut own = Mandates::of(&checkout, world.now_s());
    let jwt = stranger.sign(&[], b"{}").unwrap();
    own.checkout["checkout_hash"] = json!(stateset_commerce::jose::hash_text(&jwt));
    own.checkout["checkout_jwt"] = json!(jwt);
    let forged = own.direct(&world.platform);
    assert_eq!(refusal(&world, &checkout, (&forged.0, &forged.1)).await, "merchant_authorization_invalid");
}

#[tokio::test]
async fn the_mandate_of_another_cart_is_refused() {
    let world = World::new();
    let (checkout, other) = (world.session(&[("mug", 1)]).await, world.session(&[("mug", 1)]).await);
    let (a, b) = Mandates::of(&other, world.now_s()).direct(&world.platform);
    assert_eq!(refusal(&world, &checkout, (&a, &b)).await, "mandate_scope_mismatch", "another session");
    // The same session, changed after the mandate was signed.
    let (a, b) = Mandates::of(&checkout, world.now_s()).direct(&world.platform);
    let path = format!("/checkout-sessions/{}", checkout["id"].as_str().unwrap());
    let (_, changed) = world.ask("PUT", &path, &lines(&[("mug", 1), ("tea", 1)])).await;
    assert_eq!(refusal(&world, &changed, (&a, &b)).await, "mandate_scope_mismatch", "another cart");
    let (good, _) = Mandates::of(&changed, world.now_s()).direct(&world.platform);
    assert_eq!(
        refusal(&world, &changed, (&good, &b)).await,
        "mandate_scope_mismatch",
        "payment of the old cart"
    );
}

#[tokio::test]
async fn one_payment_buys_once() {
    let world = World::new();
    let (first, second) = (world.session(&[("mug", 1)]).await, world.session(&[("mug", 1)]).await);
    let (a, b) = Mandates::of(&first, world.now_s()).direct(&world.platform);
    let (_, done) = world.complete(&first, &completion(&first, (&a, &b), "7")).await;
    assert_eq!(done["status"], "completed", "{done}");
    let (a, b) = Mandates::of(&second, world.now_s()).direct(&world.platform);
    let (_, refused) = world.complete(&second, &completion(&second, (&a, &b), "7")).await;
    assert_eq!(
        (&refused["status"], &refused["messages"][0]["code"]),
        (&json!("ready_for_complete"), &json!("payment_failed"))
    );
}

#[tokio::test]
async fn the_payment_has_the_price_and_the_payer_of_the_mandate() {
    let world = World::new();
    let checkout = world.session(&[("mug", 1)]).await;
    let (a, b) = Mandates::of(&checkout, world.now_s()).direct(&world.platform);
    let mut body = completion(&checkout, (&a, &b), "1");
    for (member, value, code) in
        [("value", json!(1), "payment_failed"), ("from", json!("0xbb"), "mandate_scope_mismatch")]
    {
        let good = body["payment"]["instruments"][0]["credential"]["payment"][member].take();
        body["payment"]["instruments"][0]["credential"]["payment"][member] = value;
        let (_, refused) = world.complete(&checkout, &body).await;
        assert_eq!(refused["messages"][0]["code"], code, "{member}: {refused}");
        body["payment"]["instruments"][0]["credential"]["payment"][member] = good;
    }
    body.as_object_mut().unwrap().remove("ap2");
    let (_, refused) = world.complete(&checkout, &body).await;
    assert_eq!(refused["messages"][0]["code"], "mandate_required");
    assert!(world.till.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn unknown_members_and_bounds_are_named() {
    let world = World::new();
    let cases = [
        (json!({"line_items": [], "gift": 1}), "gift"),
        (json!({"line_items": [{"item": {"id": "mug"}, "quantity": 1, "discount": 5}]}), "discount"),
        (json!({"line_items": [{"item": {"id": "mug", "weight": 1}, "quantity": 1}]}), "weight"),
        (json!({"line_items": [{"item": {"id": "mug"}, "quantity": -1}]}), "line_items[0].quantity: "),
        (json!({}), "line_items"),
    ];
    for (body, named) in cases {
        let (status, error) = world.ask("POST", "/checkout-sessions", &body).await;
        assert_eq!((status, &error["code"]), (400, &json!("invalid_request")), "{body}");
        assert!(error["content"].as_str().unwrap().contains(named), "{error}");
    }
    let agent = format!("profile=\"{PLATFORM}\"");
    let twice = r#"{"line_items":[],"line_items":[]}"#;
    let (status, _) = world.call("POST", "/ucp/v1/checkout-sessions", &[("ucp-agent", &agent)], twice).await;
    assert_eq!(status, 400, "a member that is repeated has two readings");
    for (items, code) in [
        (vec![("car", 1)], "item_unavailable"),
        (vec![], "invalid"),
        (vec![("mug", 0)], "invalid"),
        (vec![("mug", 10_001)], "invalid"),
        (vec![("mug", 1); 101], "invalid"),
    ] {
        let (status, error) = world.ask("POST", "/checkout-sessions", &lines(&items)).await;
        assert_eq!((status, &error["ucp"]["status"]), (200, &json!("error")), "{items:?}");
        assert_eq!(error["messages"][0]["code"], code);
        assert!(error.get("id").is_none());
    }
    assert!(world.log.types().is_empty());
}

#[tokio::test]
async fn a_session_belongs_to_its_platform() {
    let world = World::new();
    let checkout = world.session(&[("mug", 1)]).await;
    let other = "https://other.example/p";
    let document = profile_of(UCP_VERSION, capabilities(true), &world.platform);
    world.directory.profiles.lock().unwrap().insert(other.to_owned(), document);
    world.directory.trusted.lock().unwrap().insert(other.to_owned());
    let path = format!("/ucp/v1/checkout-sessions/{}", checkout["id"].as_str().unwrap());
    let agent = format!("profile=\"{other}\"");
    assert_eq!(world.call("GET", &path, &[("ucp-agent", &agent)], "").await.0, 404);
}

#[tokio::test]
async fn an_unknown_constraint_is_not_met() {
    let world = World::new();
    let checkout = world.session(&[("mug", 1)]).await;
    let mandates = Mandates::of(&checkout, world.now_s());
    let now_s = world.now_s();
    let open = |kind: &str, constraint: Value, key: &SigningKey| {
        let content = json!({
            "vct": format!("mandate.{kind}.open.1"), "cnf": {"jwk": key.public().to_jwk()}, "constraints": [constraint],
        });
        token(&world.platform, "dc+sd-jwt", &content, json!({"exp": now_s + 60}))
    };
    let close = |open: &str, content: &Value, audience: &str| {
        crate::world::closed_after(open, &world.agent, content, now_s, audience)
    };
    let free = open(
        "checkout",
        json!({"type": "checkout.allowed_merchants", "allowed": [{"id": "shop_1"}]}),
        &world.agent,
    );
    let checkout_mandate = close(&free, &mandates.checkout, "shop_1");
    for (constraint, code) in [
        (json!({"type": "com.example.mood"}), "unresolved_constraint"),
        (json!({"type": "payment.budget", "max": 9, "currency": "USD"}), "unresolved_constraint"),
        (
            json!({"type": "payment.amount_range", "max": total(&checkout) - 1, "currency": "USD"}),
            "invalid_mandate",
        ),
        (json!({"type": "payment.allowed_payees", "allowed": []}), "invalid_mandate"),
        (json!({"type": "payment.reference", "conditional_transaction_id": "other"}), "invalid_mandate"),
        (
            json!({"type": "payment.allowed_payment_instruments", "allowed": [{"id": "0xbb", "type": "x402"}]}),
            "invalid_mandate",
        ),
        (json!({"type": "payment.execution_date", "not_after": "2020-01-01T00:00:00Z"}), "invalid_mandate"),
    ] {
        let payment = close(&open("payment", constraint.clone(), &world.agent), &mandates.payment, "shop_1");
        let got = refusal(&world, &checkout, (&checkout_mandate, &payment)).await;
        assert_eq!(got, code, "{constraint}");
    }
    // Another agent's key, another shop's audience, an open mandate of another hash.
    let fine = json!({"type": "payment.amount_range", "max": 9999, "currency": "USD"});
    let stranger = SigningKey::generate().unwrap().0;
    let foreign = close(&open("payment", fine.clone(), &stranger), &mandates.payment, "shop_1");
    assert_eq!(refusal(&world, &checkout, (&checkout_mandate, &foreign)).await, "mandate_invalid_signature");
    let elsewhere = close(&open("payment", fine.clone(), &world.agent), &mandates.payment, "shop_2");
    assert_eq!(refusal(&world, &checkout, (&checkout_mandate, &elsewhere)).await, "mandate_scope_mismatch");
    let (one, two) = (open("payment", fine.clone(), &world.agent), open("payment", fine, &world.agent));
    let closed = close(&one, &mandates.payment, "shop_1");
    let moved = closed.replacen(one.as_str(), two.as_str(), 1);
    assert_eq!(refusal(&world, &checkout, (&checkout_mandate, &moved)).await, "mandate_invalid_signature");
}
