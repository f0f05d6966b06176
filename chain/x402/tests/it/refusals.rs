//! Spoiled payments: each is refused with 400 or 402, moves nothing and is served nothing.

use std::sync::atomic::Ordering;

use alloy_primitives::{B256, Bytes};
use axum::http::StatusCode;
use serde_json::{Value, json};
use stateset_x402::{Authorization, Claim, Domain, Offer, SettleError, VerifyError, Version, header};

use crate::world::{BASE_SEPOLIA, MERCHANT, PAYER, PRICE, STRANGER, World, key, nonce, now_s};

/// A sound payment as JSON, signed after `change`.
fn signed(world: &World, signer: usize, change: impl FnOnce(&mut Authorization)) -> Value {
    let offer = world.offer();
    let mut authorization = Authorization {
        from: key(signer).address(),
        to: MERCHANT,
        value: offer.amount,
        valid_after: alloy_primitives::U256::from(now_s() - 600),
        valid_before: alloy_primitives::U256::from(now_s() + 60),
        nonce: nonce(),
    };
    change(&mut authorization);
    let signature = key(signer).sign(&authorization.digest(&offer.domain())).as_bytes();
    json!({
        "x402Version": 2, "accepted": offer.requirements(),
        "payload": {
            "signature": Bytes::from(signature.to_vec()),
            "authorization": {
                "from": authorization.from, "to": authorization.to, "value": authorization.value.to_string(),
                "validAfter": authorization.valid_after.to_string(),
                "validBefore": authorization.valid_before.to_string(), "nonce": authorization.nonce,
            },
        },
    })
}

