//! A settled batch whose block the chain undoes while a later one waits for the account's next number: its own number is kept
//! for it, and where that was taken all the same it is sent with another.

use std::time::Duration;

use serde_json::json;
use set_registry::abi::TestDollar::transferCall;
use set_registry::devnet::Wallet;
use set_registry::{BlockAt, U256};
use stateset_fixtures::Heard;
use stateset_sequencer::{BatchStatus, PaymentBatch, PaymentStatus};

use super::chain::{MERCHANT, PAYER, PRICE, SETTLER, Service, World, key};

/// Blocks that make everything late that waits for one.
const LATE: u64 = 8;

impl World {
    /// A settled batch, then a later one that the node has, and the first one's block is undone.
    async fn undo_the_first_of_two(&self, service: &Service) {
        service.pay(self.intent(service, 1, PAYER)).await;
        let before = self.ask("evm_snapshot", &json!([]));
        service.settle_all(1).await;
        self.ask("evm_setAutomine", &json!([false]));
        service.pay(self.intent(service, 2, PAYER)).await;
        while self.batch_of(service, 1).await.is_none_or(|batch| batch.attempts.is_empty()) {
            service.round().await;
        }
        assert_eq!(self.anvil.node().nonce(key(SETTLER).address(), BlockAt::Pending).unwrap(), 2);
        assert_eq!(self.ask("evm_revert", &json!([before])), json!(true));
        assert_eq!((self.sent_by_settler(), self.balance(MERCHANT)), (0, 0));
    }

    async fn batch_of(&self, service: &Service, payment: usize) -> Option<PaymentBatch> {
        let batch_id = service.listed().await[payment].batch_id?;
        service.sequencer.payments().batch(None, &batch_id).await.unwrap()
    }

    fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.ask("evm_mine", &json!([]));
        }
    }

    /// Rounds, and a block after each, until the payee has the price so often.
    async fn until_paid(&self, service: &Service, times: u64) {
        for _ in 0..40 {
            service.round().await;
            self.mine(1);
            if self.balance(MERCHANT) == times * PRICE {
                // What is in a block now is written down.
                service.round().await;
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} of {}: {:?}", self.balance(MERCHANT), times * PRICE, service.listed().await);
    }

    async fn assert_both_paid(&self, service: &Service, attempts: usize) {
        for payment in [0, 1] {
            let batch = self.batch_of(service, payment).await.unwrap();
            assert_eq!((batch.status, batch.undone_at_ms), (BatchStatus::Settled, None));
            let listed = service.listed().await.remove(payment);
            assert_eq!((listed.status, listed.tx_hash), (PaymentStatus::Settled, batch.tx_hash));
            if payment == 0 {
                assert_eq!(batch.attempts.len(), attempts);
                assert_eq!(batch.tx_hash, batch.attempts.last().map(|last| last.tx_hash));
            }
        }
    }
}

/// The later one is looked at alone, as it is between two rounds: long after, with nothing in the pool for the number.
async fn keeps_its_number(restarts: bool) {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    world.undo_the_first_of_two(&service).await;
    let service = world.restarted(service, restarts).await;
    world.mine(LATE);
    let later = world.batch_of(&service, 1).await.unwrap().batch_id;
    for _ in 0..4 {
        service.sequencer.payments().settle_batch(later, None, None, None).await.unwrap();
        world.mine(LATE);
    }
    assert_eq!(world.sent_by_settler(), 0, "it waits");
    world.until_paid(&service, 2).await;
    assert_eq!(world.sent_by_settler(), 2, "no other transaction came between");
    world.assert_both_paid(&service, 1).await;
    service.close().await;
}

/// Its number was filled, and its payments were lost to their payee.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_takes_the_number_of_a_settled_batch_that_is_undone() {
    keeps_its_number(false).await;
}

/// What is in memory alone says nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_takes_the_number_of_an_undone_batch_after_a_restart() {
    keeps_its_number(true).await;
}

/// Another program has sent with the account's key on the other branch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undone_batch_whose_number_was_taken_is_sent_with_another() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    world.undo_the_first_of_two(&service).await;
    // All that the node had of the account is gone, and the number is used.
    world.ask("anvil_dropAllTransactions", &json!([]));
    world.ask("evm_setAutomine", &json!([true]));
    let other = Wallet::new(world.anvil.node(), key(SETTLER)).unwrap();
    let nothing = transferCall { to: MERCHANT, value: U256::ZERO };
    tokio::task::block_in_place(|| other.call(world.dollar, &nothing)).unwrap();
    assert_eq!((world.sent_by_settler(), world.balance(MERCHANT)), (1, 0));

    let first = world.batch_of(&service, 0).await.unwrap();
    let heard = Heard::listen();
    world.until_paid(&service, 2).await;
    assert_eq!(heard.count("could not be sent again"), 0);
    world.assert_both_paid(&service, 2).await;
    let again = world.batch_of(&service, 0).await.unwrap();
    assert_eq!(again.attempts[0], first.attempts[0], "what was sent stays written");
    assert_ne!(again.tx_hash, first.tx_hash);
    // Paid once, however often it is looked at.
    let sent = world.sent_by_settler();
    for _ in 0..3 {
        service.round().await;
        world.mine(1);
    }
    assert_eq!((world.sent_by_settler(), world.balance(MERCHANT)), (sent, 2 * PRICE));
    service.close().await;
}
