//! Reads: what a client pulls is what was pushed, and what it can verify without trusting the server.

use serde_json::{Value, json};
use stateset_fixtures::{Agent, Recipient, plain_event, sealed_event, sequencer_key, stream};
use ves::checkpoint::SignedCheckpoint;
use ves::hex::Format;
use ves::log::verify_consistency;
use ves::merkle::{InclusionProof, leaf_hash, verify_inclusion};
use ves::{Commitment, Digest, Envelope, PublicKey, StoreId, StreamKey};
use ves_wire::commitments::CommitmentBody;
use ves_wire::events::{EventEntry, EventsPage, HeadBody};
use ves_wire::ingest::IngestAnswer;
use ves_wire::proofs::{ConsistencyBody, InclusionProofBody};

use crate::world::{World, query};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the body has its type")
}

fn sequencer() -> PublicKey {
    PublicKey::from_bytes(&sequencer_key(1).public_key()).expect("a key")
}

async fn with_events(n: u64) -> (World, Agent, StreamKey, Vec<Envelope<'static>>) {
    let (world, agent, stream) = World::with_agent().await;
    let mut events: Vec<_> = (1..n).map(|n| plain_event(&agent, &stream, n)).collect();
    events.push(sealed_event(&agent, &stream, n, &[Recipient::new(1)]));
    events[0].kernel = Some("{\"a\":1}".into());
    assert_eq!(world.ingest(&agent, &events).await["eventsAccepted"], n);
    (world, agent, stream, events)
}

async fn commit(world: &World, stream: &StreamKey, start: u64, end: u64) -> crate::world::Answer {
    let range = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequence_start": start, "sequence_end": end});
    world.post("/api/v1/ves/commitments", range).await
}

#[tokio::test]
async fn what_was_pushed_is_pulled_with_its_receipts() {
    let (world, agent, stream_key, events) = with_events(7).await;
    let receipts = read::<IngestAnswer>(world.ingest(&agent, &events).await).receipts;
    let mut pulled = Vec::new();
    let mut from = 0;
    loop {
        let answer =
            world.get(&format!("/api/v1/ves/events?{}&from={from}&limit=3", query(&stream_key))).await;
        let page: EventsPage<'_> = serde_json::from_str(answer.text()).expect("a page");
        assert_eq!((page.head_sequence.0, page.count), (7, page.events.len()));
        for entry in &page.events {
            let envelope =
                ves::envelope::decode_text(entry.envelope.get(), Format::Strict).expect("an envelope");
            let receipt = entry.receipt.as_ref().expect("a receipt");
            assert_eq!(receipt, &receipts[pulled.len()]);
            let receipt = receipt.to_receipt(stream_key).expect("a receipt");
            receipt.verify(&envelope.signing_hash(), &sequencer()).expect("the receipt verifies");
            pulled.push(envelope.into_owned());
        }
        from = page.next_sequence.0;
        if !page.has_more {
            break;
        }
    }
    assert_eq!((pulled, from), (events, 8));
    let past = world.get(&format!("/api/v1/ves/events?{}&from=100", query(&stream_key))).await.ok();
    assert_eq!(
        (&past["count"], &past["has_more"], &past["next_sequence"]),
        (&json!(0), &json!(false), &json!(100))
    );
    let empty = world.get(&format!("/api/v1/ves/events?{}", query(&stream(5)))).await.ok();
    assert_eq!(
        (&empty["count"], &empty["head_sequence"], &empty["next_sequence"]),
        (&json!(0), &json!(0), &json!(1))
    );
    for bad in ["limit=0", "limit=1001", "limit=x", "from=-1", "from=9223372036854775808"] {
        world
            .get(&format!("/api/v1/ves/events?{}&{bad}", query(&stream_key)))
            .await
            .refused(400, "INVALID_FIELD_VALUE");
    }
    world.get("/api/v1/ves/events").await.refused(400, "MISSING_REQUIRED_FIELD");
    world
        .get(&format!("/api/v1/ves/events?tenant_id={}", stream_key.tenant_id))
        .await
        .refused(400, "MISSING_REQUIRED_FIELD");
}

