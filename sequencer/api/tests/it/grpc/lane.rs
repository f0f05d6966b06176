//! Callers whose keys are refused wait for one another at the gRPC door, too, but not for messages that never come.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use v2::sync_message::Message as Said;

use super::*;

/// Shorter than anyone waits in the lane or for a message, longer than a push takes.
const A_WHILE: Duration = Duration::from_millis(700);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_the_lane_of_refused_keys_before_its_message_is_there() {
    let (world, agent, stream, client) = started().await;
    let honest = client.with_key(Some(&world.mint(&agent, json!({})).await));
    let nobody = Agent::new(&stream, 9);
    let push = |n: u64| push_of(&nobody, &stream, &orders(&nobody, &stream, n..n + 1));
    for n in 1..=4 {
        let answer = client.push(push(n)).await.expect("an answer");
        assert_eq!((answer.events_accepted, answer.events_rejected), (0, 1));
    }
    // Ones that never send their message do not have the lane.
    for _ in 0..3 {
        let client = client.clone();
        tokio::spawn(async move {
            let unsent = tokio_stream::pending::<v2::PushRequest>();
            client.duplex::<_, v2::PushResponse>(&format!("{SEQUENCER}Push"), unsent).await
        });
    }
    sleep(A_WHILE).await;
    let said = v2::SyncMessage { message: Some(Said::Push(push(6))) };
    let said = tokio_stream::StreamExt::chain(tokio_stream::once(said), tokio_stream::pending());
    let mut session: Streaming<v2::SyncMessage> =
        client.duplex(&format!("{SEQUENCER}SyncStream"), said).await.expect("a session");
    let heard = timeout(A_WHILE, session.message()).await.expect("the lane is free").expect("goes on");
    let Some(Said::PushResponse(answer)) = heard.expect("a message").message else { panic!("no answer") };
    assert_eq!(answer.events_rejected, 1);
    let answer = timeout(A_WHILE, client.push(push(5))).await.expect("the lane is free");
    assert_eq!(answer.expect("an answer").events_rejected, 1);
    for n in 1..=5 {
        let pushed = honest.push(push_of(&agent, &stream, &orders(&agent, &stream, n..n + 1)));
        let answer = timeout(A_WHILE, pushed).await.expect("it waits for nobody").expect("a push");
        assert_eq!(answer.events_accepted, 1);
    }
}
