//! A gate in front of the log that takes intents: one authorization brought to both at once pays for one thing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use set_registry::U256;
use stateset_sequencer::{PaymentContent, PaymentError};
use stateset_sequencer_app::joined::payments::{GateRecords, Present, SequencedPayments};
use stateset_x402::{
    ChainSetup, ChainTable, Claim, Facilitator, Offer, Reason, Records, RpcChain, SettleError, Token, Version,
};
use ves::x402::Network;

use super::chain::{MERCHANT, PAYER, POOR, PRICE, SETTLER, Service, World, key, now_s};

impl World {
    fn offer(&self) -> Offer {
        let token = Token { address: self.dollar, name: "USDC".to_owned(), version: "2".to_owned() };
        let chain_id = Network::SetChain.chain_id();
        Offer { chain_id, token, amount: U256::from(PRICE), pay_to: MERCHANT, timeout_s: 60 }
    }

    fn facilitator(&self, records: Arc<Records>, service: &Service) -> Arc<Facilitator> {
        // An account of its own: one nonce for two senders would be one too few.
        let (signer, token) = (key(POOR), self.offer().token);
        let connect = || RpcChain::connect(self.anvil.node(), None, signer.address());
        let chain = Arc::new(tokio::task::block_in_place(connect).unwrap());
        let setup = ChainSetup { chain, signer, tokens: vec![token] };
        let present = Present::default();
        present.set(Some(service.sequencer.clone()));
        let log = Arc::new(SequencedPayments { present, stream: service.stream });
        Arc::new(Facilitator::new(vec![setup], ChainTable::default(), records, log, Arc::new(now_s)).unwrap())
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
    let records = Arc::new(Records::open(&world.folder.path().join("sold"), now_s()).unwrap());
    let gate = Arc::new(GateRecords(records.clone()));
    let service = world.service_behind(Arc::new(world.port(Some(SETTLER))), Some(gate)).await;
    let facilitator = world.facilitator(records, &service);
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
