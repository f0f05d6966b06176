//! What follows from a change of letters: the lists that lead to them, the counts, the bound, the numbers of rejections.
//!
//! Derived from what is stored at the moment of the write, by whoever writes: two that change the same letter, a projection
//! and an operator, can't leave an entry that leads nowhere or a count that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use stateset_event_log::{Document, DocumentChange, LogReader, Table};
use ves::{SequenceNumber, TenantId};

use super::stored::{
    Tally, entries, entry, place_key, place_of_resolved, put_letter, put_tally, read_letter, read_place,
    read_tally, rejection_key, resolved_prefix, tally_key,
};
use super::{Cause, DeadLetter, DeadLetterStatus, REJECTIONS_MAX};
use crate::error::ServiceError;

/// Resolved letters looked at in one step while room is made.
const PAGE: usize = 16;

/// Changes with all that follows from them.
#[derive(Debug, Default)]
pub struct Followed {
    /// To be written, in one transaction.
    pub changes: Vec<DocumentChange>,
    /// Counts of the tenants concerned, as they are then.
    pub(crate) tallies: BTreeMap<TenantId, Tally>,
    /// Tenants a letter of which was left out.
    pub(crate) full: BTreeSet<TenantId>,
    pub(crate) made: Made,
}

/// What the changes were, for the counters.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub added: u64,
    pub discarded: u64,
    pub ordered: u64,
    pub applied: u64,
    pub refused: u64,
    pub exhausted: u64,
    /// How long after its time each retry was made, in milliseconds.
    pub late_ms: Vec<u64>,
}

/// Whether anything follows from these changes.
pub(crate) fn concerns(changes: &[DocumentChange]) -> bool {
    changes.iter().any(|change| {
        matches!(
            change,
            DocumentChange::Put(Table::DeadLetters | Table::RejectedEvents, _)
                | DocumentChange::Remove(Table::DeadLetters, _)
        )
    })
}

/// Completes `changes`, some of which are about letters. Only for whoever writes the log: nothing may be written between
/// this and the write of its result.
///
/// - `letters_max`: letters of one tenant; one more takes the place of a resolved one, or is left out.
///
/// # Errors
/// [`ServiceError`] where the store can't be read, or a letter is none that this module made.
pub fn follow(
    reader: &dyn LogReader,
    changes: Vec<DocumentChange>,
    letters_max: u64,
) -> Result<Followed, ServiceError> {
    let mut following = Following {
        reader,
        letters_max,
        letters: stored_letters(reader, &changes)?,
        followed: Followed { changes: Vec::with_capacity(changes.len() * 2), ..Followed::default() },
        removed: BTreeSet::new(),
        evicted_through: BTreeMap::new(),
    };
    for change in changes {
        following.change(change)?;
    }
    Ok(following.finish())
}

struct Following<'a> {
    reader: &'a dyn LogReader,
    letters_max: u64,
    /// Letters as they are after the changes so far, by place.
    letters: BTreeMap<Vec<u8>, DeadLetter>,
    followed: Followed,
    /// Places that these changes made empty.
    removed: BTreeSet<Vec<u8>>,
    /// How far the resolved letters of a tenant were given up.
    evicted_through: BTreeMap<TenantId, Vec<u8>>,
}

