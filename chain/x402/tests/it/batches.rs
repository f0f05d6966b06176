//! Batches through `SetPaymentBatch`: what became of each payment is the chain's word on that payment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall as _;
use serde_json::{Value, json};
use set_registry::abi::SetPaymentBatch::{configureAssetCall, setSettlerCall, settleBatchCall};
use set_registry::artifact::Contract;
use set_registry::devnet::Wallet;
use stateset_x402::batch::{
    BatchError, BatchFate, BatchPayment, BatchSettler, BatchTerms, Expected, ItemFate, batch_payment,
};
use stateset_x402::{Authorization, ChainError, Claim, Message, Outgoing, RpcChain, Sender, Version};

use crate::faults::bring;
use crate::world::{FUNDS, MERCHANT, PAYER, PRICE, SET_CHAIN, STRANGER, World, key, nonce, now_s};

/// Who settles batches, of anvil's accounts.
pub const OWNER: usize = 0;

fn authorization(value: u64) -> Authorization {
    Authorization {
        from: key(PAYER).address(),
        to: MERCHANT,
        value: U256::from(value),
        valid_after: U256::ZERO,
        valid_before: U256::from(now_s() + 600),
        nonce: nonce(),
    }
}

fn payment(world: &World, intent: u8, authorization: &Authorization) -> BatchPayment {
    let signature = key(PAYER).sign(&authorization.digest(&world.offer().domain())).as_bytes();
    batch_payment(B256::repeat_byte(intent), authorization, &signature).unwrap()
}

/// The contract, with a token and one settler.
pub fn deploy(world: &World, token: Address) -> Address {
    let owner = Wallet::new(world.anvil.node(), key(OWNER)).unwrap();
    let contract = owner.deploy(Contract::SetPaymentBatch).unwrap();
    owner.call(contract, &setSettlerCall { settler: owner.address(), allowed: true }).unwrap();
    let bounds = configureAssetCall {
        token,
        enabled: true,
        minAmount: "1".parse().unwrap(),
        maxAmount: "1000000000000".parse().unwrap(),
        dailyLimit: "1000000000000".parse().unwrap(),
    };
    owner.call(contract, &bounds).unwrap();
    contract
}

pub fn terms(token: Address, count: u32) -> BatchTerms {
    BatchTerms {
        batchId: B256::repeat_byte(0xb1),
        merkleRoot: B256::repeat_byte(0xb2),
        tenantStoreKey: B256::repeat_byte(0xb3),
        token,
        sequenceStart: 1,
        sequenceEnd: count.into(),
        intentCount: count,
    }
}

/// A batch as it is, with gas enough.
pub async fn send(
    sender: &Sender,
    contract: Address,
    terms: BatchTerms,
    payments: Vec<BatchPayment>,
) -> Outgoing {
    let data = settleBatchCall { terms, payments }.abi_encode().into();
    let message = Message { to: contract, data, gas: 1_500_000 };
    sender.send(&message, |_| async { Ok(()) }).await.unwrap()
}

