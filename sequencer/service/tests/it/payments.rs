//! Payments: who may submit what, in which order, and that time and crashes lose or repeat nothing.

mod batches;
mod gate;
mod journal;
mod public;
mod settlement;
mod telling;

use std::collections::BTreeSet;

use stateset_fixtures::{Agent, Seed, stream};
use stateset_sequencer::{
    Config, ErrorKind, Payment, PaymentContent, PaymentError, PaymentFilter, PaymentStatus,
    PaymentWorkerSettings, ServiceError,
};
use ves::x402::{Asset, Binding, Network, TokenTable};
use ves::{Digest, KeyId, StreamKey};

use crate::term::Faulty;
use crate::world::{World, config};

/// Time of the test clock when it starts, in seconds.
pub const NOW_S: u64 = 1_766_253_070;

/// An intent of agent `n` of stream 1, not signed.
pub fn unsigned(payer: &Agent, stream: &StreamKey, nonce: u64) -> PaymentContent {
    PaymentContent {
        tenant_id: stream.tenant_id,
        store_id: stream.store_id,
        agent_id: payer.agent_id,
        agent_key_id: KeyId(1),
        payer_address: ves::hex::encode_0x(&payer.public_key()),
        payee_address: format!("0x{}", "b2".repeat(20)),
        amount: 1_000 + nonce,
        asset: Asset::Usdc,
        network: Network::Base,
        valid_until: NOW_S + 3_600,
        nonce,
        signing_hash: Digest::ZERO,
        payer_signature: [0; 64],
        payer_public_key: None,
        idempotency_key: None,
        resource_uri: Some("https://shop.example/item".to_owned()),
        description: None,
        order_id: None,
        merchant_id: None,
        metadata: None,
        authorization: None,
    }
}

/// Signs in the second form.
pub fn signed(payer: &Agent, mut content: PaymentContent) -> PaymentContent {
    let token = TokenTable::default().get(content.network, content.asset).expect("a known token");
    let binding = Binding {
        stream: content.stream(),
        token,
        resource_uri: content.resource_uri.as_deref(),
        order_id: content.order_id,
    };
    content.signing_hash = content.terms().signing_hash_v2(&binding).expect("sound addresses");
    content.payer_signature = payer.signing_key().sign(&content.signing_hash.0);
    content
}

/// Signs in the first form.
fn signed_old(payer: &Agent, mut content: PaymentContent) -> PaymentContent {
    content.signing_hash = content.terms().signing_hash();
    content.payer_signature = payer.signing_key().sign(&content.signing_hash.0);
    content
}

impl World {
    pub fn intent(&self, nonce: u64) -> PaymentContent {
        signed(&self.agent, unsigned(&self.agent, &self.stream, nonce))
    }

    pub async fn pay(&self, content: PaymentContent) -> Payment {
        self.sequencer.payments().submit(content).await.expect("a sound intent")
    }

    pub async fn refused_payment(&self, content: PaymentContent) -> PaymentError {
        self.sequencer.payments().submit(content).await.expect_err("an unsound intent")
    }

    /// One look of the worker at everything.
    pub async fn payment_round(&self, networks: &[Network]) {
        let mut settings = PaymentWorkerSettings::default();
        settings.policy.networks = networks.to_vec();
        self.sequencer.payments().round(&settings).await.expect("a round");
    }

    pub async fn listed(&self, status: Option<PaymentStatus>) -> Vec<Payment> {
        let filter = PaymentFilter { status, ..everything(&self.stream) };
        self.sequencer.payments().list(filter).await.expect("a list")
    }
}

fn everything(stream: &StreamKey) -> PaymentFilter {
    PaymentFilter {
        tenant_id: stream.tenant_id,
        store_id: None,
        payer: None,
        payee: None,
        status: None,
        network: None,
        asset: None,
        batch_id: None,
        from: None,
        to: None,
        limit: 1_000,
        offset: 0,
    }
}