impl Following<'_> {
    fn change(&mut self, change: DocumentChange) -> Result<(), ServiceError> {
        match change {
            DocumentChange::Put(Table::DeadLetters, document) => {
                let letter = read_letter(&document).ok_or_else(|| {
                    ServiceError::Internal("a dead letter is written that can't be read".to_owned())
                })?;
                self.put(document.key, letter)
            }
            DocumentChange::Remove(Table::DeadLetters, place) => self.remove(&place),
            DocumentChange::Put(Table::RejectedEvents, document) => self.reject(document),
            other => {
                self.followed.changes.push(other);
                Ok(())
            }
        }
    }

    fn put(&mut self, place: Vec<u8>, letter: DeadLetter) -> Result<(), ServiceError> {
        let old = self.letters.get(&place).cloned();
        let stays = match (&old, letter.cause) {
            // Refused again while projections are made anew: the letter is known, and goes on as planned.
            (Some(old), Cause::Refusal) if old.status != DeadLetterStatus::Resolved => false,
            (Some(_), Cause::Rebuild) => false,
            (None, Cause::Rebuild) => self.has_room(&letter)?,
            (_, Cause::Refusal) => old.is_some() || self.has_room(&letter)?,
            // Purged while it was tried: it stays away.
            (old, _) => old.is_some(),
        };
        self.count(&letter, old.as_ref(), stays);
        if !stays {
            return Ok(());
        }
        if let Some(old) = &old {
            self.unlist(old)?;
        }
        self.tally(&letter.stream.tenant_id)?.add(&letter);
        self.followed.changes.push(put_letter(&letter));
        self.followed.changes.extend(entries(&letter).into_iter().map(entry));
        self.letters.insert(place, letter);
        Ok(())
    }

    fn remove(&mut self, place: &[u8]) -> Result<(), ServiceError> {
        if let Some(old) = self.letters.remove(place) {
            self.unlist(&old)?;
        }
        self.followed.changes.push(DocumentChange::Remove(Table::DeadLetters, place.to_vec()));
        self.removed.insert(place.to_vec());
        Ok(())
    }

    fn unlist(&mut self, letter: &DeadLetter) -> Result<(), ServiceError> {
        let gone = entries(letter).into_iter().map(|key| DocumentChange::Remove(Table::DeadLetterIds, key));
        self.followed.changes.extend(gone);
        self.tally(&letter.stream.tenant_id)?.take(letter);
        Ok(())
    }

    fn count(&mut self, letter: &DeadLetter, old: Option<&DeadLetter>, stays: bool) {
        let made = &mut self.followed.made;
        match letter.cause {
            Cause::Refusal | Cause::Rebuild => {
                made.added += u64::from(stays);
                made.discarded += u64::from(!stays && old.is_none());
            }
            Cause::Order => made.ordered += u64::from(stays),
            // The retry was made, also of a letter that was purged meanwhile.
            Cause::AppliedRetry => made.applied += 1,
            Cause::RefusedRetry => {
                made.refused += 1;
                let is_given_up = letter.status == DeadLetterStatus::Failed && letter.reason.is_retried();
                made.exhausted += u64::from(is_given_up);
            }
            Cause::ClockStep => {}
        }
        let planned = old.and_then(|old| old.next_retry_at);
        if let (Cause::AppliedRetry | Cause::RefusedRetry, Some(planned), Some(at)) =
            (letter.cause, planned, letter.last_retry_at)
        {
            made.late_ms.push(u64::try_from(at.0.saturating_sub(planned.0)).unwrap_or(0));
        }
    }

    /// Whether one more letter of the tenant can be stored; a resolved one makes room where there is none.
    fn has_room(&mut self, letter: &DeadLetter) -> Result<bool, ServiceError> {
        let tenant = letter.stream.tenant_id;
        let letters_max = self.letters_max;
        while self.tally(&tenant)?.size() >= letters_max {
            let Some(place) = self.next_resolved(&tenant)? else {
                self.followed.full.insert(tenant);
                return Ok(false);
            };
            self.remove(&place)?;
        }
        Ok(true)
    }

    /// The next letter that is resolved in the store and still is.
    fn next_resolved(&mut self, tenant: &TenantId) -> Result<Option<Vec<u8>>, ServiceError> {
        loop {
            let (prefix, after) = (resolved_prefix(tenant), self.evicted_through.get(tenant));
            let page =
                self.reader.documents(Table::DeadLetterIds, &prefix, after.map(Vec::as_slice), PAGE)?;
            if page.is_empty() {
                return Ok(None);
            }
            for document in page {
                self.evicted_through.insert(*tenant, document.key.clone());
                let Some(place) = place_of_resolved(&document.key) else { continue };
                if !self.letters.contains_key(&place)
                    && !self.removed.contains(&place)
                    && let Some(stored) = self.reader.document(Table::DeadLetters, &place)?
                    && let Some(letter) = read_letter(&stored)
                {
                    self.letters.insert(place.clone(), letter);
                }
                let is_resolved = |letter: &DeadLetter| letter.status == DeadLetterStatus::Resolved;
                if self.letters.get(&place).is_some_and(is_resolved) {
                    return Ok(Some(place));
                }
            }
        }
    }

    /// Gives a rejection its number, and lets go of the oldest.
    fn reject(&mut self, document: Document) -> Result<(), ServiceError> {
        let tenant = document.key.as_slice().try_into().map(TenantId::from_bytes).map_err(|_| {
            ServiceError::Internal("a rejection is written that names more than its tenant".to_owned())
        })?;
        let tally = self.tally(&tenant)?;
        let number = tally.rejections_next;
        tally.rejections_next += 1;
        let from = tally.rejections_from;
        tally.rejections_from = from.max(tally.rejections_next.saturating_sub(REJECTIONS_MAX));
        let gone = from..tally.rejections_from;
        let put = Document { key: rejection_key(&tenant, number), ..document };
        self.followed.changes.push(DocumentChange::Put(Table::RejectedEvents, put));
        self.followed.changes.extend(
            gone.map(|old| DocumentChange::Remove(Table::RejectedEvents, rejection_key(&tenant, old))),
        );
        Ok(())
    }

    fn tally(&mut self, tenant: &TenantId) -> Result<&mut Tally, ServiceError> {
        if !self.followed.tallies.contains_key(tenant) {
            let stored = self.reader.document(Table::DeadLetterIds, &tally_key(tenant))?;
            let stored = stored.as_ref().and_then(read_tally).map(|(_, tally)| tally);
            self.followed.tallies.insert(*tenant, stored.unwrap_or_default());
        }
        Ok(self.followed.tallies.entry(*tenant).or_default())
    }

    fn finish(mut self) -> Followed {
        for (tenant, tally) in &self.followed.tallies {
            self.followed.changes.push(put_tally(tenant, tally));
        }
        self.followed
    }
}