#[tokio::test]
async fn one_event_is_read_by_its_id() {
    let (world, agent, stream_key, events) = with_events(3).await;
    let path = format!("/api/v1/ves/events/{}", events[1].event_id);
    let answer = world.get(&format!("{path}?{}", query(&stream_key))).await;
    let entry: EventEntry<'_> = serde_json::from_str(answer.text()).expect("an entry");
    assert_eq!(
        ves::envelope::decode_text(entry.envelope.get(), Format::Strict).expect("an envelope"),
        events[1]
    );
    assert_eq!(entry.receipt.expect("a receipt").sequence_number.0, 2);

    world.get(&path).await.refused(400, "MISSING_REQUIRED_FIELD");
    let key = world.mint(&agent, json!({})).await;
    world.call(Some(&key), "GET", &path, "").await.ok();
    // The same id in another store of the tenant: then the store has to be named.
    let other = StreamKey { store_id: stream(2).store_id, ..stream_key };
    let mut twin = plain_event(&agent, &other, 9);
    twin.event_id = events[1].event_id;
    world.ingest(&agent, &[stateset_fixtures::resign(twin, &agent)]).await;
    assert!(
        world
            .call(Some(&key), "GET", &path, "")
            .await
            .refused(400, "MISSING_REQUIRED_FIELD")
            .contains("store_id")
    );
    world.call(Some(&key), "GET", &format!("{path}?store_id={}", other.store_id), "").await.ok();
    world
        .get(&format!("/api/v1/ves/events/nothing?{}", query(&stream_key)))
        .await
        .refused(400, "INVALID_FIELD_VALUE");
    let unknown = format!("/api/v1/ves/events/{}?{}", stream_key.store_id, query(&stream_key));
    world.get(&unknown).await.refused(404, "EVENT_NOT_FOUND");
}

#[tokio::test]
async fn commitments_chain_and_every_event_proves_its_place() {
    let (world, _, stream_key, events) = with_events(7).await;
    let first: CommitmentBody = read(commit(&world, &stream_key, 1, 5).await.ok());
    assert_eq!(
        read::<CommitmentBody>(commit(&world, &stream_key, 1, 5).await.ok()),
        first,
        "asking again gives it again"
    );
    commit(&world, &stream_key, 1, 6).await.refused(409, "ALREADY_EXISTS");
    commit(&world, &stream_key, 7, 7).await.refused(400, "INVALID_FIELD_VALUE");
    commit(&world, &stream_key, 6, 9).await.refused(400, "INVALID_FIELD_VALUE");
    commit(&world, &stream_key, 6, 5).await.refused(400, "INVALID_FIELD_VALUE");
    let second: CommitmentBody = read(commit(&world, &stream_key, 6, 7).await.ok());
    let (one, two) = (Commitment::from(&first), Commitment::from(&second));
    one.check().expect("is true to itself");
    one.follows(None).expect("is the first");
    two.follows(Some(&one)).expect("continues the first");

    let listed = world.get(&format!("/api/v1/ves/commitments?{}", query(&stream_key))).await.ok();
    assert_eq!((&listed["count"], &listed["commitments"][1]["is_anchored"]), (&json!(2), &json!(false)));
    let later =
        world.get(&format!("/api/v1/ves/commitments?{}&from=6&limit=1", query(&stream_key))).await.ok();
    assert_eq!(later["commitments"][0]["batch_id"], second.batch_id.to_string());
    let anchored =
        world.get(&format!("/api/v1/ves/commitments?{}&anchored=true", query(&stream_key))).await.ok();
    assert_eq!(anchored["count"], 0);
    let one_read: CommitmentBody =
        read(world.get(&format!("/api/v1/ves/commitments/{}", second.batch_id)).await.ok());
    assert_eq!(Commitment::from(&one_read), two);
    world
        .get(&format!("/api/v1/ves/commitments/{}", stream_key.store_id))
        .await
        .refused(404, "BATCH_NOT_FOUND");

    for (i, event) in events.iter().enumerate() {
        let (n, batch) = (i as u64 + 1, if i < 5 { &first } else { &second });
        let path = format!("/api/v1/ves/proofs/{n}?{}&batch_id={}", query(&stream_key), batch.batch_id);
        let body: InclusionProofBody = read(world.get(&path).await.ok());
        let leaf =
            leaf_hash(&stream_key, ves::SequenceNumber(n), &event.signing_hash(), &event.agent_signature);
        let proof = InclusionProof { leaf_index: body.leaf_index, path: body.proof_path.clone() };
        assert_eq!((body.leaf_hash, body.merkle_root), (leaf, batch.merkle_root));
        verify_inclusion(&leaf, &batch.merkle_root, Some(batch.leaf_count.into()), &proof)
            .expect("the proof verifies");
        let mut claim = json!({"leaf_hash": leaf, "merkle_root": batch.merkle_root, "proof_path": body.proof_path, "leaf_index": body.leaf_index});
        assert_eq!(world.post("/api/v1/ves/proofs/verify", &claim).await.ok()["valid"], true);
        claim["leaf_hash"] = json!(Digest([3; 32]));
        assert_eq!(world.post("/api/v1/ves/proofs/verify", &claim).await.ok()["valid"], false);
    }
}

