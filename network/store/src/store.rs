//! The file: opening it, and one durable transaction per block.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend};

use crate::branch::Tops;
use crate::packs;
use crate::records::{Column, RecordBatch, create_tables};
use crate::rows::{ALL_VALUES, KEPT_FROM, LATEST, NODES, NUMBERS, RESTORING, ROOTS, Roots, STALE, VALUES};
use crate::update::{Applied, Rows, apply, check};
use crate::view::{Ahead, Tables, View};
use stateset_ledger_app::Writes;
use stateset_ledger_types::Substore;

use crate::StoreError;

/// Memory for pages of the file: enough for the upper trees of some 10^7 keys.
const CACHE_BYTES: usize = 512 << 20;

/// The state of one ledger, and the records of the engine that orders it. One process at a time; readers do not wait for
/// the writer.
#[derive(Debug)]
pub struct Store {
    pub(crate) database: Database,
    /// Tops of the trees of the newest state.
    tops: Mutex<Tops>,
}

/// Bytes of the file that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Trees, values, and what pruning will take, of all kept heights.
    pub state: u64,
    /// The engine's own records: blocks, results, indexes.
    pub records: u64,
}

/// The state after a block, computed but not yet written. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Prepared {
    height: u64,
    before: Option<[u8; 32]>,
    roots: Roots,
    /// Sorted.
    rows: Arc<Rows>,
    /// Of the trees as the block leaves them.
    tops: Tops,
}

impl Prepared {
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The app hash after this block: it goes into the header of the next one.
    pub fn app_hash(&self) -> [u8; 32] {
        self.roots.app.hash
    }

    /// Whether the block changes the state. Then the engine owes a block that carries the new app hash.
    pub fn changes_state(&self) -> bool {
        self.before != Some(self.roots.app.hash)
    }

    /// How many tree nodes and how many bytes of rows the block adds.
    pub fn cost(&self) -> (usize, usize) {
        let bytes = |rows: &[(Vec<u8>, Vec<u8>)]| rows.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        (self.rows.nodes.len(), bytes(&self.rows.nodes) + bytes(&self.rows.values) + self.rows.stale.0.len())
    }
}

