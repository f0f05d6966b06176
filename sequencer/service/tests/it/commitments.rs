use stateset_sequencer::{CommitFailure, CommitPolicy, ErrorKind};
use ves::checkpoint::SignedCheckpoint;
use ves::commitment::Commitment;
use ves::ed25519::PublicKey;
use ves::{SequenceNumber, StreamKey, log, merkle};

use crate::world::World;

const LARGE: CommitPolicy = CommitPolicy { events_max: 1024, age_ms_max: 60_000 };

async fn commitments(world: &World) -> Vec<Commitment> {
    world.sequencer.commitments(&world.stream, SequenceNumber(1), 100).await.unwrap()
}

/// Waits until the writer has made `n` batches: they are made after the answer to the events.
async fn wait_for(world: &World, n: usize) -> Vec<Commitment> {
    for _ in 0..500 {
        let made = commitments(world).await;
        if made.len() >= n {
            return made;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{n} batches were not made in time");
}

#[tokio::test]
async fn batches_close_by_size_and_chain() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    world.ingest_range(0, 21).await;
    let made = wait_for(&world, 2).await;
    assert_eq!(made.iter().map(|c| c.sequence_end.0).collect::<Vec<_>>(), [8, 16]);
    made[0].follows(None).unwrap();
    made[1].follows(Some(&made[0])).unwrap();
    assert_eq!(world.sequencer.head(&world.stream).state_root, made[1].new_state_root);
    world.close().await;
}

#[tokio::test]
async fn batches_close_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open_with(dir.path(), LARGE).await;
    world.ingest_range(0, 3).await;
    assert!(commitments(&world).await.is_empty());
    world.clock.advance_ms(60_001);
    let made = wait_for(&world, 1).await;
    assert_eq!((made[0].sequence_start.0, made[0].sequence_end.0), (1, 3));
    world.close().await;
}

#[tokio::test]
async fn a_clock_set_back_a_day_does_not_hold_a_batch_for_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open_with(dir.path(), LARGE).await;
    world.ingest_range(0, 3).await;
    world.clock.advance_ms(-86_400_000);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(commitments(&world).await.is_empty());
    world.clock.advance_ms(60_001);
    assert_eq!(wait_for(&world, 1).await[0].sequence_end.0, 3);
    world.close().await;
}

#[tokio::test]
async fn a_thousand_idle_streams_are_committed_by_age_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open_with(dir.path(), LARGE).await;
    let streams: Vec<StreamKey> = (0..1_000u32)
        .map(|n| StreamKey { store_id: ves::StoreId(uuid::Uuid::from_u128(n.into())), ..world.stream })
        .collect();
    let ingests = streams.iter().enumerate().map(|(n, stream)| {
        let (sequencer, stream) = (world.sequencer.clone(), *stream);
        let event = stateset_fixtures::plain_event(&world.agent, &stream, n as u64);
        tokio::spawn(async move { sequencer.ingest(stream, vec![Ok(event)]).await.unwrap() })
    });
    for ingest in ingests.collect::<Vec<_>>() {
        ingest.await.unwrap();
    }
    world.close().await;
    // Nobody writes to them any more: the next term closes their batches.
    let world = World::open_with(dir.path(), LARGE).await;
    world.clock.advance_ms(60_001);
    let mut pending = 0;
    for _ in 0..1_000 {
        pending = world.sequencer.pending_anchors(None, 5_000).await.unwrap().len();
        if pending == streams.len() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(pending, streams.len(), "each stream's batch waits for its anchor");
    for stream in &streams {
        assert_eq!(world.sequencer.head(stream).latest_commitment.unwrap().sequence_end.0, 1);
    }
    world.close().await;
}

#[tokio::test]
async fn a_callers_range_is_honoured_once_and_gaps_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open_with(dir.path(), LARGE).await;
    world.ingest_range(0, 10).await;
    let commit =
        |start, end| world.sequencer.commit(&world.stream, SequenceNumber(start), SequenceNumber(end));
    let kind = |failure: Result<Commitment, CommitFailure>| failure.unwrap_err().kind();
    assert_eq!(kind(commit(2, 5).await), ErrorKind::Invalid);
    let first = commit(1, 4).await.unwrap();
    assert_eq!(commit(1, 4).await.unwrap(), first);
    assert_eq!(kind(commit(1, 5).await), ErrorKind::Conflict);
    assert_eq!(kind(commit(6, 7).await), ErrorKind::Invalid);
    assert_eq!(kind(commit(5, 11).await), ErrorKind::Invalid);
    let second = commit(5, 10).await.unwrap();
    second.follows(Some(&first)).unwrap();
    world.close().await;
}

