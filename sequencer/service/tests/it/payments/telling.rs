//! The events by which the sequencer's own agent tells of payments: each once, whatever happens in between.

use stateset_fixtures::{plain_event, sign_payload};
use stateset_sequencer::{EventResult, PaymentStatus, PaymentWorker, RegisterError, Worker, Workers};
use std::sync::Arc;
use std::time::Duration;
use ves::x402::Network;
use ves::{PublicKey, SecurityProfile, SequenceNumber};

use crate::term::Faulty;
use crate::world::{World, config};

impl World {
    /// Type and entity of every event of the stream, signed by the sequencer's own agent.
    async fn told(&self) -> Vec<(String, String)> {
        let events = self.sequencer.events(&self.stream, SequenceNumber(1), 1_000).await.unwrap();
        let key = PublicKey::from_bytes(&self.sequencer.public_key()).unwrap();
        let told = events.iter().map(|event| {
            let (envelope, signing_hash) = event.envelope().unwrap();
            assert_eq!(envelope.source_agent_id, self.sequencer.payments().agent_id());
            assert!(key.verify(&signing_hash.0, &envelope.agent_signature));
            (envelope.event_type.to_string(), envelope.entity_id.to_string())
        });
        told.collect()
    }
}

#[tokio::test]
async fn every_change_is_told_once_and_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let intent = world.pay(world.intent(1)).await.intent_id.to_string();
    world.payment_round(&[Network::Base]).await;
    let payments = world.sequencer.payments();
    assert_eq!(payments.announce().await.unwrap(), 5);
    assert_eq!(payments.announce().await.unwrap(), 0, "nothing is told twice");
    let batch = world.listed(None).await[0].batch_id.unwrap().to_string();
    let expected = [
        ("x402_payment.created", &intent),
        ("x402_payment.sequenced", &intent),
        ("x402_batch.created", &batch),
        ("x402_batch.committed", &batch),
        ("x402_payment.batched", &intent),
    ];
    let expected = expected.map(|(kind, id)| (kind.to_owned(), id.clone()));
    assert_eq!(world.told().await, expected);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_the_change_and_the_telling_is_made_up_for() {
    let disk = Faulty::default();
    let world = disk.world(config()).await;
    for nonce in 1..=3 {
        world.pay(world.intent(nonce)).await;
    }
    assert_eq!(world.sequencer.payments().announce().await.unwrap(), 6);
    world.payment_round(&[Network::Base]).await;
    // The store dies before the batch is told of.
    disk.fail(true);
    assert!(world.sequencer.payments().announce().await.is_err());
    drop(world);
    disk.fail(false);

    let world = disk.world(config()).await;
    world.sequencer.payments().announce().await.unwrap();
    let told = world.told().await;
    let count = |kind: &str| told.iter().filter(|(found, _)| found == kind).count();
    for (kind, expected) in [
        ("x402_payment.created", 3),
        ("x402_payment.sequenced", 3),
        ("x402_batch.created", 1),
        ("x402_batch.committed", 1),
        ("x402_payment.batched", 3),
    ] {
        assert_eq!(count(kind), expected, "{kind}");
    }
    assert_eq!(world.sequencer.payments().announce().await.unwrap(), 0);
    world.close().await;
}

/// A state that only the sequencer knows, in the words of another, would be a payment that was never made.
#[tokio::test]
async fn nobody_else_says_what_became_of_a_payment() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let (agent, stream) = (&world.agent, &world.stream);
    let said = |n, event_type| sign_payload(agent, stream, n, event_type, "{}".to_owned());
    let mut about = plain_event(agent, stream, 5);
    about.entity_type = "x402_payment".into();
    let events = vec![
        said(1, "x402_payment.created"),
        said(2, "x402_payment.settled"),
        said(3, "x402_batch.committed"),
        plain_event(agent, stream, 4),
        stateset_fixtures::resign(about, agent),
    ];
    let outcome = world.ingest(events).await;
    let reasons: Vec<Option<String>> = outcome
        .results
        .iter()
        .map(|result| match result {
            EventResult::Rejected { rejection, .. } => Some(rejection.reason()),
            _ => None,
        })
        .collect();
    let of = |field: &str| Some(format!("schema_validation: {field}"));
    let expected = [of("event_type"), of("event_type"), of("event_type"), None, of("entity_type")];
    assert_eq!(reasons, expected, "only what is no payment is taken");
    assert_eq!(outcome.head_sequence, SequenceNumber(1));
    world.close().await;
}

#[tokio::test]
async fn what_was_refused_is_told_once_it_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let world =
        World::open_configured(dir.path(), |config| config.security_profile = SecurityProfile::Hybrid).await;
    let intent = world.pay(world.intent(1)).await.intent_id.to_string();
    let payments = world.sequencer.payments();
    let refused = payments.announce().await.expect_err("its signature alone is not enough");
    assert!(refused.to_string().contains("told again"), "{refused}");
    assert_eq!(payments.announce().await.unwrap(), 0, "not at once");
    world.clock.advance_ms(60_000);
    payments.announce().await.expect_err("it is tried again");
    world.close().await;

    let world = World::open(dir.path()).await;
    assert_eq!(world.sequencer.payments().announce().await.unwrap(), 2);
    let expected = ["created", "sequenced"].map(|word| (format!("x402_payment.{word}"), intent.clone()));
    assert_eq!(world.told().await, expected);
    world.close().await;
}

#[tokio::test]
async fn nobody_else_registers_as_the_sequencers_agent() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let mut key = world.agent.with_key(ves::KeyId(9)).registered_key();
    key.agent_id = world.sequencer.payments().agent_id();
    let refused = world.sequencer.register_agent_key(key).await;
    assert!(matches!(refused, Err(RegisterError::Reserved(_))), "{refused:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worker_does_it_all_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    let mut worker = PaymentWorker::default();
    worker.settings.interval = Duration::from_millis(50);
    worker.settings.policy.networks = vec![Network::Base];
    let workers = Workers::start(&[Arc::new(worker) as Arc<dyn Worker>], &world.sequencer);
    world.pay(world.intent(1)).await;
    let done = async {
        while world.told().await.len() < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.expect("batched and told");
    assert_eq!(world.listed(Some(PaymentStatus::Batched)).await.len(), 1);
    workers.stop(Duration::from_secs(5)).await;
    world.close().await;
}