fn field(error: &PaymentError) -> &'static str {
    match error {
        PaymentError::Invalid { field, .. } => field,
        other => panic!("expected a named field, found {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_get_the_numbers_one_to_a_hundred() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let intents = (1..=100).map(|nonce| {
        let (sequencer, content) = (world.sequencer.clone(), world.intent(nonce));
        tokio::spawn(async move { sequencer.payments().submit(content).await.unwrap().sequence_number })
    });
    let mut numbers = BTreeSet::new();
    for intent in intents.collect::<Vec<_>>() {
        numbers.insert(intent.await.unwrap());
    }
    assert_eq!(numbers, (1..=100).collect());
    world.close().await;

    let world = World::open(dir.path()).await;
    assert_eq!(world.pay(world.intent(101)).await.sequence_number, 101, "the counter outlives the term");
    let listed = world.listed(None).await;
    assert_eq!(listed.iter().map(|p| p.sequence_number).collect::<Vec<_>>(), (1..=101).collect::<Vec<_>>());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_with_one_nonce_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let tries = (0..100).map(|n| {
        let content = signed(
            &world.agent,
            PaymentContent { amount: 1 + n, ..unsigned(&world.agent, &world.stream, 7) },
        );
        let sequencer = world.sequencer.clone();
        tokio::spawn(async move { sequencer.payments().submit(content).await })
    });
    let mut won = 0;
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(payment) => {
                won += 1;
                assert_eq!(payment.sequence_number, 1);
            }
            Err(error) => {
                assert!(
                    matches!(error, PaymentError::NonceUsed) && error.kind() == ErrorKind::Conflict,
                    "{error}"
                );
            }
        }
    }
    assert_eq!(won, 1);
    assert!(matches!(world.refused_payment(world.intent(7)).await, PaymentError::NonceUsed));
    world.close().await;
    let world = World::open(dir.path()).await;
    assert!(
        matches!(world.refused_payment(world.intent(7)).await, PaymentError::NonceUsed),
        "in the next term too"
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_idempotency_key_gets_the_first_intent_and_other_content_a_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let keyed = |nonce| {
        let key = Some("order-1".to_owned());
        signed(
            &world.agent,
            PaymentContent { idempotency_key: key, ..unsigned(&world.agent, &world.stream, nonce) },
        )
    };
    let tries = (0..100).map(|n| {
        // Every tenth is another payment under the same key.
        let (sequencer, content) = (world.sequencer.clone(), keyed(if n % 10 == 9 { 2 } else { 1 }));
        tokio::spawn(async move { (n, sequencer.payments().submit(content).await) })
    });
    let (mut ids, mut taken) = (BTreeSet::new(), 0);
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            (_, Ok(payment)) => drop(ids.insert(payment.intent_id)),
            (_, Err(error)) => {
                taken += 1;
                assert!(
                    matches!(error, PaymentError::KeyTaken) && error.kind() == ErrorKind::Conflict,
                    "{error}"
                );
            }
        }
    }
    assert_eq!(ids.len(), 1, "one intent, whoever won");
    assert!(taken == 10 || taken == 90, "{taken}");
    assert_eq!(world.listed(None).await.len(), 1);

    // A forged request under a known key learns nothing, though it is answered before its signature is looked at.
    let thief = Agent::new(&world.stream, 9);
    let stolen =
        PaymentContent { idempotency_key: Some("order-1".to_owned()), ..unsigned(&thief, &world.stream, 50) };
    let said = world.refused_payment(stolen).await;
    assert!(
        matches!(said, PaymentError::KeyTaken)
            && !said.to_string().contains(&ids.first().unwrap().to_string())
    );
    world.close().await;
}

#[tokio::test]
async fn only_the_payers_own_key_speaks_for_the_payer() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let thief = Agent::new(&world.stream, 9);
    let victim = unsigned(&world.agent, &world.stream, 1);

    // A fresh key in the request, in another's name.
    let forged = PaymentContent { payer_public_key: Some(Digest(thief.public_key())), ..victim.clone() };
    assert_eq!(field(&world.refused_payment(signed(&thief, forged)).await), "payer_public_key");
    let forged = world.refused_payment(signed(&thief, victim.clone())).await;
    assert!(matches!(forged, PaymentError::Signature), "{forged}");

    // A wallet's own word is not checked here, and no key speaks for it: neither one in the request nor a registered one.
    let wallet = PaymentContent { payer_address: format!("0x{}", "a1".repeat(20)), ..victim.clone() };
    for key in [None, Some(Digest(thief.public_key())), Some(Digest(world.agent.public_key()))] {
        let named = PaymentContent { payer_public_key: key, ..wallet.clone() };
        let refused = world.refused_payment(signed(&world.agent, named)).await;
        assert_eq!(field(&refused), "payer_address");
        assert!(refused.to_string().contains("pay from the payer's Ed25519 public key"), "{refused}");
    }

    let own = PaymentContent { payer_public_key: Some(Digest(world.agent.public_key())), ..victim };
    assert_eq!(world.pay(signed(&world.agent, own)).await.status, PaymentStatus::Sequenced);
    world.close().await;
}

