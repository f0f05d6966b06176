//! One authorization for an intent and for a sale at the gate: whichever is durable first counts, and the other is refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stateset_sequencer::{
    AuthorizationId, BatchSettlement, ErrorKind, PayerAuthorization, PaymentContent, PaymentError,
    PublicPayment, Sequencer, Settlement, SettlementError, SettlementReport, SettlementState,
};
use uuid::Uuid;
use ves::Digest;
use ves::x402::{TokenAddress, TokenTable, authorization_nonce};

use super::{NOW_S, signed, unsigned};
use crate::world::World;

const WALLET: [u8; 20] = [0xaa; 20];

/// Takes every authorization, and pays none in these tests.
struct Willing;

impl Settlement for Willing {
    fn outcome(&self, _: &BatchSettlement, _: &Digest) -> Result<SettlementReport, SettlementError> {
        let state = SettlementState::Pending;
        Ok(SettlementReport { state, tx_hash: None, block_number: None, gas_used: None })
    }
    fn settles(&self) -> bool {
        true
    }
    fn check(
        &self,
        _: ves::x402::Network,
        _: &TokenAddress,
        _: &PayerAuthorization,
    ) -> Result<(), SettlementError> {
        Ok(())
    }
}

fn sale(at: u64) -> Uuid {
    Uuid::from_u128(at.into())
}

fn authorization_of(intent: &PaymentContent) -> AuthorizationId {
    let token = TokenTable::default().get(intent.network, intent.asset).unwrap();
    let nonce = intent.authorization.unwrap().nonce;
    AuthorizationId { chain_id: intent.network.chain_id(), token, payer: WALLET, nonce }
}

async fn is_promised(sequencer: &Sequencer, intent: &PaymentContent) -> bool {
    sequencer.payments().is_of_intent(&authorization_of(intent)).await.unwrap()
}

async fn hold(sequencer: &Sequencer, intent: &PaymentContent, sale: Uuid) -> bool {
    sequencer.payments().hold(&authorization_of(intent), sale, false).await.unwrap()
}

async fn world(dir: &Path) -> World {
    World::open_configured(dir, |config| config.payments.settlement = Some(Arc::new(Willing))).await
}

/// An intent that carries the authorization of a wallet.
fn authorized(world: &World, at: u64) -> PaymentContent {
    let mut content = signed(&world.agent, unsigned(&world.agent, &world.stream, at));
    content.authorization = Some(PayerAuthorization {
        from: WALLET,
        to: [0xb2; 20],
        value: content.amount,
        valid_after: NOW_S - 60,
        valid_before: content.valid_until,
        nonce: authorization_nonce(&content.signing_hash, &content.agent_id, &world.agent.public_key()),
        signature: [7; 65],
    });
    content
}

impl World {
    /// What a gate tells of a sale that was paid by the authorization of this intent.
    fn public_payment(&self, intent: &PaymentContent) -> PublicPayment {
        let AuthorizationId { chain_id, token, payer, nonce } = authorization_of(intent);
        PublicPayment {
            stream: self.stream,
            version: 2,
            chain_id,
            token,
            payer,
            payee: [0xb2; 20],
            amount: intent.amount,
            nonce,
            valid_before: intent.valid_until,
            signing_hash: Digest([9; 32]),
            signature: vec![7; 65],
            transaction: Digest([8; 32]),
            block_number: 5,
            resource: "GET /paid".to_owned(),
        }
    }
}

