//! One authorization for an intent of the history and for a sale here: one of both counts.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use stateset_x402::{Claim, PaymentKey, Version};
use uuid::Uuid;

use crate::faults::bring;
use crate::shaky::NextSend;
use crate::world::{BASE_SEPOLIA, MERCHANT, PRICE, World};

/// Requests that were answered with what they asked for.
fn served(world: &World) -> u64 {
    world.served.load(Ordering::SeqCst)
}

fn key_of(world: &World, value: &str) -> PaymentKey {
    let authorization = Claim::read(Version::Two, value.as_bytes()).unwrap().authorization;
    let (chain_id, token) = (world.chain_id, world.dollar);
    PaymentKey { chain_id, token, from: authorization.from, nonce: authorization.nonce }
}

/// An intent is settled by the authorization that it carries: whoever brings that to a shop as well pays once and would get two
/// things.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_authorization_that_an_intent_carries_buys_nothing_else() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let claim = Claim::read(Version::Two, value.as_bytes()).unwrap();
    world.log.promised.lock().unwrap().push(claim.authorization.nonce);
    let answer = world.ask("/paid", &[(name, value)]).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(answer.reason().as_deref(), Some("invalid_exact_evm_nonce_already_used"));
    assert_eq!(served(&world), 0);
    let other = world.payment().await;
    assert_eq!((world.ask("/paid", &[other]).await.status, served(&world)), (StatusCode::OK, 1));
}

/// The intent comes between the question and the reservation.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_intent_that_comes_before_the_reservation_is_durable_is_the_one_that_counts() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let claim = Claim::read(Version::Two, value.as_bytes()).unwrap();
    world.log.promised_next.lock().unwrap().push(claim.authorization.nonce);
    let answer = world.ask("/paid", &[(name, value.clone())]).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(answer.reason().as_deref(), Some("invalid_exact_evm_nonce_already_used"));
    assert_eq!((served(&world), world.balance(MERCHANT)), (0, 0));
    // What it had reserved for a moment holds the authorization no more, so that the intent can be paid by it.
    assert_eq!(world.facilitator().verify(&claim, &world.offer()).await, Ok(()));
    tokio::task::block_in_place(bring(&world, &claim));
    assert_eq!(world.balance(MERCHANT), PRICE);
    // The same transfer is not this sale's as well.
    for _ in 0..2 {
        world.facilitator().round().await;
        assert_eq!(world.ask("/paid", &[(name, value.clone())]).await.status, StatusCode::PAYMENT_REQUIRED);
    }
    assert_eq!((served(&world), world.log.asked()), (0, 0));
}

/// A failed payment holds its authorization no more: what moves the money later may be an intent's batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_that_failed_takes_nothing_from_the_intent_that_came_after_it() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let claim = Claim::read(Version::Two, value.as_bytes()).unwrap();
    world.chain().next_send(NextSend::Refuse);
    assert_eq!(world.ask("/paid", &[(name, value.clone())]).await.status, StatusCode::PAYMENT_REQUIRED);
    world.log.promised.lock().unwrap().push(claim.authorization.nonce);
    tokio::task::block_in_place(bring(&world, &claim));
    assert_eq!(world.ask("/paid", &[(name, value)]).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!((served(&world), world.log.asked(), world.balance(MERCHANT)), (0, 0, PRICE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_sold_while_nobody_says_what_is_promised() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    world.log.is_silent.store(true, Ordering::SeqCst);
    let paid = world.payment().await;
    let answer = world.ask("/paid", std::slice::from_ref(&paid)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!((served(&world), world.balance(MERCHANT)), (0, 0));
    world.log.is_silent.store(false, Ordering::SeqCst);
    assert_eq!((world.ask("/paid", &[paid]).await.status, served(&world)), (StatusCode::OK, 1));
}

/// It stopped between reservation and question, and the intent came in that time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reservation_that_nobody_asked_for_again_is_not_paid_by_an_intents_transfer() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let claim = Claim::read(Version::Two, value.as_bytes()).unwrap();
    world.log.is_silent_next.store(true, Ordering::SeqCst);
    let answer = world.ask("/paid", &[(name, value.clone())]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    world.log.promised.lock().unwrap().push(claim.authorization.nonce);
    tokio::task::block_in_place(bring(&world, &claim));
    world.restart();
    for _ in 0..2 {
        world.facilitator().round().await;
        assert_eq!(world.log.asked(), 0, "no sale is told while it is not known whose transfer it is");
    }
    world.log.is_silent.store(false, Ordering::SeqCst);
    world.facilitator().round().await;
    assert_eq!(world.ask("/paid", &[(name, value)]).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!((served(&world), world.log.asked(), world.balance(MERCHANT)), (0, 0, PRICE));
}

/// Another gate in front of the same history has taken it, in whatever process.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_authorization_that_another_sale_holds_buys_nothing_here() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let (key, other) = (key_of(&world, &value), Uuid::from_u128(7));
    world.log.holds.lock().unwrap().insert(key, other);
    for _ in 0..2 {
        let answer = world.ask("/paid", &[(name, value.clone())]).await;
        assert_eq!(answer.reason().as_deref(), Some("invalid_exact_evm_nonce_already_used"));
        world.facilitator().round().await;
    }
    assert_eq!((served(&world), world.balance(MERCHANT)), (0, 0));
    assert_eq!(world.log.holds.lock().unwrap().get(&key), Some(&other), "it is not given back for the other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sale_that_failed_gives_its_authorization_back_when_the_log_can_be_told() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let key = key_of(&world, &value);
    world.log.is_away.store(true, Ordering::SeqCst);
    world.chain().next_send(NextSend::Refuse);
    assert_eq!(world.ask("/paid", &[(name, value.clone())]).await.status, StatusCode::PAYMENT_REQUIRED);
    assert!(world.log.holds.lock().unwrap().contains_key(&key), "the log could not be told");
    world.restart();
    world.log.is_away.store(false, Ordering::SeqCst);
    world.facilitator().round().await;
    assert!(world.log.holds.lock().unwrap().is_empty());
    // The same once more, brought again before it was given back: that sale has it still.
    world.log.is_away.store(true, Ordering::SeqCst);
    world.chain().next_send(NextSend::Refuse);
    assert_eq!(world.ask("/paid", &[(name, value.clone())]).await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(world.ask("/paid", &[(name, value)]).await.status, StatusCode::OK);
    world.log.is_away.store(false, Ordering::SeqCst);
    world.facilitator().round().await;
    assert_eq!((served(&world), world.balance(MERCHANT)), (1, PRICE));
    assert!(world.log.holds.lock().unwrap().contains_key(&key), "what was sold is not given back");
}