#[tokio::test]
async fn each_rule_of_an_intent_names_its_field() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let plain = || unsigned(&world.agent, &world.stream, 1);
    let long = |n: usize| Some("x".repeat(n));
    let cases: Vec<(&str, PaymentContent)> = vec![
        ("agent_id", PaymentContent { agent_id: ves::AgentId::from_bytes([0; 16]), ..plain() }),
        ("store_id", PaymentContent { store_id: ves::StoreId::from_bytes([0; 16]), ..plain() }),
        ("agent_key_id", PaymentContent { agent_key_id: KeyId(0), ..plain() }),
        ("amount", PaymentContent { amount: 0, ..plain() }),
        ("amount", PaymentContent { amount: 1 << 63, ..plain() }),
        ("payee_address", PaymentContent { payee_address: "0xzz".into(), ..plain() }),
        ("payee_address", PaymentContent { payee_address: plain().payer_address, ..plain() }),
        ("payer_address", PaymentContent { payer_address: "0x00".into(), ..plain() }),
        ("valid_until", PaymentContent { valid_until: NOW_S - 1, ..plain() }),
        ("valid_until", PaymentContent { valid_until: NOW_S + 86_401, ..plain() }),
        ("resource_uri", PaymentContent { resource_uri: long(4_097), ..plain() }),
        ("description", PaymentContent { description: long(8_193), ..plain() }),
        ("merchant_id", PaymentContent { merchant_id: long(1_025), ..plain() }),
        ("idempotency_key", PaymentContent { idempotency_key: long(256), ..plain() }),
        ("idempotency_key", PaymentContent { idempotency_key: long(0), ..plain() }),
        ("signing_hash", PaymentContent { signing_hash: Digest([1; 32]), ..plain() }),
    ];
    for (name, content) in cases {
        assert_eq!(field(&world.refused_payment(content.clone()).await), name, "{content:?}");
    }
    // A pair without a contract can't be signed for, and the refusal names the setting.
    let unknown = PaymentContent { network: Network::SetChain, ..plain() };
    let refused = world.refused_payment(unknown).await;
    assert!(field(&refused) == "signing_hash" && refused.to_string().contains("X402_TOKENS"), "{refused}");
    // Signed for one store, sent to another.
    let elsewhere = PaymentContent { store_id: stream(2).store_id, ..world.intent(1) };
    assert_eq!(field(&world.refused_payment(elsewhere).await), "signing_hash");
    assert!(world.listed(None).await.is_empty(), "nothing was kept");
    world.close().await;
}