#[tokio::test]
async fn a_proof_that_can_not_be_has_a_reason() {
    let (world, agent, stream_key, _) = with_events(3).await;
    let batch: CommitmentBody = read(commit(&world, &stream_key, 1, 2).await.ok());
    let path = |n: &str, stream: &StreamKey, batch: &str| {
        format!("/api/v1/ves/proofs/{n}?{}&batch_id={batch}", query(stream))
    };
    let id = batch.batch_id.to_string();
    world.get(&path("3", &stream_key, &id)).await.refused(400, "INVALID_FIELD_VALUE");
    world.get(&path("0", &stream_key, &id)).await.refused(400, "INVALID_FIELD_VALUE");
    world.get(&path("x", &stream_key, &id)).await.refused(400, "INVALID_FIELD_VALUE");
    world.get(&path("1", &stream_key, &agent.agent_id.to_string())).await.refused(404, "BATCH_NOT_FOUND");
    let other_store = StreamKey { store_id: StoreId::from_bytes([9; 16]), ..stream_key };
    world.get(&path("1", &other_store, &id)).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    // In another tenant the batch does not exist.
    world.get(&path("1", &stream(2), &id)).await.refused(404, "BATCH_NOT_FOUND");
    world
        .get(&format!("/api/v1/ves/proofs/1?{}", query(&stream_key)))
        .await
        .refused(400, "MISSING_REQUIRED_FIELD");
    let hash = Digest([1; 32]);
    let long = json!({"leaf_hash": hash, "merkle_root": hash, "proof_path": vec![hash; 65], "leaf_index": 0});
    assert!(
        world
            .post("/api/v1/ves/proofs/verify", long)
            .await
            .refused(400, "INVALID_FIELD_VALUE")
            .contains("proof_path")
    );
    let bent = json!({"leaf_hash": "12", "merkle_root": hash, "proof_path": [], "leaf_index": 0});
    assert!(
        world
            .post("/api/v1/ves/proofs/verify", bent)
            .await
            .refused(400, "INVALID_FIELD_VALUE")
            .contains("leaf_hash")
    );
}

#[tokio::test]
async fn checkpoints_are_signed_and_consistent() {
    let (world, _, stream_key, _) = with_events(7).await;
    let checkpoint = |size: &str| format!("/api/v1/ves/checkpoint?{}{size}", query(&stream_key));
    world.get(&checkpoint("")).await.refused(404, "RESOURCE_NOT_FOUND");
    commit(&world, &stream_key, 1, 3).await.ok();
    commit(&world, &stream_key, 4, 7).await.ok();
    world.get(&checkpoint("&size=5")).await.refused(404, "RESOURCE_NOT_FOUND");
    let mut roots = Vec::new();
    for (size, text) in [(3, checkpoint("&size=3")), (7, checkpoint(""))] {
        let answer = world.get(&text).await;
        assert!(answer.status.is_success() && answer.header("content-type").starts_with("text/plain"));
        let note = SignedCheckpoint::parse(answer.text()).expect("a signed note");
        let checked =
            note.verify(&world.sequencer.sequencer_id(), &sequencer()).expect("its signature verifies");
        assert_eq!(checked.size, size);
        roots.push(checked.root);
    }
    let consistency = |range: &str| format!("/api/v1/ves/consistency?{}&{range}", query(&stream_key));
    let proof: ConsistencyBody = read(world.get(&consistency("from=3&to=7")).await.ok());
    assert_eq!([proof.from_root, proof.to_root], roots[..]);
    verify_consistency(3, 7, &proof.from_root, &proof.to_root, &proof.hashes).expect("the log only grew");
    for outside in ["from=0&to=7", "from=4&to=3", "from=1&to=8"] {
        world.get(&consistency(outside)).await.refused(400, "INVALID_FIELD_VALUE");
    }
}

#[tokio::test]
async fn the_head_tells_the_newest_commitment() {
    let (world, _, stream_key, _) = with_events(3).await;
    let path = format!("/api/v1/ves/head?{}", query(&stream_key));
    let head: HeadBody = read(world.get(&path).await.ok());
    assert_eq!((head.head_sequence.0, head.state_root, head.latest_commitment), (3, Digest::ZERO, None));
    let batch: CommitmentBody = read(commit(&world, &stream_key, 1, 2).await.ok());
    let head: HeadBody = read(world.get(&path).await.ok());
    let latest = head.latest_commitment.expect("a commitment");
    assert_eq!((head.state_root, latest.batch_id), (batch.new_state_root, batch.batch_id));
    assert_eq!(latest.sequence_end, Some(batch.sequence_end));
}
