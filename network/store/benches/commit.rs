//! Blocks of notarisations onto a large state: `cargo bench -p stateset-ledger-store`.
//!
//! For each size of state: microseconds per key to compute a block's tree and to commit it durably, bytes per key, and
//! proofs. A notarisation writes three keys: its record, its spent key, its submitter's sequence.

#![allow(clippy::print_stdout, reason = "a benchmark speaks to people")]

use std::time::{Duration, Instant};

use stateset_ledger_store::{RecordBatch, Store, Substore, Writes};

const BLOCK_NOTARISATIONS: u64 = 1_000;
const BLOCKS: u64 = 20;

fn main() {
    let sizes: Vec<u64> =
        match std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect::<Vec<_>>() {
            sizes if sizes.is_empty() => vec![10_000, 100_000, 1_000_000],
            sizes => sizes,
        };
    println!("keys       prepare/key  commit/key  nodes/key  bytes/key  presence  absence");
    for size in sizes {
        measure(size);
    }
}

/// Keys as the notary has them: 64 hexadecimal digits that look random.
fn notarisations(first: u64, count: u64) -> Writes {
    let mut writes = Writes::new();
    for n in first..first + count {
        let id = |kind: &str| {
            let mut id = String::from(kind);
            for part in 0..4 {
                id.push_str(&format!(
                    "{:016x}",
                    (n * 4 + part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
                ));
            }
            id.into_bytes()
        };
        writes.insert((Substore::Notary, id("tx/")), Some([n.to_be_bytes(); 4].concat()));
        writes.insert((Substore::Notary, id("spent/")), Some([n.to_be_bytes(); 4].concat()));
        writes.insert(
            (Substore::Notary, format!("seq/{:040x}", n % 16).into()),
            Some(n.to_be_bytes().to_vec()),
        );
    }
    writes
}

fn measure(size: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("state.redb")).expect("a file");
    let mut next = 0;
    let genesis = store.prepare_genesis(0, &Writes::new()).expect("valid");
    store.commit(genesis, RecordBatch::default()).expect("commit");
    let mut height = 0;
    while next * 2 < size {
        let count = 20_000.min(size / 2 - next).max(1);
        height += 1;
        let prepared = store.prepare(height, &notarisations(next, count)).expect("valid");
        store.commit(prepared, RecordBatch::default()).expect("commit");
        next += count;
    }
    let (mut prepare, mut commit) = (Duration::ZERO, Duration::ZERO);
    let (mut keys, mut nodes, mut bytes) = (0, 0, 0);
    for _ in 0..BLOCKS {
        height += 1;
        let writes = notarisations(next, BLOCK_NOTARISATIONS);
        next += BLOCK_NOTARISATIONS;
        keys += writes.len();
        let start = Instant::now();
        let prepared = store.prepare(height, &writes).expect("valid");
        prepare += start.elapsed();
        let cost = prepared.cost();
        nodes += cost.0;
        bytes += cost.1;
        let start = Instant::now();
        store.commit(prepared, RecordBatch::default()).expect("commit");
        commit += start.elapsed();
    }
    let micros = |time: Duration, count: usize| time.as_secs_f64() * 1e6 / count as f64;
    let view = store.view().expect("the state");
    let proven = notarisations(0, 300.min(next));
    let start = Instant::now();
    for (substore, key) in proven.keys() {
        assert!(view.prove(*substore, key).expect("a proof").value.is_some());
    }
    let presence = micros(start.elapsed(), proven.len());
    let start = Instant::now();
    for n in 0..500u64 {
        let key = format!("spent/absent/{n}");
        assert!(view.prove(Substore::Notary, key.as_bytes()).expect("a proof").value.is_none());
    }
    let absence = micros(start.elapsed(), 500);
    println!(
        "{size:<10} {:>8.1} us {:>8.1} us {:>10.2} {:>10.0} {presence:>6.0} us {absence:>5.0} us",
        micros(prepare, keys),
        micros(commit, keys),
        nodes as f64 / keys as f64,
        bytes as f64 / keys as f64,
    );
}
