//! What is sold is paid once, and what is paid is delivered.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use serde_json::Value;
use stateset_x402::forms::PaymentRequired;
use stateset_x402::{Buyer, ChainTable, header, settlement_of};

use crate::world::{BASE_SEPOLIA, MERCHANT, PAYER, PRICE, SET_CHAIN, World, key, nonce, now_s};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_402_offers_both_versions_and_free_routes_stay_free() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    assert_eq!(world.ask("/free", &[]).await.status, StatusCode::OK);
    let answer = world.ask("/paid?day=1", &[]).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    let offer: PaymentRequired = header::read(answer.header(header::PAYMENT_REQUIRED).unwrap()).unwrap();
    assert_eq!((offer.x402_version, offer.accepts), (2, vec![world.offer().requirements()]));
    assert_eq!(offer.resource.url, "http://shop.example/paid?day=1");
    let body = answer.json();
    assert_eq!(
        (&body["x402Version"], &body["accepts"][0]["network"]),
        (&Value::from(1), &Value::from("base-sepolia"))
    );
    assert_eq!(body["accepts"][0]["maxAmountRequired"], PRICE.to_string());
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert_eq!(exposed, b"payment-required, payment-response, x-payment-response");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_chain_that_version_1_does_not_know_is_offered_in_version_2_alone() {
    let Some(world) = World::open(SET_CHAIN).await else { return };
    let answer = world.ask("/paid", &[]).await;
    assert_eq!(answer.json()["accepts"], Value::Array(Vec::new()));
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK);
    assert_eq!(world.sold(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_moves_exactly_the_price_without_gas_from_the_payer_and_a_repeat_moves_nothing() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let payer = key(PAYER).address();
    let gas = world.ether(payer);
    let paid = world.payment().await;
    let answer = world.ask("/paid", std::slice::from_ref(&paid)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let told = settlement_of(answer.header(header::PAYMENT_RESPONSE).unwrap()).unwrap();
    assert!(told.success && told.transaction.len() == 66, "{told:?}");
    assert_eq!(told.network, "eip155:84532");
    assert_eq!(told.extensions["stateset"]["sequenceNumber"], 1);
    assert_eq!((world.sold(), world.ether(payer)), (1, gas));

    // The answer was lost: the same header gets it again, and nothing is done for it.
    let again = world.ask("/paid", std::slice::from_ref(&paid)).await;
    assert_eq!((again.status, &again.body, &again.headers), (answer.status, &answer.body, &answer.headers));
    assert_eq!(world.served.load(Ordering::SeqCst), 1);
    let elsewhere = world.ask("/other", &[paid]).await;
    assert_eq!(elsewhere.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(elsewhere.reason().as_deref(), Some("invalid_exact_evm_nonce_already_used"));
    assert_eq!(world.sold(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_restart_a_repeat_is_delivered_and_not_charged_and_pays_for_nothing_else() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::OK);
    world.restart();
    assert_eq!(world.ask("/other", std::slice::from_ref(&paid)).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK);
    assert_eq!((world.sold(), world.log.told.lock().unwrap().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_authorization_six_times_at_once_settles_once_and_later_payments_go_through() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    let six = [(); 6].map(|()| world.ask("/paid", std::slice::from_ref(&paid)));
    let [a, b, c, d, e, f] = six;
    let answers = tokio::join!(a, b, c, d, e, f);
    let statuses = [&answers.0, &answers.1, &answers.2, &answers.3, &answers.4, &answers.5].map(|a| a.status);
    assert_eq!(statuses, [StatusCode::OK; 6]);
    assert_eq!((world.sold(), world.served.load(Ordering::SeqCst)), (1, 1));
    for count in 2..=3 {
        let paid = world.payment().await;
        assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK);
        assert_eq!(world.sold(), count);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_at_once_all_succeed() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let world = std::sync::Arc::new(world);
    let mut buyers = Vec::new();
    for _ in 0..16 {
        let (world, paid) = (world.clone(), world.payment().await);
        buyers.push(tokio::spawn(async move { world.ask("/paid", &[paid]).await }));
    }
    let mut numbers = BTreeSet::new();
    for buyer in buyers {
        let answer = buyer.await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        numbers.insert(answer.json()["number"].as_u64().unwrap());
    }
    assert_eq!((world.sold(), numbers.len()), (16, 16));
    assert_eq!(world.log.told.lock().unwrap().len(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn version_1_pays_too() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let answer = world.ask("/paid", &[]).await;
    let signer = key(PAYER);
    let buyer = Buyer::new(&signer, ChainTable::default());
    let choice = stateset_x402::Choice {
        amount_max: alloy_primitives::U256::from(PRICE),
        chain_id: Some(BASE_SEPOLIA),
        token: Some(world.dollar),
    };
    let bill = buyer.bill(None, &answer.body, &choice).unwrap();
    let (name, value) = buyer.pay(&bill, now_s(), nonce());
    assert_eq!(name, header::X_PAYMENT);
    let answer = world.ask("/paid", &[(name, value)]).await;
    assert_eq!(answer.status, StatusCode::OK);
    let told = settlement_of(answer.header(header::X_PAYMENT_RESPONSE).unwrap()).unwrap();
    assert_eq!((told.success, told.network.as_str()), (true, "base-sepolia"));
    assert!(answer.header(header::PAYMENT_RESPONSE).is_none());
    assert_eq!((world.sold(), world.balance(MERCHANT)), (1, PRICE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_buyer_names_its_payment_where_the_seller_wants_that() {
    let Some(world) = World::open(SET_CHAIN).await else { return };
    let asked = world.ask("/named", &[]).await;
    let (signer, amount_max) = (key(PAYER), alloy_primitives::U256::from(PRICE));
    let buyer = Buyer::new(&signer, ChainTable::default());
    let choice = stateset_x402::Choice { amount_max, chain_id: None, token: None };
    let bill = buyer.bill(asked.header(header::PAYMENT_REQUIRED), b"", &choice).unwrap();
    let answer = world.ask("/named", &[buyer.pay(&bill, now_s(), nonce())]).await;
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1), "{answer:?}");
}
