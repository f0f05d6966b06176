//! Proofs are judged by the `ics23` crate and its own host functions alone.

use ics23::HostFunctionsManager;
use prost::Message;
use stateset_ledger_store::{RecordBatch, StateProof, StoreError, Substore, Writes, tree_spec};

use crate::support::{Model, Random, begun, commit, follow, random_writes};

/// The two levels, as an IBC client checks them: the key under the substore's root, that root under the app hash.
pub fn accepts(proof: &StateProof, app_hash: &[u8; 32]) -> bool {
    let spec = tree_spec();
    // Through bytes, as a stranger gets it.
    let [key_proof, substore_proof] =
        proof.encoded().map(|bytes| ics23::CommitmentProof::decode(bytes.as_slice()).expect("our own bytes"));
    let Ok(root) = ics23::calculate_existence_root::<HostFunctionsManager>(match &substore_proof.proof {
        Some(ics23::commitment_proof::Proof::Exist(exist)) => exist,
        _ => return false,
    }) else {
        return false;
    };
    let substore_root = match &substore_proof.proof {
        Some(ics23::commitment_proof::Proof::Exist(exist)) => exist.value.clone(),
        _ => return false,
    };
    let in_substore = match &proof.value {
        Some(value) => ics23::verify_membership::<HostFunctionsManager>(
            &key_proof,
            &spec,
            &substore_root,
            &proof.key,
            value,
        ),
        None => ics23::verify_non_membership::<HostFunctionsManager>(
            &key_proof,
            &spec,
            &substore_root,
            &proof.key,
        ),
    };
    let name = proof.substore.name().as_bytes();
    root == app_hash
        && in_substore
        && ics23::verify_membership::<HostFunctionsManager>(
            &substore_proof,
            &spec,
            &app_hash.to_vec(),
            name,
            &substore_root,
        )
}

/// Random blocks; at each height a sample of present and absent keys is proven, and each proof is refused once altered.
#[test]
fn thousands_of_random_proofs_hold_and_fail_when_altered() {
    let (mut held, mut proofs) = (0, 0);
    for seed in 0..12 {
        let mut random = Random(seed);
        let mut model = Model::new();
        let store = begun();
        for height in 1..=12 {
            let size = random.below(60) + 1;
            let writes = random_writes(&mut random, &model, size);
            follow(&mut model, &writes);
            let app_hash = commit(&store, height, &writes);
            let view = store.view().expect("the newest state");
            assert_eq!(view.verify().expect("a whole state"), model.len() as u64 + 13, "seed {seed}");
            let present = model.keys().cloned();
            let absent = (0..12).map(|n| (Substore::ALL[n % 13], random.next().to_be_bytes().to_vec()));
            let places: Vec<_> =
                present.step_by(1 + model.len() / 12).chain(absent.collect::<Vec<_>>()).collect();
            for (substore, key) in places {
                let proof = view.prove(substore, &key).expect("a proof");
                assert_eq!(proof.value.as_ref(), model.get(&(substore, key.clone())), "seed {seed}");
                assert!(accepts(&proof, &app_hash), "seed {seed}, height {height}, {substore}");
                held += usize::from(proof.value.is_some());
                proofs += 1;
                refuses_alterations(&proof, &app_hash);
            }
        }
    }
    assert!(proofs >= 2_000 && held >= 500, "{proofs} proofs, {held} of presence");
}

fn refuses_alterations(proof: &StateProof, app_hash: &[u8; 32]) {
    let altered = |change: &dyn Fn(&mut StateProof)| {
        let mut other = proof.clone();
        change(&mut other);
        !accepts(&other, app_hash)
    };
    match &proof.key_proof.proof {
        Some(ics23::commitment_proof::Proof::Nonexist(absence)) => {
            // Absence covers all keys between the neighbours, but not the neighbours.
            for neighbour in absence.left.iter().chain(&absence.right) {
                assert!(altered(&|proof| proof.key.clone_from(&neighbour.key)), "a key that is there");
            }
        }
        _ => assert!(altered(&|proof| proof.key.push(0)), "another key"),
    }
    assert!(
        altered(&|proof| proof.value = Some(b"another value, longer than any".to_vec())),
        "another value"
    );
    assert!(altered(&|proof| proof.value = proof.value.take().xor(Some(vec![1]))), "absence for presence");
    let elsewhere = if proof.substore == Substore::Settle { Substore::Bank } else { Substore::Settle };
    assert!(altered(&|proof| proof.substore = elsewhere), "another substore");
    assert!(
        altered(&|proof| std::mem::swap(&mut proof.key_proof, &mut proof.substore_proof)),
        "reversed order"
    );
    let mut other = *app_hash;
    other[31] ^= 1;
    assert!(!accepts(proof, &other), "another app hash");
}

/// The proof of one height does not fit another, unless nothing changed between them.
#[test]
fn a_proof_fits_the_app_hash_of_its_height_alone() {
    let store = begun();
    let put = |value: &str| Writes::from([((Substore::Notary, b"tx/01".to_vec()), Some(value.into()))]);
    let first = commit(&store, 1, &put("one"));
    let second = commit(&store, 2, &put("two"));
    let idle = commit(&store, 3, &put("two"));
    assert_ne!(first, second);
    assert_eq!(second, idle, "a write that changes nothing leaves the app hash as it was");
    let at =
        |height| store.view_at(height).expect("kept").prove(Substore::Notary, b"tx/01").expect("a proof");
    assert_eq!(at(1).value.as_deref(), Some(&b"one"[..]));
    assert!(accepts(&at(1), &first) && !accepts(&at(1), &second) && !accepts(&at(2), &first));
    assert!(accepts(&at(3), &second));
}

