//! The unary calls, good ones.

use serde_json::json;
use stateset_fixtures::{Agent, Recipient, plain_event, resign, sealed_event};
use ves::{CommandId, KeyId};
use ves_wire::proto::v2::{self, get_commitment_request, get_inclusion_proof_request};
use ves_wire::v2::event;

use super::*;
use crate::world::query;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_over_one_transport_reads_back_over_both() {
    let (world, agent, stream, client) = started().await;
    let mut events = orders(&agent, &stream, 1..4);
    events.push(sealed_event(&agent, &stream, 4, &[Recipient::new(1), Recipient::new(9)]));
    events[1].kernel = Some("{\"k\":1}".into());
    events[2].command_id = Some(CommandId::from_bytes([9; 16]));
    events[2].base_version = Some(0);
    let answer = client.push(push_of(&agent, &stream, &events)).await.expect("a push");
    assert_eq!(
        (answer.events_accepted, answer.events_rejected, answer.request_id.as_str()),
        (4, 0, "a request")
    );
    assert_eq!((answer.sequence_start, answer.sequence_end, answer.head_sequence), (1, 4, 4));
    assert_eq!(answer.receipts.len(), 4);

    let page: v2::PullEventsResponse =
        client.call("PullEvents", pull_of(&stream, 0, 0)).await.expect("a page");
    assert_eq!((page.next_sequence, page.has_more, page.head_sequence), (5, false, 4));
    let messages: Vec<_> =
        page.events.iter().map(|event| event.envelope.clone().expect("an event")).collect();
    assert_eq!(messages, events.iter().map(event).collect::<Vec<_>>());
    for (sequenced, receipt) in page.events.iter().zip(&answer.receipts) {
        assert_eq!(
            (sequenced.sequence_number, &sequenced.receipt_hash),
            (receipt.sequence_number, &receipt.receipt_hash)
        );
        assert_eq!(sequenced.receipt_signature_bundle, receipt.signature_bundle);
    }
    let rest = world.get(&format!("/api/v1/ves/events?{}", query(&stream))).await.ok();
    assert_eq!(rest["events"][1]["envelope"]["kernel"], json!({"k": 1}));
    assert_eq!(rest["events"][3]["envelope"]["created_at"], json!(events[3].created_at));

    // The same again: the first receipts, no number.
    let again = client.push(push_of(&agent, &stream, &events)).await.expect("a push");
    assert_eq!((again.events_accepted, again.events_rejected, again.sequence_start), (0, 0, 0));
    assert!(again.receipts.iter().all(|receipt| receipt.replayed));
    assert_eq!(again.receipts[2].receipt_hash, answer.receipts[2].receipt_hash);

    let state: v2::SyncState = client
        .call(
            "GetSyncState",
            v2::GetSyncStateRequest {
                tenant_id: stream.tenant_id.to_string(),
                store_id: stream.store_id.to_string(),
            },
        )
        .await
        .expect("a state");
    assert_eq!((state.head_sequence, state.state_root.len(), state.latest_commitment), (4, 0, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signed_spelling_of_an_instant_is_found_and_kept() {
    let (world, agent, stream, client) = started().await;
    let spellings =
        ["2025-12-20T17:51:10.243+00:00", "2025-12-20T17:51:10.243Z", "2025-12-20T17:51:10+00:00"];
    let signed: Vec<_> = (1..)
        .zip(spellings)
        .map(|(n, text)| spelled(&plain_event(&agent, &stream, n), &agent, text))
        .collect();
    let mut request = push_of(&agent, &stream, &signed);
    request.events.iter_mut().for_each(|event| event.created_at_text.clear());
    let answer = client.push(request.clone()).await.expect("a push");
    assert_eq!(answer.events_accepted, 3, "{:?}", answer.rejections);
    let rest = world.get(&format!("/api/v1/ves/events?{}", query(&stream))).await.ok();
    for (n, text) in spellings.iter().enumerate() {
        assert_eq!(rest["events"][n]["envelope"]["created_at"], *text);
    }
    // A retry is told as such, also when the key is gone by now.
    let again = client.push(request.clone()).await.expect("a push");
    assert_eq!((again.receipts.len(), again.events_rejected), (3, 0), "{:?}", again.rejections);
    world.sequencer.revoke_agent_key(&stream.tenant_id, &agent.agent_id, KeyId(1)).await.expect("revoked");
    let again = client.push(request).await.expect("a push");
    assert_eq!((again.receipts.len(), again.events_rejected), (3, 0), "{:?}", again.rejections);
    // Another spelling that names the instant and was not signed.
    let mut other = push_of(
        &agent,
        &stream,
        &[spelled(&plain_event(&agent, &stream, 9), &agent, "2025-12-20T17:51:10.2430Z")],
    );
    other.events[0].created_at_text.clear();
    assert_eq!(client.push(other).await.expect("a push").events_rejected, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_of_an_event_has_its_reason_and_leaves_the_neighbour_alone() {
    let (world, agent, stream, client) = started().await;
    let (unknown, rotated) = (Agent::new(&stream, 2), agent.with_key(KeyId(2)));
    world.register(&rotated).await;
    world.sequencer.revoke_agent_key(&stream.tenant_id, &agent.agent_id, KeyId(2)).await.expect("revoked");
    let mut first = plain_event(&agent, &stream, 1);
    first.command_id = Some(CommandId::from_bytes([7; 16]));
    client.push(push_of(&agent, &stream, &[first.clone()])).await.expect("a push");

    let forged = Envelope { agent_signature: [7; 64], ..plain_event(&agent, &stream, 2) };
    let mut no_such_key = plain_event(&agent, &stream, 3);
    no_such_key.agent_key_id = KeyId(77);
    let mut taken_id = plain_event(&agent, &stream, 5);
    taken_id.event_id = first.event_id;
    let mut taken_command = plain_event(&agent, &stream, 6);
    taken_command.command_id = first.command_id;
    let mut other_hash = plain_event(&agent, &stream, 7);
    other_hash.payload_plain_hash.0[0] ^= 1;
    let mut conflict = plain_event(&agent, &stream, 8);
    conflict.base_version = Some(5);
    let mut shapeless = event(&plain_event(&agent, &stream, 9));
    shapeless.entity_type = "x".repeat(129);
    let cases = [
        (event(&resign(forged.clone(), &unknown)), 1),
        (event(&resign(no_such_key, &agent)), 2),
        (event(&plain_event(&rotated, &stream, 4)), 3),
        (event(&resign(taken_id, &agent)), 4),
        (event(&taken_command), 5),
        (event(&other_hash), 6),
        (event(&conflict), 7),
        (shapeless, 8),
    ];
    for (n, (bad, reason)) in (100..).zip(cases) {
        let mut request = push_of(&agent, &stream, &[plain_event(&agent, &stream, n)]);
        request.events.insert(0, bad.clone());
        let answer = client.push(request).await.expect("a push");
        assert_eq!((answer.events_accepted, answer.events_rejected), (1, 1), "{answer:?}");
        let rejection = &answer.rejections[0];
        assert_eq!((rejection.reason, &rejection.event_id), (reason, &bad.event_id), "{rejection:?}");
        assert!(!rejection.message.is_empty() && !rejection.reason_text.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_cut_before_it_is_filtered() {
    let (world, agent, stream, client) = started().await;
    world.register(&Agent::new(&stream, 2)).await;
    client.push(push_of(&agent, &stream, &orders(&agent, &stream, 1..6))).await.expect("a push");
    let second = Agent::new(&stream, 2);
    client.push(push_of(&second, &stream, &orders(&second, &stream, 6..11))).await.expect("a push");
    let pull = |change: &dyn Fn(&mut v2::PullEventsRequest)| {
        let mut request = pull_of(&stream, 1, 10);
        change(&mut request);
        let client = client.clone();
        async move {
            let page: v2::PullEventsResponse = client.call("PullEvents", request).await.expect("a page");
            let numbers: Vec<u64> = page.events.iter().map(|event| event.sequence_number).collect();
            (numbers, page.next_sequence, page.has_more)
        }
    };
    assert_eq!(pull(&|r| r.limit = 4).await, (vec![1, 2, 3, 4], 5, true));
    assert_eq!(pull(&|r| r.from_sequence = 50).await, (vec![], 11, false));
    assert_eq!(pull(&|r| r.agent_filter = vec![second.agent_id.to_string()]).await.0, [6, 7, 8, 9, 10]);
    let filtered = pull(&|r| {
        r.limit = 5;
        r.agent_filter = vec![second.agent_id.to_string()];
    })
    .await;
    assert_eq!(filtered, (vec![], 6, true));
    assert_eq!(pull(&|r| r.entity_id_filter = "ORD-00000003".into()).await.0, [3]);
    assert_eq!(pull(&|r| r.entity_type_filter = "return".into()).await.0, [0u64; 0]);
    assert_eq!(pull(&|r| r.event_type_filter = vec!["x".into(), "order.created".into()]).await.0.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_fits_the_message_that_clients_take() {
    let (_, agent, stream, client) = started().await;
    let large: Vec<_> = (1..=12)
        .map(|n| {
            let canonical = format!("{{\"text\":\"{}\"}}", "x".repeat(700_000));
            stateset_fixtures::sign_payload(&agent, &stream, n, "order.noted", canonical)
        })
        .collect();
    client.push(push_of(&agent, &stream, &large)).await.expect("a push");
    let (mut next, mut seen) = (1, 0);
    while next <= 12 {
        // This client refuses messages beyond 4 MiB, as most do.
        let page: v2::PullEventsResponse =
            client.call("PullEvents", pull_of(&stream, next, 1000)).await.expect("a page");
        assert!(!page.events.is_empty());
        seen += page.events.len();
        next = page.next_sequence;
    }
    assert_eq!(seen, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_proven_against_the_root_of_its_batch() {
    let (world, agent, stream, client) = started().await;
    let events = orders(&agent, &stream, 1..8);
    client.push(push_of(&agent, &stream, &events)).await.expect("a push");
    let by_number = |at, root: Vec<u8>| v2::GetInclusionProofRequest {
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        expected_root: root,
        selector: Some(get_inclusion_proof_request::Selector::SequenceNumber(at)),
    };
    let early: Result<v2::GetInclusionProofResponse, _> =
        client.call("GetInclusionProof", by_number(3, vec![])).await;
    refused(early, Code::NotFound, "BATCH_NOT_FOUND");
    let batch = world
        .sequencer
        .commit(&stream, ves::SequenceNumber(1), ves::SequenceNumber(7))
        .await
        .expect("a batch");

    let answer: v2::GetInclusionProofResponse =
        client.call("GetInclusionProof", by_number(3, vec![])).await.expect("a proof");
    let proof = answer.proof.expect("a proof");
    assert!(answer.included && answer.event.expect("an event").sequence_number == 3);
    let digest = |bytes: &[u8]| ves::Digest(bytes.try_into().expect("32 bytes"));
    let path = ves::InclusionProof {
        leaf_index: proof.leaf_index,
        path: proof.proof_hashes.iter().map(|hash| digest(hash)).collect(),
    };
    ves::merkle::verify_inclusion(
        &digest(&proof.leaf_hash),
        &batch.merkle_root,
        Some(proof.leaf_count),
        &path,
    )
    .expect("proves it");

    let by_id = v2::GetInclusionProofRequest {
        selector: Some(get_inclusion_proof_request::Selector::EventId(events[4].event_id.to_string())),
        ..by_number(0, batch.merkle_root.0.to_vec())
    };
    let answer: v2::GetInclusionProofResponse =
        client.call("GetInclusionProof", by_id).await.expect("a proof");
    assert_eq!(answer.proof.expect("a proof").leaf_index, 4);
    let other: Result<v2::GetInclusionProofResponse, _> =
        client.call("GetInclusionProof", by_number(3, vec![7; 32])).await;
    assert_eq!(other.expect_err("refused").code(), Code::FailedPrecondition);
    let unknown: Result<v2::GetInclusionProofResponse, _> =
        client.call("GetInclusionProof", by_number(8, vec![])).await;
    refused(unknown, Code::NotFound, "EVENT_NOT_FOUND");

    // By number only where the key says which stream is meant.
    let key = world.mint(&agent, json!({"storeIds": [stream.store_id], "readOnly": true})).await;
    let at = v2::GetCommitmentRequest { selector: Some(get_commitment_request::Selector::SequenceNumber(5)) };
    let found: v2::BatchCommitment =
        client.with_key(Some(&key)).call("GetCommitment", at.clone()).await.expect("a batch");
    assert_eq!(
        (found.batch_id, found.end_sequence, found.previous_root.len()),
        (batch.batch_id.to_string(), 7, 0)
    );
    let unscoped: Result<v2::BatchCommitment, _> = client.call("GetCommitment", at).await;
    refused(unscoped, Code::InvalidArgument, "INVALID_FIELD_VALUE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_an_entity_is_asked_for_by_version() {
    let (_, agent, stream, client) = started().await;
    let of_one: Vec<_> = (1..=30)
        .map(|n| {
            resign(
                Envelope { entity_id: format!("ORD-{}", n % 3).into(), ..plain_event(&agent, &stream, n) },
                &agent,
            )
        })
        .collect();
    client.push(push_of(&agent, &stream, &of_one)).await.expect("a push");
    let history = |from, to, limit| {
        let (client, request) = (
            client.clone(),
            v2::GetEntityHistoryRequest {
                tenant_id: stream.tenant_id.to_string(),
                store_id: stream.store_id.to_string(),
                entity_type: "order".into(),
                entity_id: "ORD-1".into(),
                from_version: from,
                to_version: to,
                limit,
            },
        );
        async move { client.call::<_, v2::GetEntityHistoryResponse>("GetEntityHistory", request).await }
    };
    let numbers = |answer: v2::GetEntityHistoryResponse| -> Vec<u64> {
        answer.events.iter().map(|event| event.sequence_number).collect()
    };
    let all = history(0, 0, 0).await.expect("a history");
    assert_eq!(all.current_version, 10);
    assert_eq!(numbers(all), [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]);
    assert_eq!(numbers(history(3, 4, 0).await.expect("a history")), [7, 10]);
    assert_eq!(numbers(history(9, 0, 1).await.expect("a history")), [25]);
    assert_eq!(numbers(history(11, 0, 0).await.expect("a history")), [0u64; 0]);
    refused(history(4, 3, 0).await, Code::InvalidArgument, "INVALID_FIELD_VALUE");
}
