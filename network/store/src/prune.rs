//! Forgetting old heights.

use redb::ReadableTable;

use crate::rows::{KEPT_FROM, LATEST, NUMBERS, ROOTS, STALE};
use crate::update::StaleRows;
use crate::{Store, StoreError};

impl Store {
    /// Forgets states below `keep_from`, for at most `heights_max` heights that changed something, so that a call takes
    /// bounded time. Returns how many rows went. States from the oldest kept height on stay readable and provable.
    ///
    /// # Errors
    /// [`StoreError::Future`] when `keep_from` is above the newest state; [`StoreError::File`].
    pub fn prune(&self, keep_from: u64, heights_max: usize) -> Result<usize, StoreError> {
        let transaction = self.database.begin_write()?;
        let mut removed = 0;
        {
            let mut numbers = transaction.open_table(NUMBERS)?;
            let latest = numbers.get(LATEST)?.map(|height| height.value()).ok_or(StoreError::NoGenesis)?;
            if keep_from > latest {
                return Err(StoreError::Future { height: keep_from, latest });
            }
            let mut stale = transaction.open_table(STALE)?;
            let mut heights = Vec::new();
            for row in stale.range(..=keep_from)?.take(heights_max) {
                heights.push(row?.0.value());
            }
            let all = stale.range(..=keep_from)?.nth(heights_max).is_none();
            // Rows are stale since the height they are listed at: with that height as the oldest, they may go.
            let oldest = if all { keep_from } else { heights.last().copied().unwrap_or(0) };
            for height in heights {
                let Some(rows) = stale.remove(height)? else { continue };
                removed += StaleRows::remove(rows.value(), &transaction)?;
            }
            let kept_from = numbers.get(KEPT_FROM)?.map_or(0, |height| height.value());
            numbers.insert(KEPT_FROM, kept_from.max(oldest))?;
            // Of the roots at or below the oldest height, the newest is that height's own.
            let mut roots = transaction.open_table(ROOTS)?;
            let own = roots.range(..=oldest)?.next_back().transpose()?.map(|row| row.0.value());
            roots.retain_in(..own.unwrap_or(0), |_, _| false)?;
        }
        transaction.commit()?;
        Ok(removed)
    }
}