#[tokio::test]
async fn the_first_form_is_admitted_by_setting_alone_and_once_in_all_stores() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let old = |store: &StreamKey| signed_old(&world.agent, unsigned(&world.agent, store, 3));
    let refused = world.refused_payment(old(&world.stream)).await;
    assert!(
        field(&refused) == "signing_hash" && refused.to_string().contains("X402_OLD_INTENTS"),
        "{refused}"
    );
    let (first, agent) = (world.stream, world.agent.clone());
    world.close().await;

    let world = World::open_configured(dir.path(), |config| config.payments.old_intents = true).await;
    let old = |store: &StreamKey| signed_old(&agent, unsigned(&agent, store, 3));
    assert_eq!(world.pay(old(&first)).await.x402_version, 1);
    assert_eq!(world.pay(world.intent(4)).await.x402_version, 2, "the newer form beside it");
    let other = StreamKey { store_id: stream(2).store_id, ..first };
    let replay = world.refused_payment(old(&other)).await;
    assert!(
        matches!(replay, PaymentError::ReplayedOldForm) && replay.kind() == ErrorKind::Conflict,
        "{replay}"
    );
    world.close().await;
    let world = World::open_configured(dir.path(), |config| config.payments.old_intents = true).await;
    assert!(matches!(world.refused_payment(old(&other)).await, PaymentError::ReplayedOldForm));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_that_ends_while_it_waits_gets_no_number() {
    let disk = Faulty::default();
    let world = disk.world(config()).await;
    disk.hold(true);
    let submit = |content: PaymentContent| {
        let sequencer = world.sequencer.clone();
        tokio::spawn(async move { sequencer.payments().submit(content).await })
    };
    let first = submit(world.intent(1));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let short = PaymentContent { valid_until: NOW_S + 10, ..unsigned(&world.agent, &world.stream, 2) };
    let late = submit(signed(&world.agent, short));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.clock.advance_ms(20_000);
    disk.hold(false);
    assert_eq!(first.await.unwrap().unwrap().sequence_number, 1);
    assert_eq!(field(&late.await.unwrap().unwrap_err()), "valid_until");
    assert_eq!(world.pay(world.intent(3)).await.sequence_number, 2, "no gap");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_leaves_no_half_of_an_intent() {
    let disk = Faulty::default();
    let world = disk.world(Config { room_time_max: std::time::Duration::from_millis(200), ..config() }).await;
    world.pay(world.intent(1)).await;
    disk.fail(true);
    let refused = world.refused_payment(world.intent(2)).await;
    assert!(matches!(refused, PaymentError::Service(ServiceError::Unclear(_))), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    world.close().await;

    disk.fail(false);
    let world = disk.world(config()).await;
    let listed = world.listed(None).await;
    let again = world.sequencer.payments().submit(world.intent(2)).await;
    match listed.len() {
        1 => assert_eq!(again.unwrap().sequence_number, 2),
        _ => assert!(matches!(again, Err(PaymentError::NonceUsed)), "it was written whole"),
    }
    assert_eq!(world.listed(None).await.len(), 2);
    world.close().await;
}

#[tokio::test]
async fn a_forgotten_nonce_admits_no_replay_even_when_the_clock_steps_back() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let intents: Vec<_> = (1..=3).map(|nonce| world.intent(nonce)).collect();
    for intent in &intents {
        world.pay(intent.clone()).await;
    }
    assert_eq!(world.sequencer.payments().forget_nonces().await.unwrap(), 0, "none is old enough");
    world.clock.advance_ms(2 * 86_400_000 + 1_000);
    assert_eq!(world.sequencer.payments().forget_nonces().await.unwrap(), 3);
    assert_eq!(world.sequencer.payments().forget_nonces().await.unwrap(), 0, "each once");
    world.close().await;

    // The clock of the next term stands two days back, where the intents were valid.
    let world = World::open(dir.path()).await;
    for intent in intents {
        assert_eq!(field(&world.refused_payment(intent).await), "valid_until");
    }
    let later = PaymentContent { valid_until: NOW_S + 7_200, ..unsigned(&world.agent, &world.stream, 1) };
    assert_eq!(world.pay(signed(&world.agent, later)).await.sequence_number, 4, "a nonce may come again");
    world.close().await;
}

#[tokio::test]
async fn lists_are_narrowed_by_party_status_and_date() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let other = Agent::new(&world.stream, 5);
    let mut seed = Seed::new("payments", 1);
    for nonce in 1..=20 {
        let payer = if seed.below(2) == 0 { &world.agent } else { &other };
        world.pay(signed(payer, unsigned(payer, &world.stream, nonce))).await;
        world.clock.advance_ms(1_000);
    }
    let all = world.listed(None).await;
    let list = async |filter| world.sequencer.payments().list(filter).await.unwrap();
    let base = || everything(&world.stream);
    let payer = ves::x402::Party::Key(other.public_key());
    let of_other: Vec<_> = all.iter().filter(|p| p.content.agent_id == other.agent_id).cloned().collect();
    assert!(!of_other.is_empty() && of_other.len() < 20);
    assert_eq!(list(PaymentFilter { payer: Some(payer), ..base() }).await, of_other);
    assert!(list(PaymentFilter { payee: Some(payer), ..base() }).await.is_empty());
    let page = list(PaymentFilter { offset: 5, limit: 3, ..base() }).await;
    assert_eq!(page, all[5..8]);
    let (from, to) = (Some(all[4].sequenced_at), Some(all[9].sequenced_at));
    assert_eq!(list(PaymentFilter { from, to, ..base() }).await, all[4..=9]);
    assert!(list(PaymentFilter { status: Some(PaymentStatus::Settled), ..base() }).await.is_empty());
    let network = Some(Network::Base);
    assert_eq!(list(PaymentFilter { status: Some(PaymentStatus::Sequenced), network, ..base() }).await, all);
    assert!(list(PaymentFilter { tenant_id: stream(2).tenant_id, ..base() }).await.is_empty());
    world.close().await;
}
