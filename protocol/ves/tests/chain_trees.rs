//! Writes `testing/vectors/chain_trees.json`, by which the contracts of `chain/contracts` are tested: trees of every size
//! up to 1,025 leaves, and paths in them. `UPDATE_GOLDEN=1` takes a change over.

#[path = "chain/cases.rs"]
mod cases;

use cases::Case;
use serde_json::{Value, json};
use ves::Digest;
use ves::aggregate::{AggregateTree, BatchHeader};
use ves::hash::Hasher;
use ves::merkle::{pad_leaf, verify_inclusion};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testing/vectors/chain_trees.json");
const SIZES_MAX: u32 = 1025;
/// Trees up to this size have the path of every leaf in the file.
const EVERY_INDEX_MAX: u32 = 17;
/// Sizes on both sides of a power of two, and one between.
const LARGE: &[u32] =
    &[31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1000, 1023, 1024, 1025];
const AGGREGATED: &[u32] = &[1, 2, 3, 5, 8, 50];

#[test]
fn the_vectors_of_the_contracts_are_what_this_crate_computes() {
    let computed = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(FILE, &computed).unwrap();
    }
    let written = std::fs::read_to_string(FILE).expect("testing/vectors/chain_trees.json");
    assert!(written == computed, "run UPDATE_GOLDEN=1 cargo test -p ves --test chain_trees");
}

fn vectors() -> Value {
    let seed = Hasher::bare().bytes(b"chain_trees").finish();
    let all: Vec<Case> = (1..=SIZES_MAX).map(|count| Case::new(&seed, 1, count)).collect();
    let first = &all[0];
    let hex = |digest: Digest| digest.to_0x();
    json!({
        "title": "Trees and state roots as contracts see them",
        "generator": "protocol/ves/tests/chain_trees.rs",
        "seed": hex(seed),
        "rule": "protocol/ves/tests/chain/cases.rs tells how tenant, store, signing hashes and signatures follow from the seed; every batch starts at 1",
        "tenant_id": on_chain(first.stream.tenant_id.as_bytes()),
        "store_id": on_chain(first.stream.store_id.as_bytes()),
        "stream_id": hex(first.stream_id),
        "pad_leaf": hex(pad_leaf()),
        "prev_state_root": hex(first.prev_state_root),
        "signing_hash_of_event_1": hex(cases::signing_hash(&seed, 1)),
        "signature_of_event_1": ves::hex::encode_0x(&cases::signature(&seed, 1)),
        "roots_by_count_from_1": all.iter().map(|case| hex(case.root())).collect::<Vec<_>>(),
        "state_roots_by_count_from_1": all.iter().map(|case| hex(case.new_state_root())).collect::<Vec<_>>(),
        "proofs": proofs(&all),
        "aggregated": AGGREGATED.iter().map(|count| aggregated(&seed, *count)).collect::<Vec<_>>(),
    })
}

fn proofs(all: &[Case]) -> Vec<Value> {
    let small = (1..=EVERY_INDEX_MAX).flat_map(|count| (0..count).map(move |index| (count, index)));
    let large = LARGE.iter().flat_map(|&count| {
        let mut indexes = vec![0, 1, count / 2, count - 2, count - 1];
        indexes.dedup();
        indexes.into_iter().map(move |index| (count, index))
    });
    small
        .chain(large)
        .map(|(count, index)| {
            let case = &all[count as usize - 1];
            let (leaf, proof) = (case.leaves[index as usize], case.proof(index.into()));
            assert_eq!(verify_inclusion(&leaf, &case.root(), Some(count.into()), &proof), Ok(()));
            let path: Vec<String> = proof.path.iter().map(|sibling| sibling.to_0x()).collect();
            json!({"count": count, "index": index, "leaf": leaf.to_0x(), "path": path})
        })
        .collect()
}

/// `count` streams with one batch each, of 1 to `count` events.
fn aggregated(seed: &Digest, count: u32) -> Value {
    let headers = (1..=count).map(|n| {
        let case = Case::new(&Hasher::bare().digest(seed).u32(n).finish(), u64::from(n), n);
        BatchHeader {
            stream_id: case.stream_id,
            events_root: case.root(),
            prev_state_root: case.prev_state_root,
            new_state_root: case.new_state_root(),
            sequence_start: case.sequence_start,
            sequence_end: case.sequence_end,
        }
    });
    let tree = AggregateTree::new(headers.collect()).unwrap();
    let index = count as usize / 2;
    let (header, proof) = (tree.headers()[index], tree.proof(index).unwrap());
    let path: Vec<String> = proof.path.iter().map(|sibling| sibling.to_0x()).collect();
    json!({
        "root": tree.root().to_0x(),
        "count": count,
        "index": index,
        "leaf": header.leaf_hash().to_0x(),
        "path": path,
        "stream_id": header.stream_id.to_0x(),
        "events_root": header.events_root.to_0x(),
        "prev_state_root": header.prev_state_root.to_0x(),
        "new_state_root": header.new_state_root.to_0x(),
        "sequence_start": header.sequence_start.get(),
        "sequence_end": header.sequence_end.get(),
    })
}

/// A UUID as it goes on a chain: 16 bytes, then 16 zero bytes.
fn on_chain(id: &[u8; 16]) -> String {
    format!("{}{}", ves::hex::encode_0x(id), "0".repeat(32))
}
