//! Batches through `SetPaymentBatch`: what became of each payment is the chain's word on that payment.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use set_registry::abi::SetPaymentBatch::{configureAssetCall, setSettlerCall};
use set_registry::artifact::Contract;
use set_registry::devnet::Wallet;
use stateset_x402::batch::{
    BatchError, BatchFate, BatchPayment, BatchSettler, BatchTerms, Expected, ItemFate, batch_payment,
};
use stateset_x402::{Authorization, Chain, RpcChain, Sender};

use crate::world::{FUNDS, MERCHANT, PAYER, PRICE, SET_CHAIN, STRANGER, World, key, nonce, now_s};

/// Who settles batches, of anvil's accounts.
const OWNER: usize = 0;

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

/// The contract, with the dollar of the world and one settler.
fn deploy(world: &World) -> Address {
    let owner = Wallet::new(world.anvil.node(), key(OWNER)).unwrap();
    let contract = owner.deploy(Contract::SetPaymentBatch).unwrap();
    owner.call(contract, &setSettlerCall { settler: owner.address(), allowed: true }).unwrap();
    let bounds = configureAssetCall {
        token: world.dollar,
        enabled: true,
        minAmount: "1".parse().unwrap(),
        maxAmount: "1000000000000".parse().unwrap(),
        dailyLimit: "1000000000000".parse().unwrap(),
    };
    owner.call(contract, &bounds).unwrap();
    contract
}

fn terms(world: &World, count: u32) -> BatchTerms {
    BatchTerms {
        batchId: B256::repeat_byte(0xb1),
        merkleRoot: B256::repeat_byte(0xb2),
        tenantStoreKey: B256::repeat_byte(0xb3),
        token: world.dollar,
        sequenceStart: 1,
        sequenceEnd: count.into(),
        intentCount: count,
    }
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
    let contract = tokio::task::block_in_place(|| deploy(&world));
    let connect = || RpcChain::connect(world.anvil.node(), Some(SET_CHAIN), key(OWNER).address());
    let chain: Arc<dyn Chain> = Arc::new(tokio::task::block_in_place(connect).unwrap());
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

    let sent = settler.settle(&sender, terms(&world, 5), payments, |_| async { Ok(()) }).await.unwrap();
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
    let again = settler.settle(&sender, terms(&world, 1), again, |_| async { Ok(()) }).await.unwrap();
    let fate = ended(&settler, again.transaction, &expected).await;
    assert!(matches!(fate, BatchFate::Reverted { .. }), "{fate:?}");
    assert_eq!(world.balance(MERCHANT), 2 * PRICE);
}
