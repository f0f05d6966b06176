//! A machine that loses power at every single write and sync: after reopening, the store holds the block before or the
//! block, whole, and goes on to the same app hashes.

use stateset_fixtures::FaultyDisk;
use stateset_ledger_store::{Column, RecordBatch, Store, Writes};

use crate::support::{Model, Random, follow, random_writes};

struct Chain {
    blocks: Vec<Writes>,
    /// By height, from genesis.
    app_hashes: Vec<[u8; 32]>,
}

/// Commits every block that the store does not hold yet, each when the next one is prepared already.
fn run(store: &Store, chain: &Chain) -> Result<(), Box<dyn std::error::Error>> {
    let mut next = match store.latest()? {
        Some(latest) => {
            let view = store.view()?;
            assert_eq!(view.app_hash(), chain.app_hashes[latest as usize], "height {latest}");
            if latest > 0 {
                let record = view.record(Column::Blocks, &latest.to_be_bytes())?;
                assert_eq!(
                    record.as_deref(),
                    Some(&b"block"[..]),
                    "the records of a block come with its state"
                );
            }
            let above = view.record(Column::Blocks, &(latest + 1).to_be_bytes())?;
            assert_eq!(above, None, "a record without its state");
            latest + 1
        }
        None => 0,
    };
    let mut ahead = None;
    while let Some(writes) = chain.blocks.get(next as usize) {
        let prepared = match ahead.take() {
            Some(prepared) => prepared,
            None if next == 0 => store.prepare_genesis(0, writes)?,
            None => store.prepare(next, writes)?,
        };
        assert_eq!(prepared.app_hash(), chain.app_hashes[next as usize], "height {next}");
        if let Some(writes) = chain.blocks.get(next as usize + 1).filter(|_| next > 0) {
            ahead = Some(store.prepare_on(&prepared, next + 1, writes)?);
        }
        let mut records = RecordBatch::default();
        if next > 0 {
            records.put(Column::Blocks, next.to_be_bytes(), *b"block");
        }
        store.commit(prepared, records)?;
        if next == 4 {
            store.prune(2, 10)?;
        }
        next += 1;
    }
    Ok(())
}

fn chain() -> Chain {
    let (mut random, mut model) = (Random(11), Model::new());
    let (reference, mut app_hashes) = (Store::in_memory().expect("memory"), Vec::new());
    let mut blocks = vec![Writes::new()];
    for _ in 0..5 {
        blocks.push(random_writes(&mut random, &model, 20));
        follow(&mut model, blocks.last().expect("pushed"));
    }
    for (height, writes) in blocks.iter().enumerate() {
        let height = height as u64;
        let prepared = match height {
            0 => reference.prepare_genesis(0, writes),
            _ => reference.prepare(height, writes),
        };
        let prepared = prepared.expect("valid writes");
        app_hashes.push(prepared.app_hash());
        reference.commit(prepared, RecordBatch::default()).expect("memory");
    }
    Chain { blocks, app_hashes }
}

#[test]
fn power_lost_at_every_write_leaves_whole_blocks() {
    let chain = chain();
    let whole = FaultyDisk::default();
    let store = Store::with_backend(whole.clone()).expect("an empty disk");
    let made = whole.operations();
    run(&store, &chain).expect("no faults");
    drop(store);
    let operations = whole.operations();
    assert!(operations > made + 40, "{} operations", operations - made);
    // The making of the file itself is covered by `Store::open`, which renames it into place when it is whole.
    for cut in made..operations {
        let mut random = Random(cut);
        let disk = FaultyDisk::default();
        disk.lose_power_after(cut);
        let store = Store::with_backend(disk.clone()).expect("the power is still there");
        // The store fails at that operation; whatever it says, the disk is all that is left.
        let _ = run(&store, &chain);
        drop(store);
        let found = disk.after_power_loss(|| random.below(2) == 0);
        let store =
            Store::with_backend(found).unwrap_or_else(|error| panic!("cut {cut}: does not open: {error}"));
        run(&store, &chain).unwrap_or_else(|error| panic!("cut {cut}: {error}"));
        let view = store.view().expect("the newest state");
        assert_eq!(view.app_hash(), *chain.app_hashes.last().expect("blocks"), "cut {cut}");
        view.verify().unwrap_or_else(|error| panic!("cut {cut}: {error}"));
    }
}

/// What an interrupted start leaves beside the file does no harm.
#[test]
fn a_half_made_file_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.redb");
    std::fs::write(path.with_extension("new"), b"half").expect("a file");
    let chain = chain();
    run(&Store::open(&path).expect("made anew"), &chain).expect("no faults");
    let store = Store::open(&path).expect("opened again");
    assert_eq!(store.view().expect("the state").app_hash(), *chain.app_hashes.last().expect("blocks"));
    assert!(Store::open(&path).is_err(), "another owner");
}
