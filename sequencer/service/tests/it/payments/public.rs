//! Payments of the public protocol: settled before they come, numbered once, under a root, told.

use stateset_sequencer::{
    AuthorizationId, BatchStatus, Payment, PaymentError, PaymentStatus, PaymentWorkerSettings, PublicPayment,
};
use ves::x402::{Asset, Network, TokenTable};
use ves::{Digest, merkle};

use super::{NOW_S, field};
use crate::term::Faulty;
use crate::world::{World, config};

fn public(world: &World, nonce: u8) -> PublicPayment {
    PublicPayment {
        stream: world.stream,
        version: 2,
        chain_id: Network::BaseSepolia.chain_id(),
        token: TokenTable::default().get(Network::BaseSepolia, Asset::Usdc).expect("a known token"),
        payer: [0xaa; 20],
        payee: [0xbb; 20],
        amount: 10_000,
        nonce: Digest([nonce; 32]),
        valid_before: NOW_S + 60,
        signing_hash: Digest([9; 32]),
        signature: vec![7; 65],
        transaction: Digest([nonce ^ 0xff; 32]),
        block_number: 5,
        resource: "GET /demo/paid".to_owned(),
    }
}

impl World {
    async fn record(&self, payment: PublicPayment) -> Payment {
        self.sequencer.payments().record_settled(payment).await.expect("a settled payment")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_payment_stands_between_intents_and_is_told_once_however_often_it_comes() {
    let disk = Faulty::default();
    let world = disk.world(config()).await;
    world.pay(world.intent(1)).await;
    let recorded = world.record(public(&world, 1)).await;
    assert_eq!((recorded.status, recorded.sequence_number), (PaymentStatus::Settled, 2));
    assert_eq!((recorded.content.network, recorded.content.asset), (Network::BaseSepolia, Asset::Usdc));
    assert_eq!(recorded.tx_hash, Some(public(&world, 1).transaction));
    world.pay(world.intent(2)).await;
    assert_eq!(world.record(public(&world, 1)).await, recorded, "told again");
    // The intent's own nonce 0 is another thing than an unset one.
    assert_eq!(world.pay(world.intent(0)).await.sequence_number, 4);

    let at_once = (0..8).map(|_| {
        let (sequencer, payment) = (world.sequencer.clone(), public(&world, 3));
        tokio::spawn(
            async move { sequencer.payments().record_settled(payment).await.unwrap().sequence_number },
        )
    });
    for number in at_once.collect::<Vec<_>>() {
        assert_eq!(number.await.unwrap(), 5);
    }
    // The chain has undone its block, and put it into another.
    let elsewhere = PublicPayment { transaction: Digest([0x77; 32]), block_number: 9, ..public(&world, 3) };
    let moved = world.record(elsewhere).await;
    assert_eq!(
        (moved.sequence_number, moved.tx_hash, moved.block_number),
        (5, Some(Digest([0x77; 32])), Some(9))
    );
    assert_eq!(world.listed(Some(PaymentStatus::Settled)).await.last(), Some(&moved));
    let back = world.record(public(&world, 3)).await;
    assert_eq!(back.tx_hash, Some(public(&world, 3).transaction));
    disk.fail(true);
    world.close().await;
    disk.fail(false);

    let world = disk.world(config()).await;
    assert_eq!(world.record(public(&world, 3)).await.sequence_number, 5, "also after a crash");
    assert_eq!(world.listed(None).await.len(), 5);
    assert_eq!(world.listed(Some(PaymentStatus::Settled)).await.len(), 2);
    assert_eq!(
        world.sequencer.payments().announce().await.unwrap(),
        3 * 2 + 2 * 3,
        "created, sequenced, settled"
    );
    world.close().await;
}

/// It was called settled without a word, for goods that nobody had paid in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_the_chain_undid_for_good_says_so_until_it_is_settled_again() {
    let disk = Faulty::default();
    let world = disk.world(config()).await;
    let payments = world.sequencer.payments();
    let of = |payment: &PublicPayment| AuthorizationId {
        chain_id: payment.chain_id,
        token: payment.token,
        payer: payment.payer,
        nonce: payment.nonce,
    };
    let (sold, other) = (public(&world, 1), public(&world, 2));
    let recorded = world.record(sold.clone()).await;
    payments.note_lost(&of(&other)).await.expect("nothing is known of it, and nothing done");
    for _ in 0..2 {
        payments.note_lost(&of(&sold)).await.unwrap();
        let lost = payments.payment(None, &recorded.intent_id).await.unwrap().unwrap();
        assert_eq!((lost.status, lost.sequence_number), (PaymentStatus::Settled, recorded.sequence_number));
        assert!(lost.reason.is_some_and(|reason| reason.contains("the chain has undone it")));
    }
    // He paid once more by the same authorization, and a block holds it where the first did.
    let again = world.record(sold).await;
    assert_eq!((again.reason, again.tx_hash), (None, recorded.tx_hash));
}

/// A payer chooses the end, and once stopped what is told of every later payment by it.
#[tokio::test]
async fn a_payment_that_never_ends_is_told_and_those_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    for (nonce, valid_before) in [(1, u64::MAX), (2, 1 << 53), (3, (1 << 53) - 1)] {
        world.record(PublicPayment { valid_before, ..public(&world, nonce) }).await;
    }
    assert_eq!(world.sequencer.payments().announce().await.unwrap(), 3 * 3, "created, sequenced, settled");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_gets_a_leaf_and_a_receipt_and_neither_expires_nor_is_settled_again() {
    let world = Faulty::default().world(config()).await;
    for nonce in 1..=3 {
        world.record(public(&world, nonce)).await;
    }
    // Long after the authorization ended.
    world.clock.advance_ms(7 * 86_400_000);
    world.record(PublicPayment { valid_before: u64::MAX, ..public(&world, 4) }).await;
    world.payment_round(&[]).await;
    let settled = world.listed(Some(PaymentStatus::Settled)).await;
    assert_eq!(settled.len(), 4);
    let payments = world.sequencer.payments();
    let batch_id = settled[0].batch_id.expect("a batch, whatever networks are batched for");
    for payment in settled {
        assert_eq!(payment.batch_id, Some(batch_id));
        let leaf = payment.sequenced().batch_leaf();
        let receipt = payments.receipt(payment).await.unwrap();
        let (root, leaves) = (receipt.batch.merkle_root, receipt.total_leaves);
        assert_eq!(merkle::verify_inclusion(&leaf, &root, Some(leaves), &receipt.proof), Ok(()));
        assert_eq!(receipt.batch.status, BatchStatus::Settled);
    }
    world.payment_round(&[Network::BaseSepolia]).await;
    let batch = payments.batch(None, &batch_id).await.unwrap().unwrap();
    assert_eq!((batch.status, batch.members.len(), batch.total_amount), (BatchStatus::Settled, 4, 40_000));

    // An authorization that is valid for ever must not bar intents once nonces are forgotten.
    world.clock.advance_ms(3 * 86_400_000);
    payments.forget_nonces().await.unwrap();
    let valid_until = u64::try_from(world.sequencer.now().0 / 1_000).unwrap() + 60;
    let content = super::unsigned(&world.agent, &world.stream, 1);
    let content = stateset_sequencer::PaymentContent { valid_until, ..content };
    assert_eq!(world.pay(super::signed(&world.agent, content)).await.sequence_number, 5);
    assert_eq!(world.record(public(&world, 1)).await.sequence_number, 1, "its key is never forgotten");
    world.close().await;
}

#[tokio::test]
async fn batches_of_settled_payments_wait_for_their_number_or_age() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let mut settings = PaymentWorkerSettings::default();
    (settings.policy.size_min, settings.policy.size_max) = (2, 2);
    let payments = world.sequencer.payments();
    let count = async || world.listed(None).await.iter().filter(|payment| payment.batch_id.is_some()).count();
    for nonce in 1..=3 {
        world.record(public(&world, nonce)).await;
    }
    payments.round(&settings).await.unwrap();
    assert_eq!(count().await, 2, "one is left to wait");
    world.clock.advance_ms(300_000);
    payments.round(&settings).await.unwrap();
    assert_eq!(count().await, 3);
    world.close().await;
}

#[tokio::test]
async fn what_cannot_stand_in_the_history_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let refused = async |payment| world.sequencer.payments().record_settled(payment).await.unwrap_err();
    let sound = public(&world, 1);
    let unknown = refused(PublicPayment { chain_id: 31_337, ..sound.clone() }).await;
    assert!(field(&unknown) == "token" && unknown.to_string().contains("X402_TOKENS"), "{unknown}");
    assert_eq!(field(&refused(PublicPayment { amount: 0, ..sound.clone() }).await), "amount");
    assert_eq!(field(&refused(PublicPayment { payee: sound.payer, ..sound.clone() }).await), "payee");
    assert!(!matches!(
        refused(PublicPayment { amount: 1 << 63, ..sound.clone() }).await,
        PaymentError::NonceUsed
    ));
    assert_eq!(world.record(sound).await.sequence_number, 1);
    world.close().await;
}
