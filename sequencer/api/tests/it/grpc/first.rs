//! Version 1: the older stream.

use std::time::{Duration, Instant};

use ves::{AgentId, EventId, SequenceNumber};
use ves_wire::proto::v1;

use super::*;

const FIRST: &str = "/stateset.sequencer.v1.Sequencer/";

fn event(stream: &StreamKey, agent: AgentId, n: u64) -> v1::EventEnvelope {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    v1::EventEnvelope {
        event_id: EventId::from_bytes(id).to_string(),
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        entity_type: "order".into(),
        entity_id: format!("ORD-{}", n % 2),
        event_type: "order.created".into(),
        payload: format!("{{\"n\":{n}}}").into_bytes(),
        created_at: Some(prost_types::Timestamp { seconds: 1_766_253_070, nanos: 0 }),
        source_agent: agent.to_string(),
        ..Default::default()
    }
}

fn push_of(agent: AgentId, events: Vec<v1::EventEnvelope>) -> v1::PushRequest {
    v1::PushRequest { agent_id: agent.to_string(), events }
}

async fn push(client: &Client, request: v1::PushRequest) -> Result<v1::PushResponse, Status> {
    client.unary(&format!("{FIRST}Push"), request).await
}

fn pull_of(stream: &StreamKey) -> v1::PullRequest {
    v1::PullRequest {
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        batch_size: 4,
        ..Default::default()
    }
}

async fn pull(client: &Client, request: v1::PullRequest) -> Streaming<v1::PullResponse> {
    client.open(&format!("{FIRST}Pull"), request).await.expect("pages")
}

fn numbers(page: &v1::PullResponse) -> Vec<u64> {
    page.events.iter().map(|event| event.sequence_number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_events_are_pushed_pulled_and_proven() {
    let (world, agent, stream, client) = started().await;
    let agent = agent.agent_id;
    let events: Vec<_> = (1..=6).map(|n| event(&stream, agent, n)).collect();
    let mut bad = event(&stream, agent, 7);
    bad.payload = b"{".to_vec();
    let answer = push(&client, push_of(agent, [events.clone(), vec![bad]].concat())).await.expect("a push");
    assert_eq!(
        (answer.events_accepted, answer.assigned_sequence_start, answer.assigned_sequence_end),
        (6, 1, 6)
    );
    assert_eq!(answer.events_rejected[0].reason_code, "SchemaValidation");
    let again = push(&client, push_of(agent, vec![events[0].clone()])).await.expect("a push");
    assert_eq!(
        (again.events_accepted, again.events_rejected[0].reason_code.as_str()),
        (0, "DuplicateEventId")
    );

    let mut pages = pull(&client, pull_of(&stream)).await;
    let first = next(&mut pages).await.expect("goes on").expect("a page");
    assert_eq!(
        (numbers(&first), first.next_sequence, first.has_more, first.head_sequence),
        (vec![1, 2, 3, 4], 5, true, 6)
    );
    let stored = first.events[2].envelope.clone().expect("an event");
    assert_eq!((stored.event_id, stored.payload), (events[2].event_id.clone(), b"{\"n\":3}".to_vec()));
    assert_eq!(numbers(&next(&mut pages).await.expect("goes on").expect("a page")), [5, 6]);
    assert_eq!(next(&mut pages).await.expect("ends well"), None);
    let filtered = v1::PullRequest { entity_id_filter: "ORD-1".into(), batch_size: 100, ..pull_of(&stream) };
    assert_eq!(
        numbers(&next(&mut pull(&client, filtered).await).await.expect("goes on").expect("a page")),
        [1, 3, 5]
    );

    let ids = || (stream.tenant_id.to_string(), stream.store_id.to_string());
    let head = v1::GetHeadRequest { tenant_id: ids().0, store_id: ids().1 };
    let head: v1::GetHeadResponse = client.unary(&format!("{FIRST}GetHead"), head).await.expect("a head");
    assert_eq!((head.head_sequence, head.latest_commitment), (6, None));
    let batch = world
        .sequencer
        .legacy()
        .commit(&stream, SequenceNumber(1), SequenceNumber(6))
        .await
        .expect("a batch");
    let ask = v1::GetInclusionProofRequest {
        batch_id: batch.batch_id.to_string(),
        event_id: events[3].event_id.clone(),
    };
    let answer: v1::GetInclusionProofResponse =
        client.unary(&format!("{FIRST}GetInclusionProof"), ask).await.expect("a proof");
    let (proof, proven) = (answer.proof.expect("a proof"), answer.event.expect("an event"));
    let digest = |bytes: &[u8]| ves::Digest(bytes.try_into().expect("32 bytes"));
    let leaf = ves::legacy::leaf_hash(
        &stream,
        SequenceNumber(proven.sequence_number),
        &digest(&proven.envelope.expect("an event").payload_hash),
        "order",
        "ORD-0",
    );
    let path: Vec<_> = proof.proof_hashes.iter().map(|hash| digest(hash)).collect();
    ves::legacy::verify_inclusion(&leaf, &batch.events_root, proof.leaf_count, proof.leaf_index, &path)
        .expect("proves it");
    assert_eq!(answer.commitment.expect("a batch").event_count, 6);

    let ask = v1::GetCommitmentRequest { batch_id: batch.batch_id.to_string() };
    let found: v1::GetCommitmentResponse =
        client.unary(&format!("{FIRST}GetCommitment"), ask).await.expect("a batch");
    assert_eq!(found.commitment.expect("a batch").end_sequence, 6);
    let ask = v1::GetEntityHistoryRequest {
        tenant_id: ids().0,
        store_id: ids().1,
        entity_type: "order".into(),
        entity_id: "ORD-1".into(),
        from_version: 2,
        to_version: 3,
    };
    let history: v1::GetEntityHistoryResponse =
        client.unary(&format!("{FIRST}GetEntityHistory"), ask).await.expect("a history");
    assert_eq!(history.events.iter().map(|event| event.sequence_number).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(history.current_version, 3);
    let unknown = v1::GetCommitmentRequest { batch_id: agent.to_string() };
    let answer =
        client.unary::<_, v1::GetCommitmentResponse>(&format!("{FIRST}GetCommitment"), unknown).await;
    refused(answer, Code::NotFound, "BATCH_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_that_waits_gets_what_comes_until_its_time_is_over() {
    let (_, agent, stream, client) = started().await;
    let agent = agent.agent_id;
    let started_at = Instant::now();
    let waiting = v1::PullRequest { wait_for_new: true, wait_timeout_ms: 2000, ..pull_of(&stream) };
    let mut pages = pull(&client, waiting).await;
    let empty = next(&mut pages).await.expect("goes on").expect("a page");
    assert_eq!((numbers(&empty), empty.head_sequence, empty.next_sequence), (vec![], 0, 1));
    for n in 1..=2 {
        push(&client, push_of(agent, vec![event(&stream, agent, n)])).await.expect("a push");
        assert_eq!(numbers(&next(&mut pages).await.expect("goes on").expect("a page")), [n]);
    }
    assert_eq!(next(&mut pages).await.expect("ends well"), None);
    assert!(started_at.elapsed() >= Duration::from_secs(2));
    let bad = v1::PullRequest { batch_size: 1001, ..pull_of(&stream) };
    let answer = client.open::<_, v1::PullResponse>(&format!("{FIRST}Pull"), bad).await.map(|_| ());
    refused(answer, Code::InvalidArgument, "INVALID_FIELD_VALUE");
}
