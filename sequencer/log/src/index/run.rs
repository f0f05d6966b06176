//! One published run: its filter and fences in memory, its entries in the log's pages.

use super::filter::Filter;
use super::key::{KEY_BYTES, SearchKey};
use super::page::{self, Entries};
use crate::error::LogError;
use crate::event_log::{LogReader, RunInfo};

#[derive(Debug)]
pub(super) struct Run {
    pub info: RunInfo,
    /// First key of each data page.
    pub fences: Vec<SearchKey>,
    pub filter: Filter,
}

/// What a run says about a key.
pub(super) enum Found {
    Value(u64),
    Nothing,
    /// The page is gone: the run was replaced while it was asked.
    Replaced,
}

/// Why an answer was not finished.
pub(super) enum Interrupted {
    /// A page of this run is gone: the run was replaced while it was asked.
    Replaced(u64),
    Log(LogError),
}

impl From<LogError> for Interrupted {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// A data page that was read and checked.
pub(super) struct DataPage {
    bytes: Vec<u8>,
    content: usize,
}

impl DataPage {
    pub fn entries(&self) -> Entries<'_> {
        Entries::of(&self.bytes[..self.content]).expect("whole entries, checked when the page was read")
    }
}

impl Run {
    /// Reads fences and filter.
    pub fn open(reader: &dyn LogReader, info: RunInfo) -> Result<Self, LogError> {
        let run = info.run;
        let content = |page: u32, take: &mut dyn FnMut(&[u8]) -> Option<()>| {
            let bytes =
                reader.run_page(run, page)?.ok_or_else(|| page::damaged(run, page, "it is missing"))?;
            take(page::open(run, page, &bytes)?)
                .ok_or_else(|| page::damaged(run, page, "its length is wrong"))
        };
        let mut fences = Vec::with_capacity(info.data_pages as usize);
        let mut filter = Filter::without_blocks();
        let first_fence = info.data_pages;
        let first_filter = first_fence + info.fence_pages;
        for number in first_fence..first_filter {
            content(number, &mut |bytes| {
                let (keys, rest) = bytes.as_chunks::<KEY_BYTES>();
                fences.extend(keys.iter().map(SearchKey::from_bytes));
                rest.is_empty().then_some(())
            })?;
        }
        for number in first_filter..first_filter + info.filter_pages {
            content(number, &mut |bytes| filter.extend(bytes))?;
        }
        if fences.len() != info.data_pages as usize || !filter.has_blocks() || !fences.is_sorted() {
            return Err(page::damaged(run, first_fence, "the run's fences or filter are not whole"));
        }
        Ok(Self { info, fences, filter })
    }

    /// At most one page read, and none when the filter knows better.
    pub fn find(&self, reader: &dyn LogReader, key: &SearchKey) -> Result<Found, LogError> {
        if !self.filter.may_hold(key) {
            return Ok(Found::Nothing);
        }
        let Some(number) = self.fences.partition_point(|fence| fence <= key).checked_sub(1) else {
            return Ok(Found::Nothing);
        };
        match self.data_page(reader, number as u32) {
            Ok(page) => Ok(page.entries().find(key).map_or(Found::Nothing, Found::Value)),
            Err(Interrupted::Replaced(_)) => Ok(Found::Replaced),
            Err(Interrupted::Log(error)) => Err(error),
        }
    }

    pub fn data_page(&self, reader: &dyn LogReader, number: u32) -> Result<DataPage, Interrupted> {
        let run = self.info.run;
        let bytes = reader.run_page(run, number)?.ok_or(Interrupted::Replaced(run))?;
        let content = page::open(run, number, &bytes)?;
        let content = Entries::of(content)
            .map(|_| content.len())
            .ok_or_else(|| page::damaged(run, number, "its length is wrong"))?;
        Ok(DataPage { bytes, content })
    }
}

/// Reads a run from its first entry to its last.
pub(super) struct Cursor {
    run: u64,
    pages: u32,
    next_page: u32,
    content: Vec<u8>,
    next_entry: usize,
}

impl Cursor {
    pub fn new(info: &RunInfo) -> Self {
        Self { run: info.run, pages: info.data_pages, next_page: 0, content: Vec::new(), next_entry: 0 }
    }

    /// The next entry, or `None` after the last.
    pub fn next(&mut self, reader: &dyn LogReader) -> Result<Option<(SearchKey, u64)>, LogError> {
        loop {
            if let Some(entry) = Entries::of(&self.content).and_then(|entries| entries.get(self.next_entry)) {
                self.next_entry += 1;
                return Ok(Some(entry));
            }
            if self.next_page == self.pages {
                return Ok(None);
            }
            let (run, page) = (self.run, self.next_page);
            let bytes =
                reader.run_page(run, page)?.ok_or_else(|| page::damaged(run, page, "it is missing"))?;
            let content = page::open(run, page, &bytes)?;
            if Entries::of(content).is_none() {
                return Err(page::damaged(run, page, "its length is wrong"));
            }
            let length = content.len();
            self.content = bytes;
            self.content.truncate(length);
            (self.next_page, self.next_entry) = (page + 1, 0);
        }
    }
}
