//! Payments that are called failed, or are about to be, while what was sent for them may be mined.

use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_primitives::U256;
use axum::http::StatusCode;
use serde_json::json;
use set_registry::abi::TestDollar::transferCall;
use set_registry::devnet::Wallet;
use tokio::time::sleep;

use crate::shaky::NextSend;
use crate::world::{BASE_SEPOLIA, FUNDS, MERCHANT, PAYER, PRICE, STRANGER, World, key};

/// The buyer was told to sign another, and paid twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_that_the_node_takes_with_an_error_is_settled() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    world.chain().next_send(NextSend::TakeAndRefuse);
    let answer = world.ask("/paid", &[paid]).await;
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1), "{answer:?}");
}

/// As above, and the node that is asked afterwards has not heard of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_that_the_node_takes_with_an_error_and_does_not_show_is_not_called_failed() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    world.chain().deaf(true);
    world.chain().next_send(NextSend::TakeAndRefuse);
    let answer = world.ask("/paid", std::slice::from_ref(&paid)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    world.chain().deaf(false);
    let answer = world.ask("/paid", &[paid]).await;
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1), "{answer:?}");
}

/// A clock that jumped, or a chain that lags: the authorization can still be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_ends_by_the_clock_of_the_chain_and_not_by_ours() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    world.tell("evm_setAutomine", &json!([false]));
    let late = async {
        sleep(Duration::from_millis(500)).await;
        world.ahead_s.store(3_600, Ordering::SeqCst);
        sleep(Duration::from_secs(3)).await;
        world.tell("evm_mine", &json!([]));
    };
    let paid = [paid];
    let (answer, ()) = tokio::join!(world.ask("/paid", &paid), late);
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1), "{answer:?}");
}

impl World {
    /// A payment whose transaction a block reverts, since the payer has spent his money just before; then that branch is gone.
    async fn refused_on_a_branch_that_is_undone(&self) -> (&'static str, String) {
        let before = self.tell("evm_snapshot", &json!([]));
        let paid = self.payment().await;
        let (node, dollar) = (self.anvil.node(), self.dollar);
        *self.chain().before_send.lock().unwrap() = Some(Box::new(move || {
            let call = transferCall { to: key(STRANGER).address(), value: U256::from(FUNDS) };
            Wallet::new(node.clone(), key(PAYER)).unwrap().call(dollar, &call).unwrap();
        }));
        let answer = self.ask("/paid", std::slice::from_ref(&paid)).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{answer:?}");
        self.tell("evm_revert", &json!([before]));
        paid
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failed_payment_whose_transaction_moves_the_money_on_another_branch_is_settled() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.refused_on_a_branch_that_is_undone().await;
    world.rounds(2).await;
    assert_eq!(world.log.holds.lock().unwrap().len(), 1, "no intent is paid by it meanwhile");
    let raw = world.chain().sent.lock().unwrap().last().unwrap().clone();
    world.tell("eth_sendRawTransaction", &json!([raw]));
    world.tell("evm_mine", &json!([]));
    assert_eq!(world.balance(MERCHANT), PRICE);
    world.rounds(2).await;
    assert_eq!(world.log.told.lock().unwrap().len(), 1, "told without anybody asking");
    assert_eq!(world.asked_anew(&paid).await, StatusCode::OK, "what was paid is delivered");
    assert_eq!(world.sold(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failed_payment_gives_its_authorization_back_once_its_time_is_over() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    world.refused_on_a_branch_that_is_undone().await;
    world.tell("evm_increaseTime", &json!([300]));
    world.tell("evm_mine", &json!([]));
    world.rounds(2).await;
    assert!(world.log.holds.lock().unwrap().is_empty());
}

/// Goods were delivered for it: somebody has to ask the payer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sale_that_is_undone_for_good_is_told_as_lost_once() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let before = world.tell("evm_snapshot", &json!([]));
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK);
    world.tell("evm_revert", &json!([before]));
    let spend = transferCall { to: key(STRANGER).address(), value: U256::from(FUNDS) };
    let (node, dollar) = (world.anvil.node(), world.dollar);
    tokio::task::block_in_place(|| Wallet::new(node, key(PAYER)).unwrap().call(dollar, &spend)).unwrap();
    let heard = stateset_fixtures::Heard::listen();
    world.rounds(10).await;
    assert_eq!(heard.count("can't be had again"), 0, "its authorization is valid still");
    world.tell("evm_increaseTime", &json!([300]));
    world.tell("evm_mine", &json!([]));
    world.log.is_away.store(true, Ordering::SeqCst);
    world.rounds(2).await;
    assert_eq!(heard.count("can't be had again"), 0, "the history is told first");
    world.log.is_away.store(false, Ordering::SeqCst);
    world.rounds(5).await;
    assert_eq!(world.log.lost.lock().unwrap().len(), 1);
    let payer = key(PAYER).address().to_string();
    assert_eq!((heard.count("can't be had again"), world.balance(MERCHANT)), (1, 0));
    assert!(heard.count(&payer) > 0, "by the payer's name");
}
