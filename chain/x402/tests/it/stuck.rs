//! Transactions that blocks leave out, and blocks that the chain undoes.

use std::time::Duration;

use alloy_primitives::U256;
use axum::http::StatusCode;
use serde_json::{Value, json};
use set_registry::abi::TestDollar::{mintCall, transferCall};
use set_registry::devnet::Wallet;
use stateset_x402::STUCK_BLOCKS;

use crate::world::{BASE_SEPOLIA, FUNDS, MERCHANT, PAYER, PRICE, SETTLER, STRANGER, World, key};

/// A hundred gwei: a hundred times what anvil's first blocks take.
const HIGH_BASE_FEE: u64 = 100_000_000_000;

fn told(world: &World, method: &str, params: &Value) -> Value {
    let node = world.anvil.node();
    tokio::task::block_in_place(|| node.request(method, params)).expect("a method of anvil")
}

/// A block that takes only what offers that much.
fn mine_at(world: &World, base_fee: u64) {
    told(world, "anvil_setNextBlockBaseFeePerGas", &json!([format!("{base_fee:#x}")]));
    told(world, "evm_mine", &json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_that_offers_too_little_is_replaced_by_a_dearer_one_and_settles_once() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    let after = world.payment().await;
    told(&world, "evm_setAutomine", &json!([false]));
    let mining = async {
        // It is in the pool of the node, and blocks come that leave it out.
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..STUCK_BLOCKS {
            mine_at(&world, HIGH_BASE_FEE);
        }
        assert_eq!(world.sold(), 0, "nothing offers that much");
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            mine_at(&world, HIGH_BASE_FEE);
        }
    };
    let (paid, after) = ([paid], [after]);
    let asked = async { tokio::join!(world.ask("/paid", &paid), world.ask("/paid", &after)) };
    // Longer than a caller waits: whatever is answered is seen here.
    let limit = Duration::from_secs(90);
    let answered = async {
        tokio::select! {
            answers = asked => answers,
            () = mining => unreachable!("it goes on"),
        }
    };
    let (first, second) = tokio::time::timeout(limit, answered).await.expect("they are answered");
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK), "{first:?} {second:?}");
    assert_eq!(world.sold(), 2);
}

/// What one wrong answer about fees could cost had no bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_waits_while_gas_is_dearer_than_the_ceiling() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = [world.payment().await];
    mine_at(&world, 900_000_000_000);
    let answer = world.ask("/paid", &paid).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!((world.sold(), world.chain().sent.lock().unwrap().len()), (0, 0), "nothing was sent");
    mine_at(&world, 1_000_000_000);
    assert_eq!((world.ask("/paid", &paid).await.status, world.sold()), (StatusCode::OK, 1));
}

/// It kept the price of the spike, and waited for funds that it did not need.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_that_the_node_lost_is_sent_again_for_less_where_the_account_has_no_more() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = [world.payment().await];
    told(&world, "evm_setAutomine", &json!([false]));
    mine_at(&world, HIGH_BASE_FEE);
    let lost = async {
        while world.chain().sent.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // It is in the pool. Then neither it nor the money for its price is there.
        tokio::time::sleep(Duration::from_millis(300)).await;
        told(&world, "anvil_dropAllTransactions", &json!([]));
        // A thousandth of a coin.
        told(&world, "anvil_setBalance", &json!([key(SETTLER).address(), "0x38d7ea4c68000"]));
        loop {
            mine_at(&world, 1_000_000_000);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let asked = async {
        loop {
            let answer = world.ask("/paid", &paid).await;
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let answer = tokio::select! {
        answer = tokio::time::timeout(Duration::from_secs(60), asked) => answer.expect("an answer"),
        () = lost => unreachable!("it goes on"),
    };
    assert_eq!((answer.status, world.sold()), (StatusCode::OK, 1), "{answer:?}");
}

/// It was refused by the node, and the buyer had to bring it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_whose_fees_are_too_low_once_it_is_sent_is_made_anew() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    let node = world.anvil.node();
    *world.chain().before_send.lock().unwrap() = Some(Box::new(move || {
        let base_fee = json!([format!("{HIGH_BASE_FEE:#x}")]);
        for (method, params) in [("anvil_setNextBlockBaseFeePerGas", base_fee), ("evm_mine", json!([]))] {
            let _: Value = node.request(method, &params).expect("a method of anvil");
        }
    }));
    let answer = tokio::time::timeout(Duration::from_secs(20), world.ask("/paid", &[paid])).await;
    assert_eq!(answer.expect("an answer").status, StatusCode::OK);
    assert_eq!((world.sold(), world.chain().sent.lock().unwrap().len()), (1, 2), "refused, and made anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_whose_block_is_undone_is_sent_again_and_settles_once() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let before = told(&world, "evm_snapshot", &json!([]));
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::OK);
    world.facilitator().round().await;
    assert_eq!(world.sold(), 1);
    let settled_in = world.log.told.lock().unwrap()[0].block_number;
    assert_eq!(told(&world, "evm_revert", &json!([before])), json!(true));
    assert_eq!(world.sold(), 0, "the chain is as if it had never been paid");
    // The chain goes on without it; the process has been restarted in between.
    (0..3).for_each(|_| drop(told(&world, "evm_mine", &json!([]))));
    world.restart();
    for _ in 0..50 {
        world.facilitator().round().await;
        if world.sold() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.facilitator().round().await;
    assert_eq!(
        (world.sold(), world.log.told.lock().unwrap().len()),
        (1, 1),
        "once, and one payment in the history"
    );
    // The history has it where it stands now, and kept the undone block.
    let (told_in, asked) = (world.log.told.lock().unwrap()[0].block_number, world.log.asked());
    assert!(told_in > settled_in, "{told_in} after {settled_in}");
    world.facilitator().round().await;
    assert_eq!(world.log.asked(), asked, "it is told of that once");
    assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK, "what was paid is delivered");
    assert_eq!(world.sold(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_that_is_undone_and_can_not_be_paid_any_more_is_called_failed() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let before = told(&world, "evm_snapshot", &json!([]));
    let (name, value) = world.payment().await;
    assert_eq!(world.ask("/paid", &[(name, value.clone())]).await.status, StatusCode::OK);
    assert_eq!(told(&world, "evm_revert", &json!([before])), json!(true));
    // On the other branch the payer has spent what he had.
    let spend = transferCall { to: key(STRANGER).address(), value: U256::from(FUNDS) };
    let node = world.anvil.node();
    tokio::task::block_in_place(|| Wallet::new(node, key(PAYER)).unwrap().call(world.dollar, &spend))
        .unwrap();
    for _ in 0..50 {
        world.facilitator().round().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.balance(MERCHANT), 0);
    // The goods were delivered: the same header gets the same answer, and any other route none.
    let answer = world.ask("/other", &[(name, value.clone())]).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert!(world.balance(key(STRANGER).address()) >= PRICE);
    // The process is another by now, and the payer has money again: who brings it once more makes the loss good.
    world.restart();
    let refill = mintCall { to: key(PAYER).address(), value: U256::from(PRICE) };
    let node = world.anvil.node();
    tokio::task::block_in_place(|| Wallet::new(node, key(0)).unwrap().call(world.dollar, &refill)).unwrap();
    let answer = world.ask("/other", &[(name, value.clone())]).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    let answer = world.ask("/paid", &[(name, value)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(world.balance(MERCHANT), PRICE);
}
