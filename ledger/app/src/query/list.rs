//! Rows of a substore, a page at a time.

use std::ops::ControlFlow;

use stateset_ledger_types::codec::Encode;
use stateset_ledger_types::{StateKey, Substore};

use crate::application::Fault;
use crate::overlay::Overlay;

/// Most bytes of a page of more than one row: members write rows of tens of kilobytes, and what all of them write together
/// must stay within what a client reads.
const PAGE_BYTES_MAX: usize = 1 << 20;

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
        let from = StateKey { substore: self.substore, path: path.into_bytes() };
        let (mut page, mut bytes) = (Vec::new(), 0);
        overlay.visit(from, self.prefix, |key, value| {
            if keep(&key) {
                bytes += value.len();
                if !page.is_empty() && bytes > PAGE_BYTES_MAX {
                    return Ok(ControlFlow::Break(()));
                }
                page.push((key, value));
            }
            Ok(if page.len() == self.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(page)
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
