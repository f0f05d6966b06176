//! Settlement: only the chain's word on each payment counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use stateset_sequencer::{
    BatchSettlement, BatchStatus, ItemOutcome, PaymentError, PaymentStatus, Settlement, SettlementError,
    SettlementReport, SettlementState,
};
use ves::x402::Network;
use ves::{BatchId, Digest};

use super::{NOW_S, field};
use crate::world::World;

/// A chain in memory that holds transactions, each with the root it settled and an outcome for each payment.
#[derive(Clone, Default)]
struct Chain(Arc<Mutex<BTreeMap<Digest, Transaction>>>);

#[derive(Clone)]
struct Transaction {
    batch_id: BatchId,
    root: Digest,
    state: SettlementState,
    block: u64,
}

impl Chain {
    fn put(&self, tx: u8, transaction: Transaction) -> Digest {
        let hash = Digest([tx; 32]);
        self.0.lock().unwrap().insert(hash, transaction);
        hash
    }
}

impl Settlement for Chain {
    fn outcome(&self, batch: &BatchSettlement, tx: &Digest) -> Result<SettlementReport, SettlementError> {
        let Some(found) = self.0.lock().unwrap().get(tx).cloned() else {
            return Ok(SettlementReport {
                state: SettlementState::Pending,
                tx_hash: None,
                block_number: None,
                gas_used: None,
            });
        };
        // As a contract would: from the payments themselves, by their own signatures.
        for payment in &batch.payments {
            let key = payment.content.payer_address.trim_start_matches("0x");
            let key = ves::PublicKey::from_bytes(&ves::hex::decode_lenient(key).unwrap()).unwrap();
            assert!(key.verify(&payment.content.signing_hash.0, &payment.content.payer_signature));
        }
        if (found.batch_id, found.root) != (batch.batch.batch_id, batch.batch.merkle_root) {
            return Err(SettlementError::Refused("it is of another batch".to_owned()));
        }
        Ok(SettlementReport {
            state: found.state,
            tx_hash: None,
            block_number: Some(found.block),
            gas_used: Some(21_000),
        })
    }
}

async fn world(dir: &Path, chain: &Chain) -> World {
    let port: Arc<dyn Settlement> = Arc::new(chain.clone());
    World::open_configured(dir, |config| config.payments.settlement = Some(port)).await
}

#[tokio::test]
async fn each_payment_has_the_outcome_that_the_chain_tells() {
    let (dir, chain) = (tempfile::tempdir().unwrap(), Chain::default());
    let world = world(dir.path(), &chain).await;
    for nonce in 1..=2 {
        world.pay(world.intent(nonce)).await;
    }
    let batch = world.batch_payments(10).await;
    let settle =
        async |tx, block| world.sequencer.payments().settle_batch(batch.batch_id, tx, block, None).await;
    assert!(matches!(settle(None, None).await, Err(PaymentError::Missing { field: "tx_hash", .. })));
    // Of another batch: refused, and nothing changes.
    let state = SettlementState::Done { block_time_s: NOW_S, outcomes: vec![ItemOutcome::Paid; 2] };
    let foreign =
        Transaction { batch_id: batch.batch_id, root: Digest::ZERO, state: state.clone(), block: 7 };
    let refused = settle(Some(chain.put(1, foreign)), Some(7)).await.unwrap_err();
    assert!(matches!(refused, PaymentError::Settlement(SettlementError::Refused(_))), "{refused}");
    // Unknown to the chain: submitted, whatever block the caller names.
    let tx = Digest([2; 32]);
    let settled = settle(Some(tx), Some(99)).await.unwrap();
    assert_eq!((settled.batch.status, settled.batch.block_number), (BatchStatus::Submitted, None));
    assert_eq!(field(&settle(Some(Digest([3; 32])), None).await.unwrap_err()), "tx_hash");
    assert_eq!(world.listed(Some(PaymentStatus::Batched)).await.len(), 2);

    let outcomes = vec![ItemOutcome::Paid, ItemOutcome::Failed("insufficient balance".to_owned())];
    let state = SettlementState::Done { block_time_s: NOW_S + 5, outcomes };
    chain.put(2, Transaction { batch_id: batch.batch_id, root: batch.merkle_root, state, block: 9 });
    assert_eq!(field(&settle(Some(tx), Some(99)).await.unwrap_err()), "block_number");
    // The worker follows it by itself.
    world.payment_round(&[]).await;
    let paid = world.listed(Some(PaymentStatus::Settled)).await;
    let failed = world.listed(Some(PaymentStatus::Failed)).await;
    assert_eq!((paid.len(), failed.len()), (1, 1));
    assert_eq!((paid[0].content.nonce, paid[0].block_number, paid[0].tx_hash), (1, Some(9), Some(tx)));
    assert_eq!(failed[0].reason.as_deref(), Some("insufficient balance"));
    // Settled stays settled.
    let again = settle(Some(tx), Some(9)).await.unwrap();
    assert_eq!((again.batch.status, again.batch.gas_used), (BatchStatus::Settled, Some(21_000)));
    assert_eq!(field(&settle(Some(tx), Some(8)).await.unwrap_err()), "block_number");
    assert_eq!(field(&settle(Some(Digest([3; 32])), None).await.unwrap_err()), "tx_hash");
    world.close().await;
}

#[tokio::test]
async fn a_payment_after_its_time_or_in_a_reverted_transaction_failed() {
    let (dir, chain) = (tempfile::tempdir().unwrap(), Chain::default());
    let world = world(dir.path(), &chain).await;
    let mut batches = Vec::new();
    for nonce in 1..=2 {
        world.pay(world.intent(nonce)).await;
        batches.push(world.batch_payments(10).await);
    }
    let late = SettlementState::Done { block_time_s: NOW_S + 3_601, outcomes: vec![ItemOutcome::Paid] };
    for (n, (batch, state)) in (1..).zip(batches.iter().zip([late, SettlementState::Reverted])) {
        let transaction = Transaction { batch_id: batch.batch_id, root: batch.merkle_root, state, block: 3 };
        let tx = chain.put(n, transaction);
        let settled = world.sequencer.payments().settle_batch(batch.batch_id, Some(tx), None, None).await;
        assert_eq!(settled.unwrap().batch.status, BatchStatus::Failed);
        let again = world.sequencer.payments().settle_batch(batch.batch_id, Some(tx), None, None).await;
        assert!(matches!(again, Err(PaymentError::Transition { from: BatchStatus::Failed })));
    }
    let failed = world.listed(Some(PaymentStatus::Failed)).await;
    assert!(failed.len() == 2 && failed.iter().all(|payment| payment.reason.is_some()));
    world.close().await;
}

#[tokio::test]
async fn without_a_chain_nothing_is_ever_called_settled() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    world.pay(world.intent(1)).await;
    let batch = world.batch_payments(10).await;
    let payments = world.sequencer.payments();
    let tx = Some(Digest([1; 32]));
    for _ in 0..2 {
        let settled = payments.settle_batch(batch.batch_id, tx, Some(5), Some(1)).await.unwrap();
        assert_eq!(settled.batch.status, BatchStatus::Submitted);
        assert!(settled.message.contains("no chain is joined"), "{}", settled.message);
    }
    world.payment_round(&[Network::Base]).await;
    assert_eq!(world.listed(Some(PaymentStatus::Batched)).await.len(), 1);
    assert!(world.listed(Some(PaymentStatus::Settled)).await.is_empty());
    world.close().await;
}
