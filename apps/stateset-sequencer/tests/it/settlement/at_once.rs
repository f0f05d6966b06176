//! A gate in front of the log that takes intents: one authorization brought to both at once pays for one thing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use set_registry::U256;
use stateset_event_log::EventStore;
use stateset_sequencer::{PaymentContent, PaymentError};
use stateset_sequencer_app::joined::payments::{Present, SequencedPayments};
use stateset_x402::{
    ChainSetup, ChainTable, Claim, Facilitator, Offer, Reason, Record, Records, RpcChain, SettleError, Stage,
    Token, Version,
};
use ves::StreamKey;
use ves::x402::Network;

use super::chain::{MERCHANT, PAYER, POOR, PRICE, World, key, now_s};

impl World {
    fn offer(&self) -> Offer {
        let token = Token { address: self.dollar, name: "USDC".to_owned(), version: "2".to_owned() };
        let chain_id = Network::SetChain.chain_id();
        Offer { chain_id, token, amount: U256::from(PRICE), pay_to: MERCHANT, timeout_s: 60 }
    }

    /// A gate's, in the process where `present` is, with records of its own.
    fn facilitator(&self, records: Arc<Records>, present: &Present, stream: StreamKey) -> Arc<Facilitator> {
        // An account of its own: one nonce for two senders would be one too few.
        let (signer, token) = (key(POOR), self.offer().token);
        let connect = || RpcChain::connect(self.anvil.node(), None, signer.address());
        let chain = Arc::new(tokio::task::block_in_place(connect).unwrap());
        let setup = ChainSetup { chain, signer, tokens: vec![token] };
        let log = Arc::new(SequencedPayments { present: present.clone(), stream });
        Arc::new(Facilitator::new(vec![setup], ChainTable::default(), records, log, Arc::new(now_s)).unwrap())
    }
}

impl World {
    fn records(&self, name: &str) -> Arc<Records> {
        Arc::new(Records::open(&self.folder.path().join(name), now_s()).unwrap())
    }
}

