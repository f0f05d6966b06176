//! Settled batches that the chain has undone for good: their operator is told once.

use serde_json::{Value, json};
use set_registry::abi::SetPaymentBatch::configureAssetCall;
use set_registry::abi::TestDollar::{mintCall, transferCall};
use set_registry::artifact::Contract;
use set_registry::devnet::Wallet;
use set_registry::{Address, U256};
use stateset_fixtures::Heard;
use stateset_sequencer::PaymentStatus;
use ves::x402::Network;

use super::chain::{FUNDS, MERCHANT, PAYER, POOR, PRICE, Service, World, key};
use super::{Anvil, AnvilSettings, Arc};

/// On the other branch the payer has spent what he had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_that_are_undone_and_can_not_be_had_again_are_told_once() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    service.pay(world.intent(&service, 1, PAYER)).await;
    let before = world.ask("evm_snapshot", &json!([]));
    service.settle_all(1).await;
    assert_eq!(world.ask("evm_revert", &json!([before])), json!(true));
    let spend = transferCall { to: Address::repeat_byte(0xdd), value: U256::from(FUNDS) };
    let payer = Wallet::new(world.anvil.node(), key(PAYER)).unwrap();
    tokio::task::block_in_place(|| payer.call(world.dollar, &spend)).unwrap();
    let heard = Heard::listen();
    for _ in 0..5 {
        service.round().await;
    }
    // He may have it again while his authorization lasts; until then no gas is paid.
    assert_eq!(heard.count("could not be sent again"), 1);
    assert_eq!(service.listed().await[0].reason, None);
    world.ask("evm_increaseTime", &json!([Service::VALID_S + 3_600]));
    world.ask("evm_mine", &json!([]));
    for _ in 0..20 {
        service.round().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(world.balance(MERCHANT), 0);
    let payment = service.listed().await.remove(0);
    assert_eq!(payment.status, PaymentStatus::Settled, "what was told stays");
    assert!(payment.reason.is_some_and(|reason| reason.contains("can't be had again")));
    assert_eq!(heard.count("ask their payers"), 1);
    service.close().await;
}

/// On the other branch the payer of the second has money; its payee heard that there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_payment_that_a_reorganisation_pays_says_so() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    service.pay(world.intent(&service, 1, PAYER)).await;
    service.pay(world.intent(&service, 2, POOR)).await;
    let before = world.ask("evm_snapshot", &json!([]));
    service.settle_all(2).await;
    assert_eq!(world.balance(MERCHANT), PRICE);
    assert_eq!(world.ask("evm_revert", &json!([before])), json!(true));
    let mint = mintCall { to: key(POOR).address(), value: U256::from(PRICE) };
    let owner = Wallet::new(world.anvil.node(), key(0)).unwrap();
    tokio::task::block_in_place(|| owner.call(world.dollar, &mint)).unwrap();
    let heard = Heard::listen();
    for _ in 0..20 {
        service.round().await;
    }
    assert_eq!(world.balance(MERCHANT), 2 * PRICE);
    let payment = service.listed().await.remove(1);
    assert_eq!(payment.status, PaymentStatus::Failed, "what was told stays");
    assert!(payment.reason.is_some_and(|reason| reason.contains("the chain has paid it since")));
    assert_eq!(heard.count("ask their payees"), 1);
    service.close().await;
}

/// The contract takes no payment above this.
fn bound(world: &World, most: u64) {
    let [least, most, daily] = [1, most, FUNDS].map(|value| value.to_string().parse().unwrap());
    let bounds = configureAssetCall {
        token: world.dollar,
        enabled: true,
        minAmount: least,
        maxAmount: most,
        dailyLimit: daily,
    };
    let owner = Wallet::new(world.anvil.node(), key(0)).unwrap();
    tokio::task::block_in_place(|| owner.call(world.contract, &bounds)).unwrap();
}

/// A batch whose only payment the contract did not take; the chain as it was right before that.
async fn failed_batch(world: &World, service: &Service) -> Value {
    service.pay(world.intent(service, 1, PAYER)).await;
    bound(world, PRICE - 1);
    let before = world.ask("evm_snapshot", &json!([]));
    service.settle_all(1).await;
    assert_eq!(service.listed().await[0].status, PaymentStatus::Failed);
    before
}

