//! What a payer has under way together is covered by his balance, or waits.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use axum::http::StatusCode;
use serde_json::{Value, json};
use set_registry::abi::TestDollar::transferCall;
use set_registry::devnet::Wallet;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::world::{BASE_SEPOLIA, MERCHANT, PAYER, PRICE, SETTLER, STRANGER, World, key};

impl World {
    fn told(&self, method: &str, params: &Value) {
        let node = self.anvil.node();
        tokio::task::block_in_place(|| node.request::<Value>(method, params)).expect("a method of anvil");
    }

    /// Moves all of the payer's money away but this.
    fn keep(&self, left: u64) {
        let held = self.balance(key(PAYER).address());
        let spend = transferCall { to: key(STRANGER).address(), value: U256::from(held - left) };
        let node = self.anvil.node();
        tokio::task::block_in_place(|| Wallet::new(node, key(PAYER)).unwrap().call(self.dollar, &spend))
            .unwrap();
    }

    fn sent(&self) -> usize {
        self.chain().sent.lock().unwrap().len()
    }

    /// Of the account that pays for gas.
    fn fund(&self, wei: &str) {
        let account: Address = key(SETTLER).address();
        self.told("anvil_setBalance", &json!([account, wei]));
    }
}

/// Each was covered by the balance, and all but one were reverted at the facilitator's cost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_balance_covers_what_is_under_way_together() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    world.keep(PRICE);
    let [a, b, c] = [[world.payment().await], [world.payment().await], [world.payment().await]];
    world.told("evm_setAutomine", &json!([false]));
    let asked =
        async { tokio::join!(world.ask("/paid", &a), world.ask("/paid", &b), world.ask("/paid", &c)) };
    let mining = async {
        sleep(Duration::from_millis(1_500)).await;
        world.told("evm_mine", &json!([]));
    };
    let ((a, b, c), ()) = tokio::join!(asked, mining);
    let of = |status| [&a, &b, &c].iter().filter(|answer| answer.status == status).count();
    assert_eq!((of(StatusCode::OK), of(StatusCode::PAYMENT_REQUIRED)), (1, 2), "{a:?} {b:?} {c:?}");
    assert_eq!((world.balance(MERCHANT), world.sent()), (PRICE, 1));
}

/// A block has one of them, so that the balance is lower, and its record does not say so yet: it counted twice, and the last was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payments_that_are_covered_exactly_are_all_taken_whatever_block_holds_them() {
    const COUNT: usize = 24;
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    world.keep(COUNT as u64 * PRICE);
    let mut paid = Vec::new();
    for _ in 0..COUNT {
        paid.push([world.payment().await]);
    }
    world.told("evm_setAutomine", &json!([false]));
    world.told("evm_setIntervalMining", &json!([1]));
    let (world, mut asked) = (Arc::new(world), JoinSet::new());
    for (at, header) in paid.into_iter().enumerate() {
        let world = Arc::clone(&world);
        asked.spawn(async move {
            sleep(Duration::from_millis(70 * at as u64)).await;
            world.ask("/paid", &header).await.status
        });
    }
    let statuses = asked.join_all().await;
    assert_eq!(statuses, [StatusCode::OK; COUNT]);
    assert_eq!((world.balance(MERCHANT), world.sent()), (COUNT as u64 * PRICE, COUNT));
}

/// The money was there when they were put down, and each was sent after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waited_for_gas_is_looked_at_again_before_it_is_sent() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    world.keep(2 * PRICE);
    let [a, b, c] = [[world.payment().await], [world.payment().await], [world.payment().await]];
    world.fund("0x0");
    for paid in [&a, &b, &c] {
        assert_eq!(world.ask("/paid", paid).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    world.fund("0xde0b6b3a7640000");
    world.keep(PRICE);
    let refused = world.sent();
    // What is put down and not sent locks nobody out.
    assert_eq!(world.ask("/paid", &c).await.status, StatusCode::OK);
    for paid in [&a, &b] {
        let answer = world.ask("/paid", paid).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{answer:?}");
    }
    assert_eq!((world.balance(MERCHANT), world.sent() - refused), (PRICE, 1));
}

/// Somebody else brings it to the token meanwhile: what was paid is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waited_for_gas_and_was_brought_by_another_is_delivered() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (name, value) = world.payment().await;
    let claim = stateset_x402::Claim::read(stateset_x402::Version::Two, value.as_bytes()).unwrap();
    world.fund("0x0");
    let paid = [(name, value)];
    assert_eq!(world.ask("/paid", &paid).await.status, StatusCode::SERVICE_UNAVAILABLE);
    tokio::task::block_in_place(crate::faults::bring(&world, &claim));
    let refused = world.sent();
    let answer = world.ask("/paid", &paid).await;
    assert_eq!((answer.status, world.sold(), world.sent() - refused), (StatusCode::OK, 1, 0), "{answer:?}");
}
