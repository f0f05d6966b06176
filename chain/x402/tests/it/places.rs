//! Places of payments at the gate: whose money has not moved holds none, and who brings one payment stays in one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;

use crate::shaky::NextSend;
use crate::world::{BASE_SEPOLIA, World};

/// A payment in a place is refused anywhere else, which shows whether it is in one.
async fn has_place(world: &World, paid: &(&'static str, String)) -> bool {
    let status = world.ask("/other", std::slice::from_ref(paid)).await.status;
    assert!(matches!(status, StatusCode::PAYMENT_REQUIRED | StatusCode::SERVICE_UNAVAILABLE), "{status}");
    status == StatusCode::PAYMENT_REQUIRED
}

/// A signature costs nothing: ten thousand of them shut the gate until they ended, after seconds without an answer of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_not_taken_while_nobody_answers_holds_no_place() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    world.log.is_silent.store(true, Ordering::SeqCst);
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!has_place(&world, &paid).await);
    // The client hangs up before anything is known.
    let hung_up = tokio::time::timeout(Duration::ZERO, world.ask("/paid", std::slice::from_ref(&paid))).await;
    assert!(hung_up.is_err() || hung_up.is_ok_and(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE));
    assert!(!has_place(&world, &paid).await);
    world.log.is_silent.store(false, Ordering::SeqCst);
    assert_eq!((world.ask("/paid", &[paid]).await.status, world.sold()), (StatusCode::OK, 1));
}

/// What is on disk and may have been sent keeps its place: it buys nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_under_way_keeps_its_place() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    world.chain().deaf(true);
    world.chain().next_send(NextSend::LoseAnswer);
    assert_eq!(world.ask("/paid", std::slice::from_ref(&paid)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(has_place(&world, &paid).await);
    world.chain().deaf(false);
    assert_eq!(world.ask("/paid", &[paid]).await.status, StatusCode::OK);
    assert_eq!((world.sold(), world.served.load(Ordering::SeqCst)), (1, 1));
}

/// The first is refused and leaves, while the second waits in its place; the third came into a new one, and both were served.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_payment_that_is_brought_three_times_is_served_once() {
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let paid = world.payment().await;
    let slow = || std::thread::sleep(Duration::from_millis(400));
    *world.chain().before_send.lock().unwrap() = Some(Box::new(slow));
    world.chain().next_send(NextSend::Refuse);
    let header = std::slice::from_ref(&paid);
    let late = async {
        tokio::time::sleep(Duration::from_millis(650)).await;
        world.ask("/paid", header).await
    };
    let (first, second, third) = tokio::join!(world.ask("/paid", header), world.ask("/paid", header), late);
    let statuses = [&first, &second, &third].map(|answer| answer.status);
    assert_eq!(statuses, [StatusCode::PAYMENT_REQUIRED, StatusCode::OK, StatusCode::OK]);
    assert_eq!(second.body, third.body);
    assert_eq!((world.sold(), world.served.load(Ordering::SeqCst)), (1, 1));
}
