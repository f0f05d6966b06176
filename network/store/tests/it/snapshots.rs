//! Snapshots restore the same app hash, or are refused.

use stateset_ledger_store::{RecordBatch, SnapshotMetadata, Store, StoreError, Substore, Writes};

use crate::support::{Model, Random, begun, commit, follow, random_writes};

fn snapshot(store: &Store, height: u64) -> (SnapshotMetadata, Vec<Vec<u8>>) {
    let mut chunks = Vec::new();
    let view = store.view_at(height).expect("kept");
    let metadata = view.snapshot(|chunk| {
        chunks.push(chunk);
        Ok(())
    });
    (metadata.expect("a snapshot"), chunks)
}

/// A state of several chunks: large values, since chunks hold 8 MiB.
fn large_state() -> (Store, Model) {
    let (mut random, mut model, store) = (Random(3), Model::new(), begun());
    for height in 1..=6 {
        let mut writes = random_writes(&mut random, &model, 50);
        for n in 0..6 {
            let substore = Substore::ALL[random.below(13) as usize];
            writes.insert((substore, format!("big/{height}/{n}").into()), Some(vec![height as u8; 1 << 20]));
        }
        follow(&mut model, &writes);
        commit(&store, height, &writes);
    }
    (store, model)
}

#[test]
fn a_restored_state_has_the_same_app_hash_and_goes_on_alike() {
    let (store, model) = large_state();
    let (metadata, chunks) = snapshot(&store, 5);
    assert!(chunks.len() >= 3, "{} chunks", chunks.len());
    assert!(chunks.iter().all(|chunk| chunk.len() <= 8 << 20));
    assert_eq!(SnapshotMetadata::from_bytes(&metadata.to_bytes()).expect("its own bytes"), metadata);

    let restored = Store::in_memory().expect("memory");
    let mut restore = restored.restore(metadata.clone()).expect("an empty store");
    for chunk in &chunks {
        restore.chunk(chunk).expect("a chunk");
    }
    restore.finish(RecordBatch::default()).expect("the same app hash");
    assert_eq!((restored.latest().expect("a number"), restored.kept_from().expect("a number")), (Some(5), 5));
    let view = restored.view().expect("the state");
    assert_eq!(view.app_hash(), metadata.app_hash);
    view.verify().expect("whole");
    // Another snapshot of it is the same, byte for byte.
    assert_eq!(snapshot(&restored, 5), (metadata, chunks));

    let next = Writes::from([((Substore::Bank, b"bal/a/eur".to_vec()), Some(b"5".to_vec()))]);
    let original = commit(&store, 7, &next);
    let sixth: Writes = model.into_iter().map(|(place, value)| (place, Some(value))).collect();
    let mut sixth = sixth;
    for (place, _) in random_deleted(&store) {
        sixth.entry(place).or_insert(None);
    }
    commit(&restored, 6, &sixth);
    assert_eq!(commit(&restored, 7, &next), original);
}

/// Small keys of height 5 that may be gone at height 6.
fn random_deleted(store: &Store) -> Model {
    let view = store.view_at(5).expect("kept");
    let rows = |substore| view.range(substore, b"k/", b"tx0", usize::MAX).expect("a range");
    Substore::ALL
        .iter()
        .flat_map(|&s| rows(s).into_iter().map(move |(key, value)| ((s, key), value)))
        .collect()
}

#[test]
fn wrong_chunks_are_refused_and_right_ones_still_taken() {
    let (store, _) = large_state();
    let (metadata, chunks) = snapshot(&store, 6);
    let restored = Store::in_memory().expect("memory");
    let mut restore = restored.restore(metadata.clone()).expect("an empty store");
    let mut altered = chunks[0].clone();
    *altered.last_mut().expect("bytes") ^= 1;
    assert!(matches!(restore.chunk(&altered), Err(StoreError::Snapshot(_))));
    assert!(matches!(restore.chunk(&chunks[1]), Err(StoreError::Snapshot(_))), "out of turn");
    restore.chunk(&chunks[0]).expect("the right one");
    assert!(restore.finish(RecordBatch::default()).is_err(), "chunks are missing");
    // Half a state is not a state.
    assert!(restored.view().is_err());
    assert!(matches!(restored.restore(metadata.clone()).err(), Some(StoreError::HalfRestored(_))));

    for bytes in [&metadata.to_bytes()[1..], &metadata.to_bytes()[..60], &[]] {
        assert!(SnapshotMetadata::from_bytes(bytes).is_err());
    }
}

/// Chunks that hash as the metadata says, but whose rows have another app hash than it says.
#[test]
fn a_snapshot_of_another_state_is_refused() {
    let (store, _) = large_state();
    let (mut metadata, chunks) = snapshot(&store, 6);
    metadata.app_hash[0] ^= 1;
    let restored = Store::in_memory().expect("memory");
    let mut restore = restored.restore(metadata).expect("an empty store");
    for chunk in &chunks {
        restore.chunk(chunk).expect("its hash is right");
    }
    assert!(matches!(restore.finish(RecordBatch::default()), Err(StoreError::Snapshot(_))));
}
