//! A machine that loses power at every single write and sync: after reopening, the store holds the block before or the
//! block, whole, and goes on to the same app hashes.

use std::io;
use std::sync::{Arc, Mutex};

use stateset_ledger_store::{Column, RecordBatch, StorageBackend, Store, Writes};

use crate::support::{Model, Random, follow, random_writes};

/// A disk in memory. What was not synced is lost in part: each write after the last sync is kept or not, by the seed.
#[derive(Debug, Default)]
struct Platter {
    synced: Vec<u8>,
    /// (offset, bytes), or a new length, since the last sync.
    pending: Vec<Result<(u64, Vec<u8>), u64>>,
    now: Vec<u8>,
    /// Operations until the power goes.
    left: Option<u64>,
    operations: u64,
}

#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Platter>>);

impl Platter {
    fn spend(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn write_at(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let end = offset as usize + data.len();
    bytes.resize(bytes.len().max(end), 0);
    bytes[offset as usize..end].copy_from_slice(data);
}

impl Disk {
    fn lock(&self) -> std::sync::MutexGuard<'_, Platter> {
        self.0.lock().expect("no test thread panics while it holds the disk")
    }

    /// The disk as it is found after the power came back.
    fn after_power_loss(&self, random: &mut Random) -> Self {
        let platter = self.lock();
        let mut bytes = platter.synced.clone();
        for operation in &platter.pending {
            match operation {
                Ok((offset, data)) if random.below(2) == 0 => write_at(&mut bytes, *offset, data),
                Err(length) => bytes.resize(*length as usize, 0),
                Ok(_) => {}
            }
        }
        Self(Arc::new(Mutex::new(Platter { synced: bytes.clone(), now: bytes, ..Platter::default() })))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.lock();
        let start = offset as usize;
        out.copy_from_slice(platter.now.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut platter = self.lock();
        platter.spend()?;
        platter.now.resize(length as usize, 0);
        platter.pending.push(Err(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.lock();
        platter.spend()?;
        platter.synced = platter.now.clone();
        platter.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.lock();
        platter.spend()?;
        write_at(&mut platter.now, offset, data);
        platter.pending.push(Ok((offset, data.to_vec())));
        Ok(())
    }
}

struct Chain {
    blocks: Vec<Writes>,
    /// By height, from genesis.
    app_hashes: Vec<[u8; 32]>,
}

/// Commits every block that the store does not hold yet.
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
    while let Some(writes) = chain.blocks.get(next as usize) {
        let prepared =
            if next == 0 { store.prepare_genesis(0, writes)? } else { store.prepare(next, writes)? };
        assert_eq!(prepared.app_hash(), chain.app_hashes[next as usize], "height {next}");
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
    let whole = Disk::default();
    let store = Store::with_backend(whole.clone()).expect("an empty disk");
    let made = whole.lock().operations;
    run(&store, &chain).expect("no faults");
    drop(store);
    let operations = whole.lock().operations;
    assert!(operations > made + 40, "{} operations", operations - made);
    // The making of the file itself is covered by `Store::open`, which renames it into place when it is whole.
    for cut in made..operations {
        let mut random = Random(cut);
        let disk = Disk::default();
        disk.lock().left = Some(cut);
        let store = Store::with_backend(disk.clone()).expect("the power is still there");
        // The store fails at that operation; whatever it says, the disk is all that is left.
        let _ = run(&store, &chain);
        drop(store);
        let found = disk.after_power_loss(&mut random);
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