/// Whether it is taken; if not, because of the gate.
async fn is_taken(sequencer: &Sequencer, intent: PaymentContent) -> bool {
    match sequencer.payments().submit(intent).await {
        Ok(_) => true,
        Err(error @ PaymentError::AuthorizationUsed) => {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.to_string().starts_with("authorization.nonce: "), "{error}");
            false
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn of_an_intent_and_a_sale_what_is_durable_first_counts() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path()).await;
    let sequencer = &world.sequencer;
    // The intent first: it waits in the journal yet when the sale asks.
    let intent = authorized(&world, 1);
    assert!(!is_promised(sequencer, &intent).await);
    assert!(is_taken(sequencer, intent.clone()).await);
    assert!(!hold(sequencer, &intent, sale(1)).await);
    assert!(is_promised(sequencer, &intent).await);
    // The sale first; it may ask again, and no other gets it.
    let intent = authorized(&world, 2);
    assert!(hold(sequencer, &intent, sale(1)).await);
    assert!(!is_taken(sequencer, intent.clone()).await);
    assert!(hold(sequencer, &intent, sale(1)).await);
    assert!(!hold(sequencer, &intent, sale(2)).await);
    assert!(!is_promised(sequencer, &intent).await);
    // Only who holds it gives it back, and then it pays for an intent: its refusal has used nothing up.
    let payments = sequencer.payments();
    payments.release(&authorization_of(&intent), sale(2)).await.unwrap();
    assert!(!is_taken(sequencer, intent.clone()).await);
    payments.release(&authorization_of(&intent), sale(1)).await.unwrap();
    assert!(is_taken(sequencer, intent.clone()).await);
    assert!(!hold(sequencer, &intent, sale(1)).await);
    payments.release(&authorization_of(&intent), sale(1)).await.unwrap();
    assert!(is_promised(sequencer, &intent).await, "an intent is not released");
    world.close().await;
}

/// Whoever writes after a change of writer knows nothing but what the log's database says.
#[tokio::test]
async fn what_a_sale_holds_is_held_for_every_later_writer_until_it_is_settled_or_released() {
    let dir = tempfile::tempdir().unwrap();
    let first = world(dir.path()).await;
    let [sold, failed] = [1, 2].map(|at| authorized(&first, at));
    for intent in [&sold, &failed] {
        assert!(hold(&first.sequencer, intent, sale(1)).await);
    }
    first.close().await;
    let second = world(dir.path()).await;
    let sequencer = &second.sequencer;
    for intent in [&sold, &failed] {
        assert!(!is_taken(sequencer, intent.clone()).await);
        assert!(!hold(sequencer, intent, sale(2)).await);
    }
    sequencer.payments().release(&authorization_of(&failed), sale(1)).await.unwrap();
    let told = second.public_payment(&sold);
    let recorded = sequencer.payments().record_settled(told.clone()).await.unwrap();
    assert_eq!(sequencer.payments().record_settled(told.clone()).await.unwrap(), recorded);
    assert!(!is_taken(sequencer, sold.clone()).await);
    second.close().await;
    let third = world(dir.path()).await;
    let sequencer = &third.sequencer;
    assert!(is_taken(sequencer, failed.clone()).await);
    assert!(!is_taken(sequencer, sold.clone()).await);
    assert!(!hold(sequencer, &sold, sale(2)).await, "it was sold");
    // What the chain has undone is sold again by who had it, and by no intent's payment.
    let again = async |intent| sequencer.payments().hold(&authorization_of(intent), sale(1), true).await;
    assert!(again(&sold).await.unwrap());
    assert!(!again(&failed).await.unwrap());
    assert_eq!(sequencer.payments().record_settled(told).await.unwrap(), recorded);
    third.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_an_intent_and_a_sale_at_once_exactly_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path()).await;
    let rounds = (0..200).map(|at| {
        let intent = authorized(&world, at);
        let (sequencer, selling, sold) = (world.sequencer.clone(), world.sequencer.clone(), intent.clone());
        let submitted = tokio::spawn(async move { is_taken(&sequencer, intent).await });
        let sale = tokio::spawn(async move {
            // Steps apart by less than a pass takes: both come first now and then.
            tokio::time::sleep(Duration::from_micros(at * 37 % 1_500)).await;
            hold(&selling, &sold, sale(at)).await
        });
        (at, submitted, sale)
    });
    let mut taken = 0;
    for (at, submitted, sale) in rounds.collect::<Vec<_>>() {
        let (is_taken, is_sold) = (submitted.await.unwrap(), sale.await.unwrap());
        assert!(is_taken != is_sold, "{at}: intent {is_taken}, sale {is_sold}");
        taken += u64::from(is_taken);
    }
    assert_eq!(world.listed(None).await.len() as u64, taken);
    world.close().await;
}