/// Nobody looked at a batch that had paid nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_paid_nothing_and_pays_on_another_branch_says_so() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    let before = failed_batch(&world, &service).await;
    let transaction = service.listed().await[0].tx_hash.unwrap().to_0x();
    let raw = world.ask("eth_getRawTransactionByHash", &json!([transaction]));
    assert_eq!(world.ask("evm_revert", &json!([before])), json!(true));
    for _ in 0..5 {
        service.round().await;
    }
    assert_eq!(world.balance(MERCHANT), 0, "it is not sent again");
    // The node brings the very same transaction into a block.
    bound(&world, FUNDS);
    assert_eq!(world.ask("eth_sendRawTransaction", &json!([raw])), json!(transaction));
    world.ask("evm_mine", &json!([]));
    assert_eq!(world.balance(MERCHANT), PRICE);
    let heard = Heard::listen();
    for _ in 0..20 {
        service.round().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let payment = service.listed().await.remove(0);
    assert_eq!(payment.status, PaymentStatus::Failed, "what was told stays");
    assert!(payment.reason.is_some_and(|reason| reason.contains("the chain has paid it since")));
    assert_eq!(heard.count("ask their payees"), 1);
    service.close().await;
}

/// Gas was paid for each intent of a wallet without money.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_of_an_empty_wallet_fail_without_a_transaction() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    for nonce in 1..=3 {
        service.pay(world.intent(&service, nonce, POOR)).await;
    }
    service.settle_all(3).await;
    for payment in service.listed().await {
        assert_eq!(payment.status, PaymentStatus::Failed);
        let reason = payment.reason.unwrap();
        assert!(reason.contains("does not have the amount") && reason.contains("valid_until"), "{reason}");
    }
    assert_eq!(world.sent_by_settler(), 0);
    service.close().await;
}

/// The number that the failed one had used was free again, and nobody took it: every later batch waited behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_batch_that_is_undone_holds_up_none_after_it() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    let before = failed_batch(&world, &service).await;
    assert_eq!(world.ask("evm_revert", &json!([before])), json!(true));
    bound(&world, FUNDS);
    service.pay(world.intent(&service, 2, PAYER)).await;
    for _ in 0..50 {
        service.round().await;
        // It is filled once blocks have left it free.
        world.ask("evm_mine", &json!([]));
        if world.balance(MERCHANT) == PRICE {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(world.balance(MERCHANT), PRICE);
    service.close().await;
}

/// Each batch of the last minutes was said to be undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_contract_undoes_nothing_that_the_old_one_has_settled() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    service.pay(world.intent(&service, 1, PAYER)).await;
    service.settle_all(1).await;
    service.close().await;
    let owner = Wallet::new(world.anvil.node(), key(0)).unwrap();
    let contract = tokio::task::block_in_place(|| owner.deploy(Contract::SetPaymentBatch)).unwrap();
    let networks = vec![Network::SetChain];
    let port =
        super::ChainSettlement::new(world.anvil.node(), contract, networks, 1, Some(key(super::SETTLER)));
    let service = world.service_with(Arc::new(port)).await;
    let heard = Heard::listen();
    for _ in 0..3 {
        service.round().await;
    }
    assert_eq!(heard.count("the chain has undone"), 0);
    assert_eq!(world.balance(MERCHANT), PRICE);
    service.close().await;
}

/// The endpoint is that of another chain since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_can_not_be_sent_again_is_told_once() {
    let Some(world) = World::open() else { return };
    let service = world.service().await;
    service.pay(world.intent(&service, 1, PAYER)).await;
    service.settle_all(1).await;
    service.close().await;
    let other = Anvil::start(&AnvilSettings { chain_id: Some(31_337), ..AnvilSettings::default() }).unwrap();
    let port = super::ChainSettlement::new(
        other.node(),
        world.contract,
        vec![Network::Base],
        1,
        Some(key(super::SETTLER)),
    );
    let service = world.service_with(Arc::new(port)).await;
    let heard = Heard::listen();
    for _ in 0..4 {
        service.round().await;
    }
    assert_eq!(heard.count("could not be sent again"), 1);
    service.close().await;
}
