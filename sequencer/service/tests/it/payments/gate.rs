//! One authorization for an intent and for a sale at the gate: whichever is durable first counts, and the other is refused.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stateset_sequencer::{
    BatchSettlement, ErrorKind, PayerAuthorization, PaymentContent, PaymentError, PublicGate, Sequencer,
    Settlement, SettlementError, SettlementReport, SettlementState,
};
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

type Probe = Box<dyn FnOnce() + Send>;

/// What was put down at a gate; the probe is run when the writer has looked, before it goes on.
#[derive(Clone, Default)]
struct Gate {
    taken: Arc<Mutex<BTreeSet<Digest>>>,
    probe: Arc<Mutex<Option<Probe>>>,
}

impl PublicGate for Gate {
    fn has_taken(&self, chain_id: u64, _: &TokenAddress, payer: &[u8; 20], nonce: &Digest) -> bool {
        assert_eq!((chain_id, payer), (ves::x402::Network::Base.chain_id(), &WALLET));
        let answer = self.taken.lock().unwrap().contains(nonce);
        if let Some(probe) = self.probe.lock().unwrap().take() {
            probe();
        }
        answer
    }
}

impl Gate {
    fn reserve(&self, intent: &PaymentContent) {
        self.taken.lock().unwrap().insert(nonce(intent));
    }

    /// In the order of a facilitator: it asks, reserves, and asks again; whether it sells.
    async fn sell(&self, sequencer: &Sequencer, intent: &PaymentContent) -> bool {
        if is_promised(sequencer, intent).await {
            return false;
        }
        self.reserve(intent);
        let is_sold = !is_promised(sequencer, intent).await;
        if !is_sold {
            self.taken.lock().unwrap().remove(&nonce(intent));
        }
        is_sold
    }
}

fn nonce(intent: &PaymentContent) -> Digest {
    intent.authorization.unwrap().nonce
}

async fn is_promised(sequencer: &Sequencer, intent: &PaymentContent) -> bool {
    let (network, asset) = (intent.network, intent.asset);
    let token = TokenTable::default().get(network, asset).unwrap();
    let asked = sequencer.payments().is_of_intent(network.chain_id(), &token, &WALLET, &nonce(intent)).await;
    asked.unwrap()
}

async fn world(dir: &Path, gate: &Gate) -> World {
    let gate = gate.clone();
    World::open_configured(dir, |config| {
        config.payments.settlement = Some(Arc::new(Willing));
        config.payments.gate = Some(Arc::new(gate));
    })
    .await
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
async fn of_an_intent_and_a_sale_one_counts_in_every_order_of_their_steps() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let world = world(dir.path(), &gate).await;
    let sequencer = &world.sequencer;
    // The intent comes before the gate's step 0, 1 or 2, or after all of them.
    for place in 0..=3 {
        let intent = authorized(&world, place);
        let (mut taken, mut refused) = (None, false);
        for step in 0..=3 {
            if step == place {
                taken = Some(is_taken(sequencer, intent.clone()).await);
            }
            match step {
                _ if refused => {}
                0 | 2 => refused = is_promised(sequencer, &intent).await,
                1 => gate.reserve(&intent),
                _ => {}
            }
        }
        assert_eq!(taken, Some(refused), "one of both, with the intent at {place}");
        assert_eq!(refused, place <= 1, "what is durable first, with the intent at {place}");
    }
    // What failed at the gate pays for an intent, and its refusal has used nothing up.
    let intent = authorized(&world, 3);
    gate.taken.lock().unwrap().remove(&nonce(&intent));
    assert!(is_taken(sequencer, intent).await);
    world.close().await;
}

/// The writer has looked at the gate, and the intent is not on disk: just then the gate reserves, and asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_is_not_answered_between_the_look_at_it_and_the_write() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let world = world(dir.path(), &gate).await;
    let intent = authorized(&world, 1);
    let (tell, told) = channel();
    let (sequencer, at_gate, sold) = (world.sequencer.clone(), gate.clone(), intent.clone());
    let (runtime, answers) = (tokio::runtime::Handle::current(), tell.clone());
    let probe: Probe = Box::new(move || {
        at_gate.reserve(&sold);
        let (answer, later) = channel();
        runtime.spawn(async move {
            let is_promised = is_promised(&sequencer, &sold).await;
            let _ = answer.send(is_promised);
            let _ = answers.send(is_promised);
        });
        assert_eq!(later.recv_timeout(Duration::from_millis(200)), Err(RecvTimeoutError::Timeout));
    });
    *gate.probe.lock().unwrap() = Some(probe);
    assert!(is_taken(&world.sequencer, intent).await, "it was looked up before the reservation");
    assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(true), "so the gate sells nothing");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_an_intent_and_a_sale_at_once_exactly_one_counts() {
    let (dir, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let world = world(dir.path(), &gate).await;
    let rounds = (0..200).map(|at| {
        let intent = authorized(&world, at);
        let (sequencer, gate) = (world.sequencer.clone(), gate.clone());
        let (selling, sold) = (sequencer.clone(), intent.clone());
        let submitted = tokio::spawn(async move { is_taken(&sequencer, intent).await });
        let sale = tokio::spawn(async move {
            // Steps apart by less than a pass takes: both come first now and then.
            tokio::time::sleep(Duration::from_micros(at * 37 % 1_500)).await;
            gate.sell(&selling, &sold).await
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