/// The authorization of an intent, as a payment of the public protocol.
fn claim(intent: &PaymentContent, offer: &Offer) -> Claim {
    let signed = intent.authorization.unwrap();
    let payment = json!({
        "x402Version": 2, "accepted": offer.requirements(),
        "payload": {
            "signature": ves::hex::encode_0x(&signed.signature),
            "authorization": {
                "from": ves::hex::encode_0x(&signed.from), "to": ves::hex::encode_0x(&signed.to),
                "value": signed.value.to_string(), "validAfter": signed.valid_after.to_string(),
                "validBefore": signed.valid_before.to_string(), "nonce": signed.nonce.to_0x(),
            },
        },
    });
    Claim::parse(Version::Two, payment.to_string().as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_intent_and_a_sale_at_once_are_paid_by_one_transfer_and_one_of_them_counts() {
    let Some(world) = World::open() else { return };
    let (service, present) = (world.service().await, Present::default());
    present.set(Some(service.sequencer.clone()));
    let facilitator = world.facilitator(world.records("sold"), &present, service.stream);
    let (mut intents, rounds) = (0, 16);
    for at in 1..=rounds {
        let intent = world.intent(&service, at, PAYER);
        let (offer, sequencer) = (world.offer(), service.sequencer.clone());
        let (claim, facilitator) = (claim(&intent, &offer), facilitator.clone());
        let submitted = tokio::spawn(async move {
            // A gate asks the chain first: so that both come first now and then.
            tokio::time::sleep(Duration::from_millis(at % 8)).await;
            sequencer.payments().submit(intent).await
        });
        let sale = tokio::spawn(async move { facilitator.settle(&claim, &offer, "GET /paid").await });
        match (submitted.await.unwrap(), sale.await.unwrap()) {
            (Ok(_), Err(SettleError::Refused(refusal))) => {
                assert_eq!(refusal.reason, Reason::NonceUsed);
                intents += 1;
            }
            (Err(PaymentError::AuthorizationUsed), Ok(settled)) => assert!(settled.logged.is_some()),
            other => panic!("{at}: {other:?}"),
        }
    }
    let count = usize::try_from(rounds).unwrap();
    service.settle_all(count).await;
    let listed = service.listed().await;
    let of_intents = listed.iter().filter(|payment| payment.content.authorization.is_some()).count();
    assert_eq!((listed.len(), of_intents), (count, intents), "each stands once in the history");
    assert_eq!(world.balance(MERCHANT), rounds * PRICE, "and the money moved once for each");
    service.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_gate_has_sold_pays_for_no_intent_of_a_later_writer_on_one_file() {
    let Some(world) = World::open() else { return };
    sold_over_a_change_of_writer(&world, |_| world.file()).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_gate_has_sold_pays_for_no_intent_of_a_later_writer_on_postgres() {
    use stateset_event_log::{Holder, PostgresConfig, PostgresStore};
    let Some(world) = World::open() else { return };
    let server = stateset_postgres::shared();
    let database = server.database();
    let store_of = |instance: &str| -> Arc<dyn EventStore> {
        let holder = Holder { instance: instance.to_owned(), ..Holder::default() };
        let config = PostgresConfig::new(server.url(&database), holder);
        Arc::new(PostgresStore::new(PostgresConfig { allow_insecure_local: true, ..config }).unwrap())
    };
    sold_over_a_change_of_writer(&world, store_of).await;
}

/// A gate sells in one process; before the money has moved another process writes the log, and gets the same authorization as
/// an intent and at a gate of its own.
async fn sold_over_a_change_of_writer(world: &World, store_of: impl Fn(&str) -> Arc<dyn EventStore>) {
    let first = world.service_on(store_of("first").as_ref()).await;
    let (stream, present, offer) = (first.stream, Present::default(), world.offer());
    present.set(Some(first.sequencer.clone()));
    let records = world.records("sold");
    let facilitator = world.facilitator(records.clone(), &present, stream);
    let intent = world.intent(&first, 1, PAYER);
    let claim = claim(&intent, &offer);
    world.ask("evm_setAutomine", &json!([false]));
    let sale = {
        let (facilitator, claim, offer) = (facilitator.clone(), claim.clone(), offer.clone());
        tokio::spawn(async move { facilitator.settle(&claim, &offer, "GET /paid").await })
    };
    let is_sent = || matches!(records.open_ones()[..], [Record { stage: Stage::Sent { .. }, .. }]);
    for _ in 0..500 {
        if is_sent() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_sent(), "{:?}", records.open_ones());
    present.set(None);
    first.close().await;

    let second = world.service_on(store_of("second").as_ref()).await;
    let taken = second.sequencer.payments().submit(intent.clone()).await;
    assert!(matches!(taken, Err(PaymentError::AuthorizationUsed)), "{taken:?}");
    let of_second = Present::default();
    of_second.set(Some(second.sequencer.clone()));
    let other = world.facilitator(world.records("sold elsewhere"), &of_second, stream);
    match other.settle(&claim, &offer, "GET /elsewhere").await {
        Err(SettleError::Refused(refusal)) => assert_eq!(refusal.reason, Reason::NonceUsed),
        other => panic!("{other:?}"),
    }
    world.ask("evm_setAutomine", &json!([true]));
    world.ask("evm_mine", &json!([]));
    assert_eq!(sale.await.unwrap().unwrap().logged, None, "its process does not write the log");
    second.close().await;

    let third = world.service_on(store_of("first").as_ref()).await;
    present.set(Some(third.sequencer.clone()));
    facilitator.round().await;
    let taken = third.sequencer.payments().submit(intent).await;
    assert!(matches!(taken, Err(PaymentError::AuthorizationUsed)), "{taken:?}");
    let listed = third.listed().await;
    assert_eq!((listed.len(), world.balance(MERCHANT)), (1, PRICE));
    assert!(!listed[0].is_intent());
    third.close().await;
}
