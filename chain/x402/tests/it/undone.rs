//! Blocks that the chain undoes, and old transactions that come back.

mod failed;
mod gap;
mod looks;

use axum::http::StatusCode;
use serde_json::{Value, json};
use set_registry::BlockAt;
use set_registry::abi::TestDollar::transferCall;
use set_registry::devnet::Wallet;
use stateset_x402::{Claim, Reason, VerifyError, Version};

use crate::faults::bring;
use crate::world::{BASE_SEPOLIA, MERCHANT, PAYER, PRICE, SETTLER, STRANGER, World, key};

impl World {
    fn tell(&self, method: &str, params: &Value) -> Value {
        let node = self.anvil.node();
        tokio::task::block_in_place(|| node.request(method, params)).expect("a method of anvil")
    }

    async fn rounds(&self, count: usize) {
        for _ in 0..count {
            self.facilitator().round().await;
        }
    }

    /// Transactions of the settler in blocks.
    fn sent_by_settler(&self) -> u64 {
        let node = self.anvil.node();
        tokio::task::block_in_place(|| node.nonce(key(SETTLER).address(), BlockAt::Latest)).unwrap()
    }

    /// The answer that a new process gives, which has kept none.
    async fn asked_anew(&mut self, payment: &(&'static str, String)) -> StatusCode {
        self.restart();
        self.ask("/paid", std::slice::from_ref(payment)).await.status
    }
}

/// After a reorganisation the same authorization stands in an earlier block than the one at which it was reserved.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_undone_payment_that_an_earlier_block_holds_is_settled_there() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let before = world.tell("evm_snapshot", &json!([]));
    (0..3).for_each(|_| drop(world.tell("evm_mine", &json!([]))));
    let paid = world.payment().await;
    let claim = Claim::read(Version::Two, paid.1.as_bytes()).unwrap();
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::OK);
    let first = world.log.told.lock().unwrap()[0].block_number;
    world.tell("evm_revert", &json!([before]));
    tokio::task::block_in_place(bring(&world, &claim));
    world.rounds(3).await;
    let told = world.log.told.lock().unwrap()[0].block_number;
    assert!(told < first, "{told} after {first}: it was looked for at {first} and later");
    assert_eq!(world.asked_anew(&paid).await, StatusCode::OK, "what was paid is delivered");
    assert_eq!((world.sold(), world.log.told.lock().unwrap().len()), (1, 1));
}

/// The node puts the old transaction into a block again: a second one beside it would pay gas for nothing, and be taken for
/// the outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_undone_transaction_that_the_node_finds_again_settles_its_payment_and_none_is_sent_beside_it() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let before = world.tell("evm_snapshot", &json!([]));
    (0..3).for_each(|_| drop(world.tell("evm_mine", &json!([]))));
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::OK);
    let raw = world.chain().sent.lock().unwrap().last().unwrap().clone();
    let (first, settled) = (world.sent_by_settler(), world.log.told.lock().unwrap()[0].transaction);
    world.tell("evm_setAutomine", &json!([false]));
    world.tell("evm_revert", &json!([before]));
    world.tell("eth_sendRawTransaction", &json!([raw]));
    world.rounds(3).await;
    world.tell("evm_mine", &json!([]));
    world.rounds(3).await;
    let told = world.log.told.lock().unwrap().clone();
    assert_eq!((told.len(), told[0].transaction), (1, settled), "in the transaction that it was");
    assert_eq!((world.sold(), world.sent_by_settler()), (1, first), "and no other");
    assert_eq!(world.asked_anew(&paid).await, StatusCode::OK, "what was paid is delivered");
    world.rounds(2).await;
    world.tell("evm_mine", &json!([]));
    assert_eq!((world.sold(), world.sent_by_settler()), (1, first));
}

/// On another branch the number was another payment's, and the payer had nothing left; then the first branch is back, and the
/// old transaction with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_is_not_called_failed_while_its_old_transaction_may_come_back() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let before = world.tell("evm_snapshot", &json!([]));
    let paid = world.payment().await;
    let claim = Claim::read(Version::Two, paid.1.as_bytes()).unwrap();
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::OK);
    let raw = world.chain().sent.lock().unwrap().last().unwrap().clone();
    let settled = world.log.told.lock().unwrap()[0].transaction;
    world.tell("evm_revert", &json!([before]));
    let before = world.tell("evm_snapshot", &json!([]));
    // A stranger's use of the settler's number, and of the payer's money.
    let node = world.anvil.node();
    let spend = |by: usize, value: u64| {
        let call = transferCall { to: key(STRANGER).address(), value: value.try_into().unwrap() };
        tokio::task::block_in_place(|| Wallet::new(node.clone(), key(by)).unwrap().call(world.dollar, &call))
            .unwrap();
    };
    spend(SETTLER, 0);
    spend(PAYER, crate::world::FUNDS);
    world.rounds(6).await;
    assert_eq!(
        (world.balance(MERCHANT), world.sent_by_settler()),
        (0, 2),
        "a second one was sent, and refused"
    );
    let taken = world.facilitator().verify(&claim, &world.offer()).await;
    assert!(
        matches!(&taken, Err(VerifyError::Refused(refusal)) if refusal.reason == Reason::NonceUsed),
        "{taken:?}"
    );
    world.tell("evm_revert", &json!([before]));
    world.tell("eth_sendRawTransaction", &json!([raw]));
    world.tell("evm_mine", &json!([]));
    world.rounds(3).await;
    let told = world.log.told.lock().unwrap().clone();
    assert_eq!((told.len(), told[0].transaction, world.balance(MERCHANT)), (1, settled, PRICE));
    assert_eq!(world.asked_anew(&paid).await, StatusCode::OK, "what was paid is delivered");
    assert_eq!((world.sold(), world.sent_by_settler()), (1, 1));
}