fn put(mut payment: Value, pointer: &str, value: Value) -> Value {
    *payment.pointer_mut(pointer).expect(pointer) = value;
    payment
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_spoiled_payment_is_refused_by_its_name_beside_a_sound_one() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let number = |n: u64| alloy_primitives::U256::from(n);
    let sound = || signed(&world, PAYER, |_| {});
    let other_domain = {
        let payment = sound();
        let offer = world.offer();
        let domain = Domain { chain_id: 8_453, ..offer.domain() };
        let authorization = Authorization {
            from: key(PAYER).address(),
            to: MERCHANT,
            value: offer.amount,
            valid_after: payment["payload"]["authorization"]["validAfter"].as_str().unwrap().parse().unwrap(),
            valid_before: payment["payload"]["authorization"]["validBefore"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
            nonce: serde_json::from_value::<B256>(payment["payload"]["authorization"]["nonce"].clone())
                .unwrap(),
        };
        let signature = key(PAYER).sign(&authorization.digest(&domain)).as_bytes();
        put(payment, "/payload/signature", json!(Bytes::from(signature.to_vec())))
    };
    let spoiled: Vec<(Value, &str)> = vec![
        (
            put(sound(), "/accepted/amount", json!("1")),
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            put(sound(), "/accepted/payTo", json!(key(STRANGER).address())),
            "invalid_exact_evm_recipient_mismatch",
        ),
        (put(sound(), "/accepted/network", json!("eip155:8453")), "invalid_exact_evm_network_mismatch"),
        (put(sound(), "/accepted/scheme", json!("upto")), "unsupported_scheme"),
        (put(sound(), "/accepted/asset", json!(MERCHANT)), "invalid_payment_requirements"),
        (put(sound(), "/accepted/extra/name", json!("Dollar")), "invalid_exact_evm_token_name_mismatch"),
        (signed(&world, PAYER, |a| a.to = key(STRANGER).address()), "invalid_exact_evm_recipient_mismatch"),
        (
            signed(&world, PAYER, |a| a.value = number(PRICE - 1)),
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            signed(&world, PAYER, |a| a.value = number(PRICE + 1)),
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            signed(&world, PAYER, |a| a.valid_before = number(now_s() - 1)),
            "invalid_exact_evm_payload_authorization_valid_before",
        ),
        (
            signed(&world, PAYER, |a| a.valid_after = number(now_s() + 100)),
            "invalid_exact_evm_payload_authorization_valid_after",
        ),
        (signed(&world, STRANGER, |_| {}), "invalid_exact_evm_insufficient_balance"),
        (signed(&world, STRANGER, |a| a.from = key(PAYER).address()), "invalid_exact_evm_signature"),
        (put(sound(), "/payload/authorization/nonce", json!(nonce())), "invalid_exact_evm_signature"),
        (put(sound(), "/payload/signature", json!("0x1234")), "invalid_exact_evm_signature"),
        (other_domain, "invalid_exact_evm_signature"),
    ];
    for (payment, reason) in spoiled {
        let answer = world.ask("/paid", &[(header::PAYMENT_SIGNATURE, header::write(&payment))]).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{reason}: {payment}");
        assert_eq!(answer.reason().as_deref(), Some(reason), "{payment}");
        assert!(answer.header(header::PAYMENT_REQUIRED).is_some(), "a fresh offer");
    }
    for value in ["", "e30", "e30=", "!!!!", &header::write(&json!({"x402Version": 1})), &"A".repeat(20_000)]
    {
        let answer = world.ask("/paid", &[(header::PAYMENT_SIGNATURE, value.to_owned())]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{value:.40}");
        assert!(answer.json()["error"].as_str().unwrap().starts_with("payment-signature: "), "{answer:?}");
    }
    assert_eq!((world.sold(), world.served.load(Ordering::SeqCst)), (0, 0));
    let answer = world.ask("/paid", &[(header::PAYMENT_SIGNATURE, header::write(&sound()))]).await;
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_of_a_payment_names_one_payment() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let named = |id: Value| {
        let mut payment = signed(&world, PAYER, |_| {});
        payment["extensions"] = json!({"payment-identifier": {"info": {"required": true, "id": id}}});
        (header::PAYMENT_SIGNATURE, header::write(&payment))
    };
    let unnamed = (header::PAYMENT_SIGNATURE, header::write(&signed(&world, PAYER, |_| {})));
    assert_eq!(world.ask("/named", &[unnamed]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.ask("/named", &[named(json!("short"))]).await.status, StatusCode::BAD_REQUEST);
    let first = named(json!("order-2026-000017"));
    let answer = world.ask("/named", std::slice::from_ref(&first)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(world.ask("/named", &[first]).await.body, answer.body);
    let other = world.ask("/named", &[named(json!("order-2026-000017"))]).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert_eq!(world.ask("/named", &[named(json!("order-2026-000018"))]).await.status, StatusCode::OK);
    assert_eq!(world.sold(), 2);
}

/// Who paid in time and lost the answer gets it, though the authorization has ended since.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_paid_in_time_is_delivered_after_the_end_and_an_unpaid_one_is_not() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let end = alloy_primitives::U256::from(now_s() + 8);
    let [paid, unpaid] = [(); 2].map(|()| {
        (header::PAYMENT_SIGNATURE, header::write(&signed(&world, PAYER, |a| a.valid_before = end)))
    });
    let first = world.ask("/paid", std::slice::from_ref(&paid)).await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    tokio::time::sleep(std::time::Duration::from_secs(9)).await;
    let again = world.ask("/paid", &[paid]).await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, first.json()));
    assert_eq!(world.ask("/paid", &[unpaid]).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(world.sold(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_amount_of_nothing_is_neither_verified_nor_settled() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let nothing = Offer { amount: alloy_primitives::U256::ZERO, ..world.offer() };
    let mut payment = signed(&world, PAYER, |authorization| authorization.value = nothing.amount);
    payment["accepted"] = json!(nothing.requirements());
    payment["extensions"] = Value::Null;
    let claim = Claim::parse(Version::Two, payment.to_string().as_bytes()).unwrap();
    let verified = world.facilitator().verify(&claim, &nothing).await;
    let is_named = |detail: &str| detail.contains("the amount is 0");
    assert!(matches!(&verified, Err(VerifyError::Refused(why)) if is_named(&why.detail)), "{verified:?}");
    let settled = world.facilitator().settle(&claim, &nothing, "/nothing").await;
    assert!(matches!(&settled, Err(SettleError::Refused(why)) if is_named(&why.detail)), "{settled:?}");
}
