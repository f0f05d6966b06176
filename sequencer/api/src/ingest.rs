//! `POST /api/v1/ves/events/ingest`: shape, right, work, answer.

use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use stateset_sequencer::{EventResult, Sequencer};
use ves::{BatchId, SequenceNumber};
use ves_wire::ingest::{IngestRequest, Outcome, parse, write_answer};

use crate::body::LargeJsonText;
use crate::caller::{Caller, Permission};
use crate::error::ApiError;
use crate::frame::json_text;
use crate::lane::Way;
use crate::policies;
use crate::router::App;

pub(crate) async fn ingest(
    State(app): State<App>,
    caller: Caller,
    LargeJsonText(body): LargeJsonText,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let request = parse(&body.text, &app.limits)?;
    caller.require_agent(&request.agent_id)?;
    let count = request.events.len();
    // Whoever has not sent its body yet stands in nobody's way.
    let way = app.lanes.enter(caller.counted()).await?;
    let (answer, key_warnings) = admit(&app.sequencer, &caller, &way, request).await?;
    app.metrics.ingested(count, started.elapsed());
    let mut response = json_text(answer);
    policies::warn(&key_warnings, response.headers_mut());
    Ok(response)
}

/// The answer, and what the owners of the keys should hear.
async fn admit(
    sequencer: &Sequencer,
    caller: &Caller,
    way: &Way,
    request: IngestRequest<'_>,
) -> Result<(String, Vec<String>), ApiError> {
    let Some(stream) = request.stream else {
        // No event names a stream, so each was refused for that at least; nothing reaches the service.
        let refused = request.events.iter().map(|event| match event {
            Ok(_) => unreachable!("a decoded event names its stream"),
            Err(undecodable) => {
                Outcome::Rejected { event_id: undecodable.event_id, rejection: &undecodable.rejection }
            }
        });
        let batch_id = uuid::Uuid::nil();
        return Ok((write_answer(BatchId(batch_id), SequenceNumber::ZERO, refused), Vec::new()));
    };
    caller.require(Permission::Write, &stream)?;
    let outcome = sequencer.ingest(stream, request.events).await?;
    way.note(&outcome.results);
    let outcomes = outcome.results.iter().map(|result| match result {
        EventResult::Accepted(receipt) => Outcome::Accepted(receipt),
        EventResult::Replayed(receipt) => Outcome::Replayed(receipt),
        EventResult::Rejected { event_id, rejection } => Outcome::Rejected { event_id: *event_id, rejection },
    });
    let answer = write_answer(outcome.batch_id, outcome.head_sequence, outcomes);
    Ok((answer, outcome.key_warnings))
}
