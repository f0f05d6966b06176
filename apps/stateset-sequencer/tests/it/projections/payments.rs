//! Payments: what the sequencer's own agent tells of them, and what others pretend.

use stateset_fixtures::Agent;
use stateset_sequencer::PaymentContent;
use ves::x402::{Asset, Binding, Network, TokenTable};
use ves::{Digest, KeyId, StreamKey};

use super::{NOW_MS, Term, status_of};

/// A signed intent that lasts an hour.
fn intent(payer: &Agent, stream: &StreamKey, nonce: u64) -> PaymentContent {
    let mut content = PaymentContent {
        tenant_id: stream.tenant_id,
        store_id: stream.store_id,
        agent_id: payer.agent_id,
        agent_key_id: KeyId(1),
        payer_address: ves::hex::encode_0x(&payer.public_key()),
        payee_address: format!("0x{}", "b2".repeat(20)),
        amount: 1_000,
        asset: Asset::Usdc,
        network: Network::Base,
        valid_until: (NOW_MS / 1_000 + 3_600).unsigned_abs(),
        nonce,
        signing_hash: Digest::ZERO,
        payer_signature: [0; 64],
        payer_public_key: None,
        idempotency_key: None,
        resource_uri: None,
        description: None,
        order_id: None,
        merchant_id: None,
        metadata: None,
        authorization: None,
    };
    let token = TokenTable::default().get(content.network, content.asset).expect("a known token");
    let binding = Binding { stream: *stream, token, resource_uri: None, order_id: None };
    content.signing_hash = content.terms().signing_hash_v2(&binding).expect("sound addresses");
    content.payer_signature = payer.signing_key().sign(&content.signing_hash.0);
    content
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_what_the_sequencers_own_agent_tells_and_nobody_else_settles_it() {
    let folder = tempfile::tempdir().unwrap();
    let term = Term::open(folder.path(), NOW_MS).await;
    let content = intent(&term.agent, &term.stream, u64::MAX);
    let payment = term.sequencer.payments().submit(content).await.expect("a sound intent");
    let id: &'static str = payment.intent_id.to_string().leak();
    let entity = ("x402_payment", id);
    term.until("what the sequencer tells", async |term| {
        status_of(term.state(entity, None).await).as_deref() == Some("sequenced")
    })
    .await;
    let told = term.state(entity, None).await.unwrap().state.unwrap();
    assert_eq!(told["nonce"], u64::MAX.to_string(), "also the greatest nonce that can be signed");

    // Whether these are refused at the door or not: they move nothing, and make no letters.
    for (n, event) in (1..).zip(["x402_payment.settled", "x402_payment.failed", "x402_payment.batched"]) {
        term.send(n, entity, event, "{}").await;
    }
    term.send(9, ("x402_batch", "b"), "x402_batch.created", "{}").await;
    term.send(10, ("x402_batch", "b"), "x402_batch.settled", "{}").await;
    term.caught_up().await;
    assert_eq!(status_of(term.state(entity, None).await).as_deref(), Some("sequenced"));
    assert_eq!(status_of(term.state(("x402_batch", "b"), None).await), None);
    assert_eq!(term.letters().await, []);
    term.close().await;
}
