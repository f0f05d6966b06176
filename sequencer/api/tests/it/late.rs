//! Requests whose body comes long after their head: what held when they were let in may not hold any more.

use std::time::{Duration, Instant};

use futures_util::stream::once;
use stateset_event_log::Tenure;
use stateset_fixtures::{Agent, plain_event, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tonic::{Code, Status, Streaming};
use ves_wire::ingest::write_request;
use ves_wire::proto::v2;

use crate::grpc::{Client, SEQUENCER, refused};
use crate::instance::Node;
use crate::shared_store::Database;
use crate::world::{ADMIN, INGEST, registration};

/// Between a head and its body.
const PAUSE: Duration = Duration::from_millis(200);

/// A node that holds the log as long as the tenure says, with two events in it.
async fn held() -> (Node, Tenure) {
    let database = Database::default();
    let tenure = Tenure::until(Instant::now() + Duration::from_secs(3600));
    database.lend(tenure.clone());
    let node = Node::start(&database, "a").await;
    let stream = stream(1);
    let agent = Agent::new(&stream, 1);
    node.client.post("/api/v1/agents/keys", registration(&agent).to_string()).await.ok();
    let events = [plain_event(&agent, &stream, 1), plain_event(&agent, &stream, 2)];
    node.client.insist(&write_request(agent.agent_id, &events)).await;
    (node, tenure)
}

/// Calls GetSyncState, whose message comes once `meanwhile` was done.
async fn head_of(client: &Client, meanwhile: impl FnOnce()) -> Result<u64, Status> {
    let stream = stream(1);
    let asked = v2::GetSyncStateRequest {
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
    };
    let (send, sent) = oneshot::channel();
    let client = client.clone();
    let calling = tokio::spawn(async move {
        let message = once(async { sent.await.expect("it is sent") });
        let path = format!("{SEQUENCER}GetSyncState");
        let mut answer: Streaming<v2::SyncState> = client.duplex(&path, message).await?;
        Ok(answer.message().await?.expect("an answer").head_sequence)
    });
    tokio::time::sleep(PAUSE).await;
    meanwhile();
    send.send(asked).expect("someone waits for it");
    calling.await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_message_comes_after_the_hold_has_ended_is_told_nothing() {
    let (node, tenure) = held().await;
    let client = Client::connect(node.grpc).await;
    assert_eq!(head_of(&client, || ()).await.expect("an answer"), 2);
    let late = head_of(&client, || tenure.end()).await;
    refused(late, Code::Unavailable, "SERVICE_UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_body_comes_after_the_hold_has_ended_is_told_nothing() {
    let (node, tenure) = held().await;
    let body = "{}";
    for (ends, status) in [(false, 400), (true, 503)] {
        let mut caller = TcpStream::connect(node.client.address).await.expect("connects");
        let head = format!(
            "POST {INGEST} HTTP/1.1\r\nhost: x\r\nx-api-key: {ADMIN}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        caller.write_all(head.as_bytes()).await.expect("writes its head");
        tokio::time::sleep(PAUSE).await;
        if ends {
            tenure.end();
        }
        caller.write_all(body.as_bytes()).await.expect("writes its body");
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}
