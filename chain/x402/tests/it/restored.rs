//! A history that was restored from an older copy.

use axum::http::StatusCode;

use crate::world::{BASE_SEPOLIA, PRICE, World};

/// Settled payments stood in it no more, and were never told again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_history_that_lost_payments_is_told_of_them_again() {
    let Some(mut world) = World::open(BASE_SEPOLIA).await else { return };
    let mut paid = Vec::new();
    for _ in 0..3 {
        paid.push(world.payment().await);
        assert_eq!(world.ask("/paid", &paid[paid.len() - 1..]).await.status, StatusCode::OK);
    }
    world.facilitator().round().await;
    world.log.told.lock().unwrap().truncate(1);
    world.restart();
    // Another is told before it is asked for those that it has lost.
    paid.push(world.payment().await);
    assert_eq!(world.ask("/paid", &paid[3..]).await.status, StatusCode::OK);
    assert_eq!(world.log.told.lock().unwrap().len(), 2);
    world.facilitator().round().await;
    let told: Vec<_> = world.log.told.lock().unwrap().iter().map(|payment| payment.transaction).collect();
    assert_eq!((told.len(), world.sold()), (4, 4), "{told:?}; each of {PRICE}");
    let asked = world.log.asked();
    world.facilitator().round().await;
    assert_eq!(world.log.asked(), asked, "it is asked once");
    // Where they stand now is what a repetition answers.
    world.restart();
    world.facilitator().round().await;
    assert_eq!(world.log.told.lock().unwrap().len(), 4);
}
