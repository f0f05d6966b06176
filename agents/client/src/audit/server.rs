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
        let (mut next, end) = (from.get(), from.get() + limit);
        while next < end {
            let path = format!("/api/v1/ves/events?{}&from={next}&limit={}", query(stream), end - next);
            let text = self.0.http.get_text(&path).map_err(said)?;
            let page: EventsPage<'_> = read(&path, &text).map_err(said)?;
            if page.events.is_empty() {
                break;
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
        let mut all: Vec<Commitment> = Vec::new();
        loop {
            let from =
                all.last().map_or(SequenceNumber(1), |last| SequenceNumber(last.sequence_end.get() + 1));
            let page = self.0.commitments(stream, from, COMMITMENTS_PER_PAGE).map_err(said)?;
            let more = page.len() == COMMITMENTS_PER_PAGE;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    fn checkpoint(&self, stream: &StreamKey, size: u64) -> Result<Option<String>, String> {
        let path = format!("/api/v1/ves/checkpoint?{}&size={size}", query(stream));
        match self.0.http.get_text(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(said(error)),
        }
    }
}

fn said(error: ClientError) -> String {
    error.to_string()
}
