//! Sends that fail, processes that die, others who come first: nothing is paid twice and nothing is lost.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall as _;
use axum::http::StatusCode;
use set_registry::abi::SetPaymentBatch::settleBatchCall;
use set_registry::abi::TestDollar::transferWithAuthorization_0Call as Bring;
use set_registry::devnet::Wallet;
use stateset_x402::batch::batch_payment;
use stateset_x402::{Authorization, Claim, Version, header, settlement_of};

use crate::batches::{OWNER, deploy, terms};
use crate::shaky::NextSend;
use crate::world::{BASE_SEPOLIA, MERCHANT, PAYER, PRICE, SETTLER, STRANGER, World, key};

/// Brings a payment to the token from another account.
pub fn bring(world: &World, claim: &Claim) -> impl Fn() + Send + Sync + use<> {
    let (node, dollar, claim) = (world.anvil.node(), world.dollar, claim.clone());
    move || {
        let authorization = claim.authorization;
        let call = Bring {
            from: authorization.from,
            to: authorization.to,
            value: authorization.value,
            validAfter: authorization.valid_after,
            validBefore: authorization.valid_before,
            nonce: authorization.nonce,
            signature: claim.signature.clone(),
        };
        let wallet = Wallet::new(node.clone(), key(STRANGER)).unwrap();
        wallet.send(Some(dollar), call.abi_encode().into(), U256::ZERO).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_send_that_fails_leaves_no_gap_and_the_same_payment_can_be_brought_again() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let first = world.payment().await;
    assert_eq!(world.ask("/paid", &[first]).await.status, StatusCode::OK);
    world.chain().next_send(NextSend::Refuse);
    let refused = world.payment().await;
    let answer = world.ask("/paid", std::slice::from_ref(&refused)).await;
    assert_eq!(
        (answer.status, answer.reason().as_deref()),
        (StatusCode::PAYMENT_REQUIRED, Some("unexpected_settle_error"))
    );
    assert_eq!(world.sold(), 1);
    let later = world.payment().await;
    assert_eq!(world.ask("/paid", &[later]).await.status, StatusCode::OK);
    assert_eq!(world.ask("/paid", &[refused]).await.status, StatusCode::OK);
    assert_eq!(world.sold(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_send_whose_outcome_is_unknown_is_found_out_and_never_doubled() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    for (count, next) in [(1, NextSend::LoseAnswer), (2, NextSend::Lose)] {
        world.chain().next_send(next);
        let paid = world.payment().await;
        let answer = world.ask("/paid", &[paid]).await;
        assert_eq!(answer.status, StatusCode::OK, "{next:?}: {answer:?}");
        assert_eq!(world.sold(), count, "{next:?}");
    }
    let paid = world.payment().await;
    assert_eq!((world.ask("/paid", &[paid]).await.status, world.sold()), (StatusCode::OK, 3));
}

/// The buyer was told that his payment had failed, while anyone could still bring it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_account_without_gas_costs_the_buyer_nothing() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let account = key(SETTLER).address();
    let fund = |wei: &str| {
        let params = serde_json::json!([account, wei]);
        tokio::task::block_in_place(|| {
            world
                .anvil
                .node()
                .request::<serde_json::Value>("anvil_setBalance", &params)
                .expect("a method of anvil")
        })
    };
    fund("0x0");
    let paid = world.payment().await;
    let answer = world.ask("/paid", std::slice::from_ref(&paid)).await;
    assert_eq!((answer.status, world.sold()), (StatusCode::SERVICE_UNAVAILABLE, 0), "{answer:?}");
    fund("0xde0b6b3a7640000");
    let answer = world.ask("/paid", &[paid]).await;
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1), "{answer:?}");
}