/// The same state has the same app hash, whatever way led to it.
#[test]
fn the_app_hash_depends_on_the_state_alone() {
    let mut random = Random(77);
    let (mut model, slow) = (Model::new(), begun());
    let mut app_hash = [0; 32];
    for height in 1..=40 {
        let writes = random_writes(&mut random, &model, 25);
        follow(&mut model, &writes);
        app_hash = commit(&slow, height, &writes);
    }
    let at_once: Writes = model.into_iter().map(|(place, value)| (place, Some(value))).collect();
    assert_eq!(commit(&begun(), 1, &at_once), app_hash);
}

#[test]
fn what_breaks_proofs_is_refused() {
    let store = begun();
    let put = |key: &[u8], value: &[u8]| {
        store.prepare(1, &Writes::from([((Substore::Bank, key.to_vec()), Some(value.to_vec()))]))
    };
    assert!(matches!(put(b"", b"x"), Err(StoreError::EmptyKey { substore: Substore::Bank })));
    assert!(matches!(put(b"k", b""), Err(StoreError::EmptyValue { .. })));
    assert!(matches!(put(&[b'k'; 5_000], b"x"), Err(StoreError::KeyTooLong { length: 5_000, .. })));
    assert!(matches!(put(b"_", b"x"), Err(StoreError::FixedKey { .. })));
    let delete = Writes::from([((Substore::Bank, b"_".to_vec()), None)]);
    assert!(matches!(store.prepare(1, &delete), Err(StoreError::FixedKey { .. })));
    for height in [0, 2, 9] {
        let refused = store.prepare(height, &Writes::new());
        assert!(matches!(refused, Err(StoreError::OutOfOrder { expected: 1, .. })), "height {height}");
    }
    assert!(matches!(store.view_at(1).err(), Some(StoreError::Future { height: 1, latest: 0 })));
    assert!(matches!(store.prepare_genesis(0, &Writes::new()), Err(StoreError::GenesisExists { height: 0 })));
}

/// Two states prepared on the same one: only the first is written.
#[test]
fn a_state_prepared_on_another_is_not_committed() {
    let store = begun();
    let put = |value: &str| Writes::from([((Substore::Gov, b"params".to_vec()), Some(value.into()))]);
    let first = store.prepare(1, &put("a")).expect("valid");
    let second = store.prepare(1, &put("b")).expect("valid");
    store.commit(first, RecordBatch::default()).expect("the first");
    assert!(matches!(store.commit(second, RecordBatch::default()), Err(StoreError::OutOfOrder { .. })));
}

/// Ranges see the rows of their height, in order of keys, without deleted ones.
#[test]
fn ranges_show_one_height() {
    let store = begun();
    let key = |n: u32| format!("queue/{n:04}").into_bytes();
    let writes = (0..100).map(|n| ((Substore::Gov, key(n)), Some(vec![1]))).collect();
    commit(&store, 1, &writes);
    let writes =
        (0..100).step_by(2).map(|n| ((Substore::Gov, key(n)), (n % 4 == 0).then(|| vec![2]))).collect();
    commit(&store, 2, &writes);
    let range = |height, limit| {
        let view = store.view_at(height).expect("kept");
        view.range(Substore::Gov, b"queue/0010", b"queue/0020", limit).expect("a range")
    };
    assert_eq!(range(1, 500), (10..20).map(|n| (key(n), vec![1])).collect::<Vec<_>>());
    let left = [(11, 1), (12, 2), (13, 1), (15, 1), (16, 2), (17, 1), (19, 1)];
    assert_eq!(range(2, 500), left.map(|(n, v)| (key(n), vec![v])).to_vec());
    assert_eq!(range(2, 3), left[..3].iter().map(|&(n, v)| (key(n), vec![v])).collect::<Vec<_>>());
    assert!(range(2, 0).is_empty());
}

/// After pruning, kept heights are still read and proven; older ones are refused by height.
#[test]
fn pruned_heights_are_refused_and_kept_ones_proven() {
    let mut random = Random(5);
    let (mut model, store) = (Model::new(), begun());
    let mut after = vec![(store.view().expect("genesis").app_hash(), Model::new())];
    for height in 1..=30 {
        let writes = random_writes(&mut random, &model, if height % 5 == 0 { 0 } else { 30 });
        follow(&mut model, &writes);
        after.push((commit(&store, height, &writes), model.clone()));
    }
    assert!(matches!(store.prune(31, 10), Err(StoreError::Future { .. })));
    // In small steps, and never further than each step got.
    while store.kept_from().expect("a number") < 20 {
        assert!(store.prune(20, 3).expect("pruning") > 0 || store.kept_from().expect("a number") == 20);
    }
    assert!(matches!(store.view_at(19).err(), Some(StoreError::Pruned { height: 19, kept_from: 20 })));
    for height in 20..=30 {
        let (app_hash, model) = &after[height as usize];
        let view = store.view_at(height).expect("kept");
        assert_eq!(view.verify().expect("whole"), model.len() as u64 + 13);
        for ((substore, key), value) in model {
            let proof = view.prove(*substore, key).expect("a proof");
            assert_eq!(proof.value.as_ref(), Some(value));
            assert!(accepts(&proof, app_hash));
        }
        assert!(accepts(&view.prove(Substore::Ibc, b"clients/none").expect("a proof"), app_hash));
    }
    // The chain goes on from a pruned store as from an unpruned one.
    let writes = random_writes(&mut random, &model, 30);
    follow(&mut model, &writes);
    let app_hash = commit(&store, 31, &writes);
    let all: Writes = model.into_iter().map(|(place, value)| (place, Some(value))).collect();
    assert_eq!(commit(&begun(), 1, &all), app_hash);
}