/// The letters that `changes` are about, as they are stored. One read for each stream where they lie together, as those of
/// one batch of a projection do. What can't be read counts as gone, or it could never be replaced.
fn stored_letters(
    reader: &dyn LogReader,
    changes: &[DocumentChange],
) -> Result<BTreeMap<Vec<u8>, DeadLetter>, ServiceError> {
    let mut streams: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for change in changes {
        let place = match change {
            DocumentChange::Put(Table::DeadLetters, document) => document.key.as_slice(),
            DocumentChange::Remove(Table::DeadLetters, place) => place.as_slice(),
            _ => continue,
        };
        if let Some((stream, _)) = place.split_at_checked(32) {
            streams.entry(stream).or_default().push(place);
        }
    }
    let mut letters = BTreeMap::new();
    for (stream, mut places) in streams {
        places.sort_unstable();
        places.dedup();
        for document in stored_among(reader, stream, &places)? {
            match read_letter(&document) {
                Some(letter) => drop(letters.insert(document.key, letter)),
                None => tracing::warn!("a dead letter is none that this service wrote; it is passed over"),
            }
        }
    }
    Ok(letters)
}

/// Documents at `places`, ascending and all of one stream.
fn stored_among(
    reader: &dyn LogReader,
    stream: &[u8],
    places: &[&[u8]],
) -> Result<Vec<Document>, ServiceError> {
    let Some((stream_key, first)) = places.first().and_then(|place| read_place(place)) else {
        return Ok(Vec::new());
    };
    let before = place_key(&stream_key, SequenceNumber(first.0.saturating_sub(1)));
    let mut found = reader.documents(Table::DeadLetters, stream, Some(&before), places.len())?;
    let read_through = match found.len() < places.len() {
        true => None,
        false => found.last().map(|document| document.key.clone()),
    };
    found.retain(|document| places.binary_search(&document.key.as_slice()).is_ok());
    if let Some(through) = read_through {
        for place in places.iter().filter(|place| **place > through.as_slice()) {
            found.extend(reader.document(Table::DeadLetters, place)?);
        }
    }
    Ok(found)
}
