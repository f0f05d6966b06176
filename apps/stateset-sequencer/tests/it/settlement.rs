//! Intents that carry their payer's authorization, from the request to the money: batched, sent through `SetPaymentBatch` on a
//! real anvil, each told for itself, and nothing paid twice or lost by a crash.
#![allow(clippy::print_stderr, reason = "what is not tested is said")]

mod at_once;
mod chain;
mod crashes;
mod facilitator;
mod killed;
mod look_back;
mod undone;

use std::sync::Arc;

use serde_json::json;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings};
use set_registry::{Address, ChainKey};
use stateset_sequencer::{BatchStatus, ErrorKind, PaymentContent, PaymentError, PaymentStatus, Settlement};
use stateset_sequencer_app::joined::payments::{Present, SequencedPayments};
use stateset_sequencer_app::joined::settlement::ChainSettlement;
use stateset_x402::{PaymentKey, PaymentLog as _, PaymentLogError};
use ves::Digest;
use ves::merkle::verify_inclusion;
use ves::x402::Network;

use self::chain::{
    FUNDS, MERCHANT, PAYER, POOR, PRICE, SETTLER, Service, World, authorized, now_s, resigned,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorized_intents_settle_in_one_batch_and_one_that_fails_fails_alone() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    let mut sent = Vec::new();
    for nonce in 1..=6 {
        // The third has nothing to pay with.
        let wallet = if nonce == 3 { POOR } else { PAYER };
        sent.push(service.pay(world.intent(&service, nonce, wallet)).await);
    }
    // A stranger brings the fifth to the token before the batch does.
    let elsewhere = world.bring(&sent[4].content);
    service.settle_all(6).await;

    let payments = service.listed().await;
    let statuses: Vec<PaymentStatus> = payments.iter().map(|payment| payment.status).collect();
    let (paid, failed) = (PaymentStatus::Settled, PaymentStatus::Failed);
    assert_eq!(statuses, [paid, paid, failed, paid, paid, paid]);
    let reason = payments[2].reason.clone().unwrap();
    assert!(reason.contains("did not have the amount"), "{reason}");
    // His wallet's signature lives on: with money in it, anyone can bring it.
    let end = ves::TimestampMs(payments[2].content.valid_until as i64 * 1_000).to_string();
    assert!(reason.contains("until valid_until") && reason.ends_with(&end), "{reason}");
    assert_eq!(payments[4].tx_hash, Some(elsewhere), "in the stranger's transaction");
    assert_eq!((world.balance(MERCHANT), world.balance_of(PAYER)), (5 * PRICE, FUNDS - 5 * PRICE));
    assert_eq!(world.sent_by_settler(), 1, "one transaction for all");

    let batch = payments[0].batch_id;
    for payment in payments {
        let (leaf, in_batch) = (payment.sequenced().batch_leaf(), payment.batch_id);
        let receipt = service.sequencer.payments().receipt(payment).await.unwrap();
        assert_eq!(in_batch, batch);
        verify_inclusion(&leaf, &receipt.batch.merkle_root, Some(receipt.total_leaves), &receipt.proof)
            .unwrap();
    }
    service.sequencer.payments().announce().await.unwrap();
    let told = service.told().await;
    let count = |kind: &str| told.iter().filter(|found| *found == kind).count();
    for (kind, expected) in [
        ("x402_payment.created", 6),
        ("x402_payment.batched", 6),
        ("x402_payment.settled", 5),
        ("x402_payment.failed", 1),
        ("x402_batch.submitted", 1),
        ("x402_batch.settled", 1),
    ] {
        assert_eq!(count(kind), expected, "{kind} in {told:?}");
    }
    // What is settled is not sent again.
    service.round().await;
    assert_eq!(world.sent_by_settler(), 1);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorization_that_is_not_of_the_intent_is_refused_by_its_member() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    let refused = async |content: PaymentContent| match service.sequencer.payments().submit(content).await {
        Err(PaymentError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    type Spoil = fn(&mut stateset_sequencer::PayerAuthorization);
    let spoils: [(&str, Spoil); 7] = [
        ("authorization.value", |a| a.value += 1),
        ("authorization.to", |a| a.to[0] ^= 1),
        ("authorization.valid_before", |a| a.valid_before += 1),
        ("authorization.valid_after", |a| a.valid_after = u64::MAX),
        ("authorization.nonce", |a| a.nonce = Digest([7; 32])),
        ("authorization.signature", |a| a.signature[3] ^= 1),
        ("authorization.signature", |a| a.from[0] ^= 1),
    ];
    for (field, spoil) in spoils {
        let mut content = world.intent(&service, 1, PAYER);
        spoil(content.authorization.as_mut().unwrap());
        assert_eq!(refused(content).await, field);
    }
    // A payee without a wallet, and a token that the chain does not have.
    let mut keyless = world.unsigned(&service, 1);
    keyless.payee_address = format!("0x{}", "c3".repeat(32));
    assert_eq!(refused(authorized(&world, &service, keyless, PAYER)).await, "payee_address");
    // The agent of another key brings it as his own.
    let mut stolen = world.intent(&service, 1, PAYER);
    stolen.agent_id = ves::AgentId::from_bytes([9; 16]);
    assert_eq!(refused(stolen).await, "authorization.nonce");

    // A wallet that is the payer itself: the agent's registered key signs, the wallet names that key.
    let mut of_wallet = world.unsigned(&service, 2);
    of_wallet.payer_address = world.wallet(PAYER);
    let of_wallet = authorized(&world, &service, of_wallet, PAYER);
    let unnamed = resigned(&world, &service, PaymentContent { authorization: None, ..of_wallet.clone() });
    assert_eq!(refused(unnamed).await, "payer_address", "a wallet has to speak for itself");
    let other = PaymentContent { agent_key_id: ves::KeyId(2), ..of_wallet.clone() };
    assert_eq!(refused(other).await, "agent_key_id", "no such key is registered");
    service.pay(of_wallet).await;

    // The same authorization pays once, whoever brings it.
    let first = world.intent(&service, 3, PAYER);
    service.pay(first.clone()).await;
    let again = service.sequencer.payments().submit(first).await;
    assert!(matches!(again, Err(PaymentError::NonceUsed)), "{again:?}");
    service.settle_all(2).await;
    assert_eq!(world.balance(MERCHANT), 2 * PRICE);
    service.close().await;
}

/// The gate of the public protocol asks this before it takes a payment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorization_that_an_intent_carries_is_promised_to_that() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    let sent = service.pay(world.intent(&service, 1, PAYER)).await;
    let content = &sent.content;
    let authorization = content.authorization.as_ref().unwrap();
    let key = PaymentKey {
        chain_id: content.network.chain_id(),
        token: sent.token_address.unwrap().0.into(),
        from: authorization.from.into(),
        nonce: authorization.nonce.0.into(),
    };
    let present = Present::default();
    let log = SequencedPayments { present: present.clone(), stream: sent.stream() };
    assert!(matches!(log.is_promised(&key).await, Err(PaymentLogError::Unavailable(_))), "no term");
    present.set(Some(service.sequencer.clone()));
    assert_eq!(log.is_promised(&key).await, Ok(true));
    let other = PaymentKey { nonce: [7; 32].into(), ..key };
    assert_eq!(log.is_promised(&other).await, Ok(false));
    let other = PaymentKey { chain_id: 1, ..key };
    assert_eq!(log.is_promised(&other).await, Ok(false));
    service.settle_all(1).await;
    assert_eq!(log.is_promised(&key).await, Ok(true), "also once it is settled");
    present.set(None);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_contract_holds_a_batch_up_and_fails_nothing() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    service.pay(world.intent(&service, 1, PAYER)).await;
    world.pause(true);
    for _ in 0..3 {
        service.round().await;
    }
    assert_eq!(service.listed().await[0].status, PaymentStatus::Batched);
    assert_eq!(world.sent_by_settler(), 0, "no gas is paid for what the contract refuses");
    world.pause(false);
    service.settle_all(1).await;
    assert_eq!((service.listed().await[0].status, world.balance(MERCHANT)), (PaymentStatus::Settled, PRICE));
    service.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_block_took_in_time_is_expired_and_what_moved_elsewhere_is_settled() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    let mut brought = None;
    for nonce in 1..=2 {
        brought = Some(service.pay(world.intent(&service, nonce, PAYER)).await);
    }
    world.pause(true);
    service.round().await;
    world.bring(&brought.unwrap().content);
    // The chain's own clock says when an authorization is over.
    world.pass(Service::VALID_S + 120);
    service.settle_all(2).await;
    let payments = service.listed().await;
    assert_eq!(
        payments.iter().map(|p| p.status).collect::<Vec<_>>(),
        [PaymentStatus::Expired, PaymentStatus::Settled]
    );
    assert!(payments[0].reason.as_ref().unwrap().contains("ended before a block took"));
    assert_eq!((world.balance(MERCHANT), world.sent_by_settler()), (PRICE, 0));
    service.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_blocks_leave_out_is_replaced_and_paid_once() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    service.pay(world.intent(&service, 1, PAYER)).await;
    world.ask("evm_setAutomine", &json!([false]));
    service.round().await;
    let attempts = async || {
        let batch = service.listed().await[0].batch_id.unwrap();
        service.sequencer.payments().batch(None, &batch).await.unwrap().unwrap().attempts.len()
    };
    assert_eq!(attempts().await, 1);
    // A hundred gwei: a hundred times what the first blocks take.
    let mine = || {
        world.ask("anvil_setNextBlockBaseFeePerGas", &json!(["0x174876e800"]));
        world.ask("evm_mine", &json!([]));
    };
    service.round().await;
    assert_eq!(attempts().await, 1, "it waits for its block");
    (0..stateset_x402::STUCK_BLOCKS).for_each(|_| mine());
    assert_eq!(world.balance(MERCHANT), 0, "blocks leave it out");
    service.round().await;
    assert_eq!(attempts().await, 2, "a dearer one takes its number");
    mine();
    service.settle_all(1).await;
    assert_eq!((world.balance(MERCHANT), world.sent_by_settler()), (PRICE, 1));
    service.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_batch_whose_block_is_undone_is_sent_again_and_paid_once() {
    undone_and_settled_again(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_end_the_look_at_a_settled_batch() {
    undone_and_settled_again(true).await;
}

async fn undone_and_settled_again(restarts: bool) {
    let Some(world) = World::open() else { return };
    let mut service = world.service().await;
    service.pay(world.intent(&service, 1, PAYER)).await;
    let before = world.ask("evm_snapshot", &json!([]));
    service.settle_all(1).await;
    let first = first_batch(&service).await;
    service = world.restarted(service, restarts).await;
    assert_eq!((first.status, first.undone_at_ms), (BatchStatus::Settled, None));
    assert_eq!(world.ask("evm_revert", &json!([before])), json!(true));
    assert_eq!(world.balance(MERCHANT), 0);
    // The other branch has blocks of its own, so that the transaction comes to stand in a later one.
    (0..3).for_each(|_| drop(world.ask("evm_mine", &json!([]))));
    world.ask("evm_setAutomine", &json!([false]));
    service.round().await;
    let undone = first_batch(&service).await;
    assert!(undone.undone_at_ms.is_some(), "while it is sent again the batch says so");
    service = world.restarted(service, restarts).await;
    world.ask("evm_setAutomine", &json!([true]));
    world.ask("evm_mine", &json!([]));
    for _ in 0..100 {
        service.round().await;
        if world.balance(MERCHANT) == PRICE {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    service.round().await;
    assert_eq!((world.balance(MERCHANT), world.sent_by_settler()), (PRICE, 1));
    let (settled, payment) = (first_batch(&service).await, service.listed().await.remove(0));
    assert_eq!((settled.status, settled.undone_at_ms), (BatchStatus::Settled, None));
    assert_eq!(payment.status, PaymentStatus::Settled);
    assert!(settled.block_number > first.block_number, "{settled:?}");
    assert_eq!((payment.tx_hash, payment.block_number), (settled.tx_hash, settled.block_number));
    service.sequencer.payments().announce().await.unwrap();
    let told = service.told().await;
    assert_eq!(told.iter().filter(|kind| *kind == "x402_batch.settled").count(), 1, "{told:?}");
    service.close().await;
}

async fn first_batch(service: &Service) -> stateset_sequencer::PaymentBatch {
    let batch = service.listed().await[0].batch_id.unwrap();
    service.sequencer.payments().batch(None, &batch).await.unwrap().unwrap()
}

/// An intent without a batch was called expired though a stranger had brought its authorization to the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_that_no_batch_took_ends_as_the_token_says() {
    let Some(world) = World::open() else { return };
    // Valid for no longer than the margin in which nothing is batched, by the service's clock.
    let port = Arc::new(world.port(Some(SETTLER)));
    let service = world.service_with(port).await;
    let mut sent = Vec::new();
    for nonce in 1..=2 {
        let mut content = world.unsigned(&service, nonce);
        content.valid_until = now_s() + 3;
        sent.push(service.pay(authorized(&world, &service, content, PAYER)).await);
    }
    let elsewhere = world.bring(&sent[1].content);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    service.round().await;
    let statuses = async || -> Vec<PaymentStatus> {
        service.listed().await.iter().map(|payment| payment.status).collect()
    };
    assert_eq!(statuses().await, [PaymentStatus::Sequenced; 2], "the chain's clock has not passed the end");
    world.pass(120);
    service.settle_all(2).await;
    assert_eq!(statuses().await, [PaymentStatus::Expired, PaymentStatus::Settled]);
    let payments = service.listed().await;
    assert_eq!((payments[1].tx_hash, world.balance(MERCHANT)), (Some(elsewhere), PRICE));
    assert_eq!(world.sent_by_settler(), 0);
    // It has its leaf like any other.
    let settled = payments[1].clone();
    let leaf = settled.sequenced().batch_leaf();
    let receipt = service.sequencer.payments().receipt(settled).await.unwrap();
    verify_inclusion(&leaf, &receipt.batch.merkle_root, Some(receipt.total_leaves), &receipt.proof).unwrap();
    service.close().await;
}

/// It was answered as if the payer had signed wrongly; and that there was no contract at the address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_of_another_chain_is_the_operators_matter_and_another_network_the_payers() {
    let Some(world) = World::open() else { return };
    let elsewhere =
        Anvil::start(&AnvilSettings { chain_id: Some(31_337), ..AnvilSettings::default() }).unwrap();
    let of = |node, contract, network: Network| -> Arc<dyn Settlement> {
        let key = ChainKey::from_hex(ACCOUNT_KEYS[SETTLER]).unwrap();
        Arc::new(ChainSettlement::new(node, contract, vec![network], 1, Some(key)))
    };
    let (set_chain, base) = (Network::SetChain, Network::Base);
    let no_contract = Address::repeat_byte(9);
    for (port, says) in [
        (of(elsewhere.node(), world.contract, set_chain), "X402_SETTLEMENT_RPC_URL"),
        (of(world.anvil.node(), no_contract, set_chain), "X402_SETTLEMENT_CONTRACT"),
        // A contract, and another one.
        (of(world.anvil.node(), world.dollar, set_chain), "no SetPaymentBatch"),
    ] {
        let probed = port.clone();
        let probed = tokio::task::spawn_blocking(move || probed.probe()).await.unwrap().unwrap_err();
        assert!(probed.to_string().contains(says), "{probed}");
        let service = world.service_with(port).await;
        let refused = service.sequencer.payments().submit(world.intent(&service, 1, PAYER)).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
        service.close().await;
    }
    let service = world.service_with(of(elsewhere.node(), world.contract, base)).await;
    let refused = service.sequencer.payments().submit(world.intent(&service, 1, PAYER)).await;
    assert!(matches!(refused, Err(PaymentError::Invalid { field: "network", .. })), "{refused:?}");
    service.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_not_settle_is_told_before_a_payment_depends_on_it() {
    let Some(world) = World::open() else { return };
    let [settler, stranger] = [SETTLER, PAYER].map(|at| world.port(Some(at)));
    let probed = tokio::task::spawn_blocking(move || (settler.probe(), stranger.probe())).await.unwrap();
    assert!(probed.0.is_ok(), "{probed:?}");
    assert!(probed.1.unwrap_err().to_string().contains("setSettler"));
}

#[test]
fn a_port_without_a_key_tells_outcomes_and_sends_nothing() {
    let Some(world) = World::open() else { return };
    let port: Arc<dyn Settlement> = Arc::new(world.port(None));
    assert!(!port.settles());
    assert!(world.port(Some(SETTLER)).settles());
}
