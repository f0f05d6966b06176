//! A server as the source of an audit.

use ves::commitment::Commitment;
use ves::envelope::decode_text;
use ves::hex::Format;
use ves::{SequenceNumber, StreamKey};
use ves_wire::events::EventsPage;

use super::{Entry, Source};
use crate::client::query;
use crate::http::read;
use crate::{Client, ClientError};

/// Commitments asked for at once.
const COMMITMENTS_PER_PAGE: usize = 1000;

/// Reads over REST. Several workers read at once, each over its own connection.
pub struct ServerSource<'a>(pub &'a Client);

impl Source for ServerSource<'_> {
    fn read(
        &self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: u64,
        each: &mut dyn FnMut(Entry<'_, '_>),
    ) -> Result<(), String> {
        let (mut next, end) = (from.get(), from.get().saturating_add(limit));
        while next < end {
            let path = format!("/api/v1/ves/events?{}&from={next}&limit={}", query(stream), end - next);
            let text = self.0.http.get_text(&path).map_err(said)?;
            let page: EventsPage<'_> = read(&path, &text).map_err(said)?;
            if page.events.is_empty() {
                break;
            }
            if page.events.len() as u64 > end - next {
                return Err(format!("the server gives more events from {next} on than were asked for"));
            }
            for entry in &page.events {
                let envelope = decode_text(entry.envelope.get(), Format::Lenient)
                    .map_err(|error| format!("event {next}: {error}"))?;
                let receipt =
                    entry.receipt.as_ref().ok_or_else(|| format!("event {next}: it has no receipt"))?;
                let receipt =
                    receipt.to_receipt(*stream).map_err(|error| format!("event {next}: {error}"))?;
                each(Entry {
                    sequence_number: receipt.sequence_number,
                    envelope: &envelope,
                    is_sealed: false,
                    signing_hash: None,
                    receipt_signature: receipt.signature,
                    key_version: receipt.key_version,
                });
                next += 1;
            }
        }
        Ok(())
    }

    fn head(&self, stream: &StreamKey) -> Result<SequenceNumber, String> {
        Ok(self.0.head(stream).map_err(said)?.head_sequence)
    }

    fn commitments(&self, stream: &StreamKey) -> Result<Vec<Commitment>, String> {
        let head = self.head(stream)?;
        chained(head, |from| self.0.commitments(stream, from, COMMITMENTS_PER_PAGE).map_err(said))
    }

    fn checkpoint(&self, stream: &StreamKey, size: u64) -> Result<Option<String>, String> {
        self.checkpoint_at(&format!("/api/v1/ves/checkpoint?{}&size={size}", query(stream)))
    }

    fn newest_checkpoint(&self, stream: &StreamKey) -> Result<Option<String>, String> {
        self.checkpoint_at(&format!("/api/v1/ves/checkpoint?{}", query(stream)))
    }
}

impl ServerSource<'_> {
    fn checkpoint_at(&self, path: &str) -> Result<Option<String>, String> {
        match self.0.http.get_text(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(said(error)),
        }
    }
}

fn said(error: ClientError) -> String {
    error.to_string()
}

/// The commitments of all pages up to `head`. A server that invents them without end is not followed beyond its own
/// head, and each page has to continue the chain, so every page brings the end nearer.
fn chained(
    head: SequenceNumber,
    mut page_from: impl FnMut(SequenceNumber) -> Result<Vec<Commitment>, String>,
) -> Result<Vec<Commitment>, String> {
    let mut all: Vec<Commitment> = Vec::new();
    loop {
        let from = all
            .last()
            .map_or(SequenceNumber(1), |last| SequenceNumber(last.sequence_end.get().saturating_add(1)));
        let page = page_from(from)?;
        if let Some(first) = page.first() {
            first
                .follows(all.last())
                .map_err(|problem| format!("commitment {}: {problem}", first.batch_id))?;
        }
        let more = page.len() == COMMITMENTS_PER_PAGE;
        all.extend(page);
        if !more || all.last().is_some_and(|last| last.sequence_end >= head) {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ves::{BatchId, Digest, StoreId, TenantId, TimestampMs};

    /// Commitments of one event each, without end.
    fn page(from: SequenceNumber, mut previous: Digest) -> Vec<Commitment> {
        let stream =
            StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) };
        (from.get()..from.get() + COMMITMENTS_PER_PAGE as u64)
            .map(|n| {
                let (id, start) = (BatchId::from_bytes([3; 16]), SequenceNumber(n));
                let made = Commitment::new(id, stream, previous, start, Digest::ZERO, 1, TimestampMs(0));
                previous = made.new_state_root;
                made
            })
            .collect()
    }

    #[test]
    fn audit_pages_of_commitments_chain_and_stop_at_the_head() {
        let (mut asked, mut last) = (0, Digest::ZERO);
        let all = chained(SequenceNumber(1500), |from| {
            asked += 1;
            let page = page(from, last);
            last = page[page.len() - 1].new_state_root;
            Ok(page)
        });
        assert_eq!((all.unwrap().len(), asked), (2000, 2));

        let broken = chained(SequenceNumber(1500), |from| Ok(page(from, Digest::ZERO)));
        assert!(broken.is_err(), "the second page does not follow the first");
        let repeated = chained(SequenceNumber(1500), |_| Ok(page(SequenceNumber(1), Digest::ZERO)));
        assert!(repeated.is_err(), "the second page is the first again");
    }
}