#[tokio::test]
async fn every_event_of_a_batch_has_a_proof_that_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open_with(dir.path(), LARGE).await;
    for (start, end) in [(1, 1), (2, 4), (5, 75)] {
        world.ingest_range(start - 1, end).await;
        let batch =
            world.sequencer.commit(&world.stream, SequenceNumber(start), SequenceNumber(end)).await.unwrap();
        for n in start..=end {
            let proof = world
                .sequencer
                .inclusion_proof(&world.stream, &batch.batch_id, SequenceNumber(n))
                .await
                .unwrap();
            let event = world.event(n - 1);
            let leaf = merkle::leaf_hash(
                &world.stream,
                SequenceNumber(n),
                &event.signing_hash(),
                &event.agent_signature,
            );
            assert_eq!(leaf, proof.leaf_hash);
            merkle::verify_inclusion(
                &leaf,
                &batch.merkle_root,
                Some(u64::from(batch.leaf_count)),
                &proof.proof,
            )
            .unwrap();
        }
        let outside =
            world.sequencer.inclusion_proof(&world.stream, &batch.batch_id, SequenceNumber(end + 1)).await;
        assert_eq!(outside.unwrap_err().kind(), ErrorKind::Invalid);
    }
    world.close().await;
}

#[tokio::test]
async fn checkpoints_are_signed_and_consistent_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoints = Vec::new();
    for round in 0..3 {
        let world = World::open(dir.path()).await;
        world.ingest_range(round * 40, round * 40 + 40).await;
        wait_for(&world, (round as usize + 1) * 5).await;
        let text = world.sequencer.checkpoint(&world.stream, None).await.unwrap().expect("a batch was made");
        checkpoints.push(verified(&world, &text));
        world.close().await;
    }
    let world = World::open(dir.path()).await;
    for pair in checkpoints.windows(2) {
        let proof = world.sequencer.consistency(&world.stream, pair[0].size, pair[1].size).await.unwrap();
        assert_eq!((proof.from_root, proof.to_root), (pair[0].root, pair[1].root));
        log::verify_consistency(proof.from, proof.to, &proof.from_root, &proof.to_root, &proof.hashes)
            .unwrap();
    }
    assert!(world.sequencer.consistency(&world.stream, 1, 121).await.is_err());
    let last = &checkpoints[2];
    for n in [1, 32, 33, 77, last.size] {
        let proof = world.sequencer.log_proof(&world.stream, SequenceNumber(n), last.size).await.unwrap();
        assert_eq!(proof.root, last.root);
        log::verify_log_inclusion(&proof.leaf_hash, n - 1, last.size, &last.root, &proof.hashes).unwrap();
    }
    for (n, size) in [(0, 5), (6, 5), (1, 121)] {
        assert!(world.sequencer.log_proof(&world.stream, SequenceNumber(n), size).await.is_err());
    }
    world.close().await;
}

fn verified(world: &World, text: &str) -> ves::checkpoint::Checkpoint {
    let key = PublicKey::from_bytes(&world.sequencer.public_key()).unwrap();
    let signed = SignedCheckpoint::parse(text).unwrap();
    signed.verify(&world.sequencer.sequencer_id(), &key).unwrap().clone()
}

#[tokio::test]
async fn a_proof_is_refused_to_another_stream() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    world.ingest_range(0, 8).await;
    let batch = wait_for(&world, 1).await.remove(0);
    let other = StreamKey { store_id: ves::StoreId::from_bytes([9; 16]), ..world.stream };
    let refused = world.sequencer.inclusion_proof(&other, &batch.batch_id, SequenceNumber(1)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Forbidden);
    world.close().await;
}

#[tokio::test]
async fn many_streams_due_at_once_are_all_committed_while_events_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open_with(dir.path(), LARGE).await;
    let streams: Vec<StreamKey> =
        (0..60).map(|n| StreamKey { store_id: ves::StoreId::from_bytes([n; 16]), ..world.stream }).collect();
    for (n, stream) in streams.iter().enumerate() {
        let event = stateset_fixtures::plain_event(&world.agent, stream, n as u64);
        world.sequencer.ingest(*stream, vec![Ok(event)]).await.unwrap();
    }
    world.clock.advance_ms(60_001);
    world.ingest_range(0, 1).await;
    for _ in 0..500 {
        if streams.iter().all(|stream| world.sequencer.head(stream).latest_commitment.is_some()) {
            return world.close().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("some streams were never committed");
}
