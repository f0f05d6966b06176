//! Numbers of the account that are left out.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::world::{BASE_SEPOLIA, World, now_s};

/// The node has thrown away the transaction of a payment that has ended: those behind it waited until a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_number_that_a_payment_left_out_holds_up_none_after_it() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let first = [world.payment().await];
    let behind = [world.payment_at(now_s() + 550).await];
    world.tell("evm_setAutomine", &json!([false]));
    let loss = async {
        while world.chain().sent.lock().unwrap().len() < 2 {
            sleep(Duration::from_millis(20)).await;
        }
        // They are with the node.
        sleep(Duration::from_millis(200)).await;
        let sent = world.chain().sent.lock().unwrap().clone();
        world.tell("evm_increaseTime", &json!([300]));
        world.tell("anvil_dropTransaction", &json!([alloy_primitives::keccak256(&sent[0])]));
        world.tell("evm_mine", &json!([]));
        world.tell("evm_setAutomine", &json!([true]));
    };
    let second = async {
        sleep(Duration::from_millis(400)).await;
        world.ask("/paid", &behind).await
    };
    // The number is filled once blocks have left it free.
    let blocks = async {
        loss.await;
        loop {
            sleep(Duration::from_secs(1)).await;
            world.tell("evm_mine", &json!([]));
        }
    };
    let answers = async {
        tokio::select! {
            answers = async { tokio::join!(world.ask("/paid", &first), second) } => answers,
            () = blocks => unreachable!("blocks come without end"),
        }
    };
    let (ended, behind) = timeout(Duration::from_secs(40), answers).await.expect("both are answered");
    assert_eq!(ended.status, StatusCode::PAYMENT_REQUIRED, "{ended:?}");
    assert_eq!(behind.status, StatusCode::OK, "{behind:?}");
    let next = [world.payment_at(now_s() + 550).await];
    let next = timeout(Duration::from_secs(20), world.ask("/paid", &next)).await.expect("an answer");
    assert_eq!((next.status, world.sold()), (StatusCode::OK, 2), "{next:?}");
}
