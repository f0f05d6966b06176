//! Batches and expiry.

use stateset_sequencer::{
    BatchChoice, BatchStatus, PaymentBatch, PaymentContent, PaymentError, PaymentStatus,
};
use ves::x402::{Asset, Network, TokenTable, chained_state_root};
use ves::{Digest, SequenceNumber, merkle};

use super::{NOW_S, field, signed, unsigned};
use crate::term::Faulty;
use crate::world::{World, config};

pub fn choice(world: &World, size_max: usize) -> BatchChoice {
    BatchChoice {
        stream: world.stream,
        network: Network::Base,
        asset: None,
        is_authorized: None,
        intents: None,
        size_max,
    }
}

impl World {
    pub async fn batch_payments(&self, size_max: usize) -> PaymentBatch {
        self.sequencer.payments().commit_batch(choice(self, size_max)).await.expect("a batch")
    }
}

#[tokio::test]
async fn batches_chain_and_every_receipt_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    for nonce in 1..=7 {
        world.pay(world.intent(nonce)).await;
    }
    let payments = world.sequencer.payments();
    let waiting = world.listed(None).await.remove(6);
    assert!(matches!(payments.receipt(waiting).await, Err(PaymentError::NotBatched(_))));
    let mut previous = Digest::ZERO;
    for (size, range) in [(5, (1, 5)), (100, (6, 7))] {
        let batch = world.batch_payments(size).await;
        assert_eq!((batch.status, batch.prev_state_root), (BatchStatus::Committed, previous));
        assert_eq!((batch.sequence_start(), batch.sequence_end()), range);
        let (first, last) = (SequenceNumber(range.0), SequenceNumber(range.1));
        previous = chained_state_root(&previous, &batch.batch_id, &batch.merkle_root, first, last);
        assert_eq!(batch.new_state_root, previous);
    }
    let empty = payments.commit_batch(choice(&world, 10)).await;
    assert!(matches!(empty, Err(PaymentError::NothingToBatch)));
    for payment in world.listed(Some(PaymentStatus::Batched)).await {
        let leaf = payment.sequenced().batch_leaf();
        let receipt = payments.receipt(payment).await.unwrap();
        let root = receipt.batch.merkle_root;
        assert_eq!(
            merkle::verify_inclusion(&leaf, &root, Some(receipt.total_leaves), &receipt.proof),
            Ok(())
        );
        assert_ne!(leaf, receipt.payment.sequenced().leaf_hash(), "the deployed leaf has no prefix");
    }
    world.close().await;
}

#[tokio::test]
async fn a_batch_never_mixes_tokens_and_its_total_does_not_saturate() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open_configured(dir.path(), |config| {
        let mut tokens = TokenTable::default();
        tokens.set("base:dai=0x50c5725949a6f0c72e6c4a641f24049a917db0cb").unwrap();
        // For the signer of this test knows the same table but for eth.
        config.payments.tokens = tokens;
    })
    .await;
    let of = |nonce, asset| {
        let amount = i64::MAX as u64;
        signed(&world.agent, PaymentContent { amount, asset, ..unsigned(&world.agent, &world.stream, nonce) })
    };
    let mut ids = Vec::new();
    for (nonce, asset) in
        [(1, Asset::Eth), (2, Asset::Usdc), (3, Asset::Eth), (4, Asset::Eth), (5, Asset::Usdc)]
    {
        ids.push(world.pay(of(nonce, asset)).await.intent_id);
    }
    let mixed = BatchChoice { intents: Some(ids.clone()), ..choice(&world, 100) };
    let refused = world.sequencer.payments().commit_batch(mixed).await.unwrap_err();
    assert!(field(&refused) == "intent_ids" && refused.to_string().contains("different tokens"), "{refused}");
    let first = world.batch_payments(100).await;
    assert_eq!((first.asset, first.members.len()), (Asset::Eth, 3));
    assert_eq!(first.total_amount, 3 * (i64::MAX as u128), "beyond 64 bits");
    let chosen = BatchChoice { intents: Some(vec![ids[4], ids[1], ids[1]]), ..choice(&world, 100) };
    let second = world.sequencer.payments().commit_batch(chosen.clone()).await.unwrap();
    assert_eq!((second.asset, second.members.len(), second.sequence_start()), (Asset::Usdc, 2, 2));
    let again = world.sequencer.payments().commit_batch(chosen).await.unwrap_err();
    assert!(again.to_string().contains("only sequenced"), "{again}");
    world.close().await;
}

#[tokio::test]
async fn what_has_passed_its_time_expires_and_is_never_batched() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    for (nonce, valid_s) in [(1, 60), (2, 3_600)] {
        let content =
            PaymentContent { valid_until: NOW_S + valid_s, ..unsigned(&world.agent, &world.stream, nonce) };
        world.pay(signed(&world.agent, content)).await;
    }
    world.payment_round(&[]).await;
    assert_eq!(world.listed(Some(PaymentStatus::Sequenced)).await.len(), 2);
    // Within the margin the first is not batched any more, and not expired yet.
    world.clock.advance_ms(45_000);
    world.payment_round(&[Network::Base]).await;
    let batched = world.listed(Some(PaymentStatus::Batched)).await;
    assert_eq!(batched.iter().map(|p| p.content.nonce).collect::<Vec<_>>(), [2]);
    world.clock.advance_ms(16_000);
    world.payment_round(&[Network::Base]).await;
    let expired = world.listed(Some(PaymentStatus::Expired)).await;
    assert_eq!(expired.iter().map(|p| p.content.nonce).collect::<Vec<_>>(), [1]);
    assert!(expired[0].reason.is_some() && expired[0].batch_id.is_none());

    // A batch that nobody submitted in time is given up.
    let batch_id = batched[0].batch_id.unwrap();
    world.clock.advance_ms(3_600_000);
    world.payment_round(&[Network::Base]).await;
    let batch = world.sequencer.payments().batch(None, &batch_id).await.unwrap().unwrap();
    assert_eq!(batch.status, BatchStatus::Failed);
    assert_eq!(world.listed(Some(PaymentStatus::Expired)).await.len(), 2);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_past_their_time_expire_however_many_younger_ones_there_are() {
    let world = Faulty::default().world(config()).await;
    let long = 300;
    for nonce in 1..=long {
        world.pay(world.intent(nonce)).await;
        world.batch_payments(1).await;
    }
    for nonce in long + 1..=long + 20 {
        let content =
            PaymentContent { valid_until: NOW_S + 60, ..unsigned(&world.agent, &world.stream, nonce) };
        world.pay(signed(&world.agent, content)).await;
        world.batch_payments(1).await;
    }
    world.clock.advance_ms(61_000);
    world.payment_round(&[]).await;
    assert_eq!(world.listed(Some(PaymentStatus::Expired)).await.len(), 20);
    assert_eq!(world.listed(Some(PaymentStatus::Batched)).await.len(), 300);
    world.close().await;
}
