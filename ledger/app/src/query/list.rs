//! Rows of a substore, a page at a time.

use stateset_ledger_types::codec::Encode;
use stateset_ledger_types::{StateKey, Substore};

use crate::application::Fault;
use crate::overlay::Overlay;

/// Most bytes of a page of more than one row: members write rows of tens of kilobytes, and what all of them write together
/// must stay within what a client reads.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// Rows that are read at once.
const READ_ROWS: usize = 64;

/// The rows whose keys begin with `prefix` and stand behind `after` in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    pub substore: Substore,
    pub prefix: &'a str,
    pub after: Option<&'a str>,
    pub limit: usize,
}

impl List<'_> {
    /// A page of those that `keep` admits.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn rows(
        &self,
        overlay: &Overlay<'_>,
        keep: impl Fn(&StateKey) -> bool,
    ) -> Result<Vec<(StateKey, Vec<u8>)>, Fault> {
        let path = match self.after {
            Some(after) => format!("{}{after}\0", self.prefix),
            None => self.prefix.to_owned(),
        };
        let mut from = StateKey { substore: self.substore, path: path.into_bytes() };
        // Keys are ASCII.
        let to = [self.prefix.as_bytes(), &[0xff]].concat();
        let (mut page, mut bytes) = (Vec::new(), 0);
        loop {
            let rows = overlay.range(&from, &to, READ_ROWS)?;
            let Some((last, _)) = rows.last() else { return Ok(page) };
            from.path = [&last.path, &b"\0"[..]].concat();
            for (key, value) in rows {
                if !keep(&key) {
                    continue;
                }
                bytes += value.len();
                if !page.is_empty() && bytes > PAGE_BYTES_MAX {
                    return Ok(page);
                }
                page.push((key, value));
                if page.len() == self.limit {
                    return Ok(page);
                }
            }
        }
    }

    /// The page's values as a list: u32 count and items.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn values(&self, overlay: &Overlay<'_>, keep: impl Fn(&StateKey) -> bool) -> Result<Vec<u8>, Fault> {
        let rows = self.rows(overlay, keep)?;
        let mut list = (rows.len() as u32).to_sce();
        rows.iter().for_each(|(_, value)| list.extend_from_slice(value));
        Ok(list)
    }
}