/// Once it is in a block.
async fn ended(settler: &BatchSettler, transaction: B256, expected: &Expected) -> BatchFate {
    for _ in 0..500 {
        match settler.fate(transaction, expected).await.unwrap() {
            BatchFate::Pending => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            fate => return fate,
        }
    }
    panic!("{transaction} is in no block");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_payment_of_a_batch_has_the_outcome_that_it_had_on_the_chain() {
    let Some(world) = World::open(SET_CHAIN).await else { return };
    let contract = tokio::task::block_in_place(|| deploy(&world, world.dollar));
    let connect = || RpcChain::connect(world.anvil.node(), Some(SET_CHAIN), key(OWNER).address());
    let chain = Arc::new(tokio::task::block_in_place(connect).unwrap());
    let sender = Sender::new(chain.clone(), key(OWNER));
    let settler = BatchSettler::new(chain.clone(), contract, 1);

    let (good, dear, early) = (authorization(PRICE), authorization(FUNDS + 1), authorization(PRICE));
    let payments = vec![payment(&world, 1, &good), payment(&world, 2, &dear), payment(&world, 3, &early)];
    // A stranger has brought the third to the token.
    let brought = payments[2].clone();
    let call = set_registry::abi::TestDollar::transferWithAuthorization_1Call {
        from: brought.from,
        to: brought.to,
        value: brought.value,
        validAfter: brought.validAfter,
        validBefore: brought.validBefore,
        nonce: brought.nonce,
        v: brought.v,
        r: brought.r,
        s: brought.s,
    };
    let bring = || Wallet::new(world.anvil.node(), key(STRANGER)).unwrap().call(world.dollar, &call).unwrap();
    let elsewhere = tokio::task::block_in_place(bring).transaction_hash;

    let sent = send(&sender, contract, terms(world.dollar, 5), payments).await;
    let expected = Expected {
        batch_id: B256::repeat_byte(0xb1),
        merkle_root: B256::repeat_byte(0xb2),
        token: world.dollar,
        items: vec![
            (B256::repeat_byte(1), Some(good)),
            (B256::repeat_byte(2), Some(dear)),
            (B256::repeat_byte(3), Some(early)),
            (B256::repeat_byte(4), Some(authorization(PRICE))),
            (B256::repeat_byte(5), None),
        ],
        since_s: 0,
    };
    let fate = ended(&settler, sent.transaction, &expected).await;
    let BatchFate::Done { items, block_time_s, .. } = fate else { panic!("{fate:?}") };
    assert_eq!((&items[0], &items[2]), (&ItemFate::Paid, &ItemFate::PaidElsewhere(elsewhere)));
    let failed =
        |item: &ItemFate, why: &str| matches!(item, ItemFate::Failed(reason) if reason.contains(why));
    assert!(failed(&items[1], "InsufficientBalance"), "{items:?}");
    assert!(failed(&items[3], "not among the payments"), "{items:?}");
    assert!(failed(&items[4], "not among the payments"), "{items:?}");
    assert!(block_time_s.abs_diff(now_s()) < 60);
    assert_eq!(world.balance(MERCHANT), 2 * PRICE);

    for other in [
        Expected { batch_id: B256::ZERO, ..expected.clone() },
        Expected { merkle_root: B256::ZERO, ..expected.clone() },
        Expected { token: MERCHANT, ..expected.clone() },
    ] {
        assert!(matches!(settler.fate(sent.transaction, &other).await, Err(BatchError::OtherBatch(_))));
    }
    assert!(matches!(settler.fate(elsewhere, &expected).await, Err(BatchError::OtherBatch(_))));
    let patient = BatchSettler::new(chain.clone(), contract, 50);
    assert_eq!(patient.fate(sent.transaction, &expected).await, Ok(BatchFate::Pending));
    assert_eq!(settler.fate(B256::ZERO, &expected).await, Ok(BatchFate::Pending), "unknown");

    // The contract takes a batch of one settler once; nothing moves again.
    let again = vec![payment(&world, 1, &authorization(PRICE))];
    let again = send(&sender, contract, terms(world.dollar, 1), again).await;
    let fate = ended(&settler, again.transaction, &expected).await;
    assert!(matches!(fate, BatchFate::Reverted { .. }), "{fate:?}");
    assert_eq!(world.balance(MERCHANT), 2 * PRICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reverted_transaction_that_is_not_of_the_batch_says_nothing_of_it() {
    let Some(world) = World::open(SET_CHAIN).await else { return };
    let contract = tokio::task::block_in_place(|| deploy(&world, world.dollar));
    let connect = || RpcChain::connect(world.anvil.node(), Some(SET_CHAIN), key(OWNER).address());
    let chain = Arc::new(tokio::task::block_in_place(connect).unwrap());
    let settler = BatchSettler::new(chain.clone(), contract, 1);
    let (owner, stranger) = (Sender::new(chain.clone(), key(OWNER)), Sender::new(chain, key(STRANGER)));
    let authorization = authorization(PRICE);
    let payments = || vec![payment(&world, 1, &authorization)];
    let terms = || terms(world.dollar, 1);
    let expected = Expected {
        batch_id: terms().batchId,
        merkle_root: terms().merkleRoot,
        token: world.dollar,
        items: vec![(B256::repeat_byte(1), Some(authorization))],
        since_s: 0,
    };
    let fate = async |transaction: B256| {
        for _ in 0..500 {
            match settler.fate(transaction, &expected).await {
                Ok(BatchFate::Pending) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                other => return other,
            }
        }
        panic!("{transaction} is in no block");
    };
    let other_batch = BatchTerms { batchId: B256::ZERO, merkleRoot: B256::ZERO, ..terms() };
    let of_others = [
        // The token knows no such call; the contract does, and not this caller, or not this root.
        (send(&stranger, world.dollar, terms(), payments()).await, "does not call"),
        (send(&stranger, contract, terms(), payments()).await, "is no settler"),
        (send(&owner, contract, other_batch, payments()).await, "does not settle this batch"),
    ];
    for (sent, why) in of_others {
        let told = fate(sent.transaction).await;
        assert!(matches!(&told, Err(BatchError::OtherBatch(problem)) if problem.contains(why)), "{told:?}");
    }
    let too_many = BatchTerms { intentCount: 0, ..terms() };
    let own = send(&owner, contract, too_many, payments()).await;
    let told = fate(own.transaction).await;
    assert!(matches!(told, Ok(BatchFate::Reverted { .. })), "{told:?}");
}

/// A payment of a batch whose use by somebody else the node tells of before it shows the transaction was called failed for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_brought_in_a_transaction_that_is_shown_late_is_not_called_failed() {
    let Some(world) = World::open(SET_CHAIN).await else { return };
    let (_, value) = world.payment().await;
    let claim = Claim::read(Version::Two, value.as_bytes()).unwrap();
    tokio::task::block_in_place(bring(&world, &claim));
    // Its time is over by the chain's clock.
    let node = world.anvil.node();
    tokio::task::block_in_place(|| {
        node.request::<Value>("evm_increaseTime", &json!([7_200])).unwrap();
        node.request::<Value>("evm_mine", &json!([])).unwrap();
    });
    let settler = BatchSettler::new(world.shaky(), Address::ZERO, 1);
    let asked = || settler.ended(world.dollar, &claim.authorization, 0);
    *world.chain().hides_receipts_until.lock().unwrap() = Some(Instant::now() + Duration::from_secs(3_600));
    assert!(matches!(asked().await, Err(BatchError::Chain(ChainError::Unreachable(_)))));
    *world.chain().hides_receipts_until.lock().unwrap() = None;
    assert!(matches!(asked().await, Ok(Some(ItemFate::PaidElsewhere(_)))));
}