impl Store {
    /// Opens the file at `path`, or makes it. Folders on the way are not made.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it; [`StoreError::File`] when it cannot be opened; [`StoreError::HalfRestored`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            // Power lost while a file is made leaves one that nothing can open; under its own name it is always whole.
            let new = path.with_extension("new");
            let made = fs::remove_file(&new).or_else(absent_is_fine).map(|()| Self::builder().create(&new));
            drop(Self::start(made.map_err(file)??)?);
            fs::rename(&new, path).and_then(|()| sync_folder(path)).map_err(file)?;
        }
        let store = Self::start(Self::builder().create(path)?)?;
        store.refuse_half_restored(&path.display().to_string())?;
        Ok(store)
    }

    /// A store in memory, with the same meaning.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::with_backend(InMemoryBackend::new())
    }

    /// A store over other storage: tests fail its writes and syncs one at a time.
    ///
    /// # Errors
    /// [`StoreError::File`]; [`StoreError::HalfRestored`].
    pub fn with_backend(backend: impl StorageBackend) -> Result<Self, StoreError> {
        let store = Self::start(Self::builder().create_with_backend(backend)?)?;
        store.refuse_half_restored("the file")?;
        Ok(store)
    }

    fn builder() -> Builder {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        builder
    }

    pub(crate) fn start(database: Database) -> Result<Self, StoreError> {
        // A read first: opening an existing file writes nothing.
        let transaction = database.begin_read()?;
        if transaction.open_table(NUMBERS).is_err() {
            drop(transaction);
            let transaction = database.begin_write()?;
            transaction.open_table(VALUES)?;
            transaction.open_table(NODES)?;
            transaction.open_table(ROOTS)?;
            transaction.open_table(STALE)?;
            transaction.open_table(NUMBERS)?;
            create_tables(&transaction)?;
            transaction.commit()?;
        } else if transaction.open_table(ALL_VALUES).is_ok() {
            drop(transaction);
            let transaction = database.begin_write()?;
            transaction.rename_table(ALL_VALUES, VALUES)?;
            transaction.commit()?;
        }
        Ok(Self { database, tops: Mutex::default() })
    }

    fn refuse_half_restored(&self, name: &str) -> Result<(), StoreError> {
        match self.tables()?.number(RESTORING)? {
            Some(_) => Err(StoreError::HalfRestored(name.into())),
            None => Ok(()),
        }
    }

    /// Lets go of what is in memory, and holds tops of this depth from now on.
    #[cfg(test)]
    pub(crate) fn hold(&self, depth: usize) {
        *self.tops() = Tops::of_depth(depth);
    }

    fn tops(&self) -> MutexGuard<'_, Tops> {
        self.tops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tables(&self) -> Result<Tables, StoreError> {
        Tables::open(self.database.begin_read()?)
    }

    /// Height of the newest state; `None` before genesis.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn latest(&self) -> Result<Option<u64>, StoreError> {
        self.tables()?.number(LATEST)
    }

    /// Oldest height whose state is kept.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn kept_from(&self) -> Result<u64, StoreError> {
        Ok(self.tables()?.number(KEPT_FROM)?.unwrap_or(0))
    }

    /// What the file holds. Reads all of it.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn sizes(&self) -> Result<Sizes, StoreError> {
        let transaction = self.database.begin_read()?;
        let used = |stats: redb::TableStats| {
            stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes()
        };
        let mut sizes = Sizes { state: used(transaction.open_table(STALE)?.stats()?), records: 0 };
        for table in [NODES, VALUES] {
            sizes.state += used(transaction.open_table(table)?.stats()?);
        }
        for column in Column::ALL {
            sizes.records += used(transaction.open_table(column.table())?.stats()?);
        }
        Ok(sizes)
    }

    /// The newest state.
    ///
    /// # Errors
    /// [`StoreError::NoGenesis`]; [`StoreError::File`].
    pub fn view(&self) -> Result<View, StoreError> {
        View::open(self.tables()?, self.tops().clone(), None)
    }

    /// The state after block `height`.
    ///
    /// # Errors
    /// [`StoreError::Pruned`], [`StoreError::Future`], [`StoreError::NoGenesis`]; [`StoreError::File`].
    pub fn view_at(&self, height: u64) -> Result<View, StoreError> {
        View::open(self.tables()?, self.tops().clone(), Some(height))
    }

    /// The state that init_chain gives, at the height before the first block. Every substore gets its first key.
    ///
    /// # Errors
    /// [`StoreError::GenesisExists`]; the refusals of [`Store::prepare`].
    pub fn prepare_genesis(&self, height: u64, writes: &Writes) -> Result<Prepared, StoreError> {
        let tables = self.tables()?;
        if let Some(height) = tables.number(LATEST)? {
            return Err(StoreError::GenesisExists { height });
        }
        check(writes)?;
        let mut writes = writes.clone();
        for &substore in Substore::ALL {
            writes.insert((substore, Substore::FIRST_KEY.to_vec()), Some(substore.name().into()));
        }
        let Applied { roots, rows, tops } = apply(&tables, &Tops::default(), None, height, &writes)?;
        Ok(Prepared { height, before: None, roots, rows: Arc::new(rows), tops })
    }

    /// Computes the state after block `height`, which must be the next one, and writes nothing.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`]; empty keys and values, keys that are too long, and the key `_` are refused; so is a
    /// tree whose last root is missing ([`StoreError::Corrupt`]).
    pub fn prepare(&self, height: u64, writes: &Writes) -> Result<Prepared, StoreError> {
        let view = self.view()?;
        let tops = self.tops().clone();
        prepare(&view, tops, height, writes)
    }

    /// As [`Store::prepare`], after a block that may still be on its way into the file.
    ///
    /// # Errors
    /// As of [`Store::prepare`] and [`Store::view_on`].
    pub fn prepare_on(
        &self,
        before: &Prepared,
        height: u64,
        writes: &Writes,
    ) -> Result<Prepared, StoreError> {
        prepare(&self.view_on(before)?, before.tops.clone(), height, writes)
    }

    /// The state after `prepared`, which must be the newest block of the file or the next one.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] when it is neither; [`StoreError::NoGenesis`]; [`StoreError::File`].
    pub fn view_on(&self, prepared: &Prepared) -> Result<View, StoreError> {
        let (tables, height) = (self.tables()?, prepared.height);
        let latest = tables.number(LATEST)?.ok_or(StoreError::NoGenesis)?;
        if height != latest && height != latest + 1 {
            return Err(StoreError::OutOfOrder { height, expected: latest + 1 });
        }
        let (roots, rows) = (prepared.roots.clone(), Arc::clone(&prepared.rows));
        Ok(View::ahead(tables, prepared.tops.clone(), Ahead { height, roots, rows }))
    }

    /// Writes a prepared state and the engine's records in one transaction. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] when another state was committed since; [`StoreError::File`], after which nothing of the
    /// block is in the file.
    pub fn commit(&self, prepared: Prepared, records: RecordBatch) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        {
            let mut numbers = transaction.open_table(NUMBERS)?;
            let latest = numbers.get(LATEST)?.map(|height| height.value());
            let mut roots = transaction.open_table(ROOTS)?;
            let app_hash = match roots.last()? {
                Some((_, row)) => Some(Roots::from_bytes(row.value())?.app.hash),
                None => None,
            };
            if latest.is_some_and(|latest| latest + 1 != prepared.height) || app_hash != prepared.before {
                let expected = latest.map_or(0, |latest| latest + 1);
                return Err(StoreError::OutOfOrder { height: prepared.height, expected });
            }
            if prepared.changes_state() {
                roots.insert(prepared.height, prepared.roots.to_bytes().as_slice())?;
                write_rows(&transaction, prepared.height, &prepared.rows)?;
            }
            if latest.is_none() {
                numbers.insert(KEPT_FROM, prepared.height)?;
            }
            numbers.insert(LATEST, prepared.height)?;
        }
        records.write(&transaction)?;
        transaction.commit()?;
        self.tops().keep(prepared.tops);
        Ok(())
    }
}