/// The node told of the use and not yet of the receipt: the sale was lost for good, and the money with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_receipt_that_is_shown_late_loses_no_sale() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let until = Instant::now() + Duration::from_secs(4);
    *world.chain().hides_receipts_until.lock().unwrap() = Some(until);
    let paid = world.payment().await;
    let answer = world.ask("/paid", std::slice::from_ref(&paid)).await;
    assert_ne!(answer.status, StatusCode::PAYMENT_REQUIRED, "{answer:?}");
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answer = world.ask("/paid", &[paid]).await;
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_dies_after_sending_finds_its_payment_settled() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    // It is sent, and then nothing is heard of the chain.
    world.chain().deaf(true);
    world.chain().next_send(NextSend::LoseAnswer);
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.becomes_sold(1).await;
    assert_eq!(world.log.told.lock().unwrap().len(), 0);
    world.restart();
    world.facilitator().round().await;
    assert_eq!(world.log.told.lock().unwrap().len(), 1, "told without anybody asking");
    let answer = world.ask("/paid", &[paid]).await;
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_dies_before_sending_sends_when_it_is_asked_again() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    world.chain().deaf(true);
    world.chain().next_send(NextSend::Lose);
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.sold(), 0);
    world.restart();
    let answer = world.ask("/paid", &[paid]).await;
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_authorization_that_another_brings_first_counts_as_settled_in_his_transaction() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let claim = Claim::read(Version::Two, value.as_bytes()).unwrap();
    *world.chain().before_send.lock().unwrap() = Some(Box::new(bring(&world, &claim)));
    let answer = world.ask("/paid", &[(name, value)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let told = settlement_of(answer.header(header::PAYMENT_RESPONSE).unwrap()).unwrap();
    let logged = world.log.told.lock().unwrap()[0].transaction;
    assert_eq!((told.transaction, world.sold()), (logged.to_string(), 1));
}

/// The payer signs the nonce once more, to himself, and uses it in one transaction with a payment of the same price for
/// something else: the shop has one price, and sells one thing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transfer_that_pays_for_something_else_in_the_same_transaction_settles_nothing() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let (_, other) = world.payment().await;
    let [claim, other] = [&value, &other].map(|value| Claim::read(Version::Two, value.as_bytes()).unwrap());
    let to_himself = Authorization { to: key(STRANGER).address(), ..claim.authorization };
    let signature = key(PAYER).sign(&to_himself.digest(&world.offer().domain())).as_bytes();
    let payments = vec![
        batch_payment(B256::repeat_byte(1), &other.authorization, &other.signature).unwrap(),
        batch_payment(B256::repeat_byte(2), &to_himself, &signature).unwrap(),
    ];
    let contract = tokio::task::block_in_place(|| deploy(&world, world.dollar));
    let call = settleBatchCall { terms: terms(world.dollar, 2), payments };
    let node = world.anvil.node();
    *world.chain().before_send.lock().unwrap() = Some(Box::new(move || {
        Wallet::new(node.clone(), key(OWNER)).unwrap().call(contract, &call).unwrap();
    }));
    let answer = world.ask("/paid", &[(name, value)]).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{answer:?}");
    assert_eq!(answer.reason().as_deref(), Some("invalid_exact_evm_nonce_already_used"));
    assert_eq!((world.balance(MERCHANT), world.served.load(Ordering::SeqCst)), (PRICE, 0));
    assert!(world.log.told.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_authorization_that_was_used_before_buys_nothing() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let claim = Claim::read(Version::Two, value.as_bytes()).unwrap();
    tokio::task::block_in_place(bring(&world, &claim));
    let answer = world.ask("/paid", &[(name, value)]).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(answer.reason().as_deref(), Some("invalid_exact_evm_nonce_already_used"));
    assert_eq!(world.served.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_that_is_away_holds_no_buyer_up_and_is_told_when_it_is_back() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    world.log.is_away.store(true, Ordering::SeqCst);
    let paid = world.payment().await;
    let answer = world.ask("/paid", &[paid]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(settlement_of(answer.header(header::PAYMENT_RESPONSE).unwrap()).unwrap().extensions.is_empty());
    world.facilitator().round().await;
    assert_eq!(world.log.told.lock().unwrap().len(), 0);
    world.log.is_away.store(false, Ordering::SeqCst);
    world.facilitator().round().await;
    world.facilitator().round().await;
    assert_eq!(world.log.told.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_that_refuses_a_payment_is_not_asked_in_every_round() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    world.log.refuses.store(true, Ordering::SeqCst);
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK, "the money has moved");
    for _ in 0..3 {
        world.facilitator().round().await;
    }
    assert_eq!(world.log.asked.load(Ordering::SeqCst), 1);
}

/// A process that only stands by said it of every payment every two seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_that_is_away_is_spoken_of_once() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    world.log.is_away.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let paid = world.payment().await;
        assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK);
    }
    world.restart();
    let heard = stateset_fixtures::Heard::listen();
    for _ in 0..3 {
        world.facilitator().round().await;
    }
    assert_eq!((heard.count("settled payment"), heard.count("away")), (1, 1));
    world.log.is_away.store(false, Ordering::SeqCst);
    world.facilitator().round().await;
    assert_eq!(world.log.told.lock().unwrap().len(), 2);
    // Away once more: that is news.
    world.log.is_away.store(true, Ordering::SeqCst);
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK);
    world.facilitator().round().await;
    assert_eq!(heard.count("settled payment"), 1, "the one who settled said it");
}
