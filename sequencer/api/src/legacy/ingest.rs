//! `POST /api/v1/events/ingest`: shape, right, work, answer.

use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use stateset_sequencer::{LegacyOutcome, LegacyResult};
use ves::{BatchId, SequenceNumber};
use ves_wire::legacy::{LegacyIngestAnswer, LegacyIngestRequest, LegacyRejectionBody, parse};

use crate::body::LargeJsonText;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::json;
use crate::router::App;

pub(crate) async fn ingest(
    State(app): State<App>,
    caller: Caller,
    LargeJsonText(body): LargeJsonText,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    caller.require_right(Permission::Write)?;
    let LegacyIngestRequest { agent_id, stream, events } = parse(&body.text, &app.limits)?;
    caller.require_agent(&agent_id)?;
    let count = events.len();
    let Some(stream) = stream else {
        // No event names a stream: there is none, or each was refused for that at least.
        let refused = events.iter().enumerate().filter_map(|(index, event)| {
            let undecodable = event.as_ref().err()?;
            Some(LegacyRejectionBody::new(undecodable.event_id, index, &undecodable.rejection))
        });
        return json(&LegacyIngestAnswer {
            batch_id: BatchId::from_bytes([0; 16]),
            events_accepted: 0,
            events_rejected: count as u64,
            assigned_sequence_start: None,
            assigned_sequence_end: None,
            head_sequence: SequenceNumber::ZERO,
            rejections: refused.collect(),
        });
    };
    caller.require(Permission::Write, &stream)?;
    let outcome = app.sequencer.legacy().ingest(stream, events).await?;
    app.metrics.ingested_legacy(count, started.elapsed());
    json(&answer(&outcome))
}

fn answer(outcome: &LegacyOutcome) -> LegacyIngestAnswer {
    let rejections = outcome.results.iter().enumerate().filter_map(|(index, result)| match result {
        LegacyResult::Accepted(_) => None,
        LegacyResult::Rejected { event_id, rejection } => {
            Some(LegacyRejectionBody::new(*event_id, index, rejection))
        }
    });
    let rejections: Vec<_> = rejections.collect();
    let numbers = outcome.numbers();
    LegacyIngestAnswer {
        batch_id: outcome.batch_id,
        events_accepted: outcome.accepted() as u64,
        events_rejected: rejections.len() as u64,
        assigned_sequence_start: numbers.map(|(start, _)| start),
        assigned_sequence_end: numbers.map(|(_, end)| end),
        head_sequence: outcome.head_sequence,
        rejections,
    }
}