/// The state after block `height`, which must be the next one after `view`; `tops` are those of `view`.
fn prepare(view: &View, mut tops: Tops, height: u64, writes: &Writes) -> Result<Prepared, StoreError> {
    let expected = view.height() + 1;
    if height != expected {
        return Err(StoreError::OutOfOrder { height, expected });
    }
    check(writes)?;
    let applied = apply(&view.tables, &tops, Some(&view.roots), height, writes)?;
    tops.keep(applied.tops);
    let (roots, rows) = (applied.roots, Arc::new(applied.rows));
    Ok(Prepared { height, before: Some(view.app_hash()), roots, rows, tops })
}

/// Adds sorted rows.
pub(crate) fn write_rows(
    transaction: &redb::WriteTransaction,
    height: u64,
    rows: &Rows,
) -> Result<(), StoreError> {
    let mut nodes = transaction.open_table(NODES)?;
    for (row, pack) in packs::pack(&rows.nodes) {
        nodes.insert(row, pack.as_slice())?;
    }
    let mut values = transaction.open_table(VALUES)?;
    for (row, value) in &rows.values {
        values.insert(row.as_slice(), value.as_slice())?;
    }
    if !rows.stale.0.is_empty() {
        transaction.open_table(STALE)?.insert(height, rows.stale.0.as_slice())?;
    }
    Ok(())
}

fn file(error: std::io::Error) -> StoreError {
    StoreError::File(Box::new(error.into()))
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A new file is there after a crash only when its folder was synced too.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}
