//! A state that is prepared and not yet in the file is read, proven and built on as if it were.

use stateset_ledger_store::{RecordBatch, StoreError, Substore, Writes};

use crate::proofs::accepts;
use crate::support::{Model, Random, begun, commit, follow, random_writes};

/// All keys of a substore but the first one, which every substore holds.
fn held(model: &Model, substore: Substore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let of_it = model.iter().filter(|((at, _), _)| *at == substore);
    of_it.map(|((_, key), value)| (key.clone(), value.clone())).collect()
}

#[test]
fn states_ahead_of_the_file_are_those_that_it_will_hold() {
    for seed in 0..20 {
        let (mut random, mut model) = (Random(seed), Model::new());
        let (plain, store) = (begun(), begun());
        let mut before = None;
        for height in 1..=15 {
            let writes = random_writes(&mut random, &model, 1 + seed * 9);
            follow(&mut model, &writes);
            let prepared = match &before {
                None => store.prepare(height, &writes),
                Some(before) => store.prepare_on(before, height, &writes),
            };
            let prepared = prepared.expect("writes are valid");
            assert_eq!(prepared.app_hash(), commit(&plain, height, &writes), "seed {seed}, height {height}");
            let expected = plain.view().expect("the state");
            // The view's file may be a block behind, or not: what it tells is the same.
            for _ in 0..2 {
                if let Some(before) = before.take() {
                    assert!(matches!(store.view_on(&prepared), Err(StoreError::OutOfOrder { .. })));
                    store.commit(before, RecordBatch::default()).expect("memory");
                }
                let view = store.view_on(&prepared).expect("the state ahead");
                assert_eq!((view.height(), view.app_hash()), (height, prepared.app_hash()));
                assert_eq!(
                    view.verify().expect("whole"),
                    expected.verify().expect("whole"),
                    "seed {seed}, height {height}"
                );
                for substore in Substore::ALL.iter().copied() {
                    let rows = view.range(substore, b"a", b"z", usize::MAX).expect("rows");
                    assert_eq!(rows, held(&model, substore), "seed {seed}, height {height}");
                    for ((_, key), value) in model.iter().filter(|((at, _), _)| *at == substore) {
                        assert_eq!(view.get(substore, key).expect("memory").as_ref(), Some(value));
                    }
                    let few = random.below(4) as usize;
                    let some = view.range(substore, b"k/1", b"k/9", few).expect("rows");
                    assert_eq!(some, expected.range(substore, b"k/1", b"k/9", few).expect("rows"));
                }
                for place in writes.keys().take(8) {
                    let proof = view.prove(place.0, &place.1).expect("a proof");
                    assert_eq!(proof.value.as_ref(), model.get(place));
                    assert!(accepts(&proof, &view.app_hash()));
                }
                if random.below(2) == 0 || store.latest().expect("a number") == Some(height) {
                    break;
                }
                store.commit(prepared.clone(), RecordBatch::default()).expect("memory");
            }
            before = (store.latest().expect("a number") != Some(height)).then_some(prepared);
        }
    }
}

#[test]
fn a_state_that_does_not_follow_is_not_built_on() {
    let store = begun();
    let write = |value: u8| Writes::from([((Substore::Bank, b"k".to_vec()), Some(vec![value]))]);
    let first = store.prepare(1, &write(1)).expect("valid");
    let other = store.prepare(1, &write(2)).expect("valid");
    assert!(matches!(store.prepare_on(&first, 3, &write(3)), Err(StoreError::OutOfOrder { .. })));
    let second = store.prepare_on(&other, 2, &write(3)).expect("valid");
    store.commit(first, RecordBatch::default()).expect("memory");
    // It was built on a block that was not stored in the end.
    assert!(matches!(
        store.commit(second, RecordBatch::default()),
        Err(StoreError::OutOfOrder { height: 2, .. })
    ));
    assert_eq!(store.view().expect("the state").get(Substore::Bank, b"k").expect("memory"), Some(vec![1]));
}
