//! Which settled payments are looked at again, and for how long.

use axum::http::StatusCode;
use serde_json::json;

use crate::world::{BASE_SEPOLIA, World};

/// A sale that settles on the new branch before anybody looks back stands above the one that the branch has dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_undone_payment_below_one_that_stands_is_sent_again() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let before = world.tell("evm_snapshot", &json!([]));
    let first = world.payment().await;
    assert_eq!(world.ask("/paid", std::slice::from_ref(&first)).await.status, StatusCode::OK);
    world.tell("evm_revert", &json!([before]));
    world.tell("evm_mine", &json!([]));
    // It asks the node for its number anew.
    world.restart();
    let second = world.payment().await;
    assert_eq!(world.ask("/paid", std::slice::from_ref(&second)).await.status, StatusCode::OK);
    world.rounds(5).await;
    assert_eq!(world.sold(), 2, "both were delivered");
}

/// The process was down for more blocks than are looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_payment_undone_while_nobody_looked_is_sent_again_however_many_blocks_later() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let before = world.tell("evm_snapshot", &json!([]));
    let paid = world.payment().await;
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::OK);
    world.tell("evm_revert", &json!([before]));
    world.tell("anvil_mine", &json!(["0xc8", "0x0"]));
    world.restart();
    world.rounds(5).await;
    assert_eq!(world.sold(), 1);
}

/// A busy shop would ask for each of its blocks every two seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn blocks_that_stand_are_asked_for_once_and_deep_ones_never_again() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    for _ in 0..3 {
        let paid = world.payment().await;
        assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK);
    }
    world.rounds(1).await;
    let asked = world.chain().blocks_asked();
    world.rounds(4).await;
    assert_eq!(world.chain().blocks_asked() - asked, 4, "the newest block, and none of the three");
    world.tell("anvil_mine", &json!(["0xc8", "0x0"]));
    world.rounds(1).await;
    let asked = world.chain().blocks_asked();
    world.rounds(4).await;
    assert_eq!(world.chain().blocks_asked(), asked, "nothing is looked at any more");
}
