//! Callers whose keys are refused wait for one another at the gRPC door, too, and for no one else.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use v2::sync_message::Message as Said;

use super::*;

/// Shorter than anyone waits in the lane, longer than a push takes.
const A_WHILE: Duration = Duration::from_millis(700);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_with_refused_keys_wait_for_one_another_and_others_do_not() {
    let (world, agent, stream, client) = started().await;
    let honest = client.with_key(Some(&world.mint(&agent, json!({})).await));
    let nobody = Agent::new(&stream, 9);
    let push = |n: u64| push_of(&nobody, &stream, &orders(&nobody, &stream, n..n + 1));
    for n in 1..=4 {
        let answer = client.push(push(n)).await.expect("an answer");
        assert_eq!((answer.events_accepted, answer.events_rejected), (0, 1));
    }
    // One that never sends its message has the lane.
    let holder = tokio::spawn({
        let client = client.clone();
        async move {
            let unsent = tokio_stream::pending::<v2::PushRequest>();
            client.duplex::<_, v2::PushResponse>(&format!("{SEQUENCER}Push"), unsent).await
        }
    });
    sleep(A_WHILE).await;
    let unary = tokio::spawn({
        let (client, push) = (client.clone(), push(5));
        async move { client.push(push).await }
    });
    let said = v2::SyncMessage { message: Some(Said::Push(push(6))) };
    let said = tokio_stream::StreamExt::chain(tokio_stream::once(said), tokio_stream::pending());
    let mut session: Streaming<v2::SyncMessage> =
        client.duplex(&format!("{SEQUENCER}SyncStream"), said).await.expect("a session");
    assert!(timeout(A_WHILE, session.message()).await.is_err(), "a session went past the lane");
    assert!(!unary.is_finished(), "a push went past the lane");
    for n in 1..=5 {
        let pushed = honest.push(push_of(&agent, &stream, &orders(&agent, &stream, n..n + 1)));
        let answer = timeout(A_WHILE, pushed).await.expect("it waits for nobody").expect("a push");
        assert_eq!(answer.events_accepted, 1);
    }
    holder.abort();
    let answer = timeout(Duration::from_secs(8), unary).await.expect("the lane is free").expect("no panic");
    assert_eq!(answer.expect("an answer").events_rejected, 1);
    // The events of the others, and its own answer.
    loop {
        let heard = next(&mut session).await.expect("goes on").expect("a message");
        if let Some(Said::PushResponse(answer)) = heard.message {
            assert_eq!(answer.events_rejected, 1);
            break;
        }
    }
}
