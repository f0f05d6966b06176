//! Anchoring of batches: on request (sections 3.2, 3.3, 3.6), and told by an outside anchor service (section 3.7).

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use stateset_sequencer::{Actor, AnchorBatch, AnchorError, Anchored, ChainPlace, TargetError};
use ves::audit::ActorType;
use ves::{BatchId, Commitment, SequenceNumber, StreamKey};
use ves_wire::Rfc3339;
use ves_wire::anchor::{
    AnchorAnswer, AnchorRequest, AnchorStatus, AnchorVerification, AnchoredAnswer, AnchoredNotice,
    CommitAndAnchorAnswer, CommitAndAnchorRequest, Hex0x, PendingCommitment, PendingCommitments,
    STATUS_ALREADY_ANCHORED, STATUS_ANCHORED,
};
use ves_wire::error::ErrorCode;

use crate::audit::Origin;
use crate::body::JsonText;
use crate::caller::{Caller, Permission};
use crate::commitments::{self, with_chain};
use crate::error::ApiError;
use crate::frame::json;
use crate::params::{Params, Segments, page_limit};
use crate::peer::client_address;
use crate::router::App;

const PENDING_DEFAULT: usize = 1000;
const PENDING_MAX: usize = 5000;
/// Events of a batch that is made to be anchored, where the caller names no range.
const BATCH_EVENTS_DEFAULT: u64 = 1024;
/// Longest range of one batch (VES section 14.3).
const BATCH_EVENTS_MAX: u64 = 1 << 20;
/// Seconds after which a chain may be reached again.
const CHAIN_RETRY_S: u32 = 10;

impl From<AnchorError> for ApiError {
    fn from(error: AnchorError) -> Self {
        match error {
            AnchorError::Service(error) => error.into(),
            AnchorError::NotConfigured => Self::new(ErrorCode::AnchorNotConfigured, error.to_string()),
            AnchorError::OtherTransaction(_) => Self::new(ErrorCode::AlreadyExists, error.to_string()),
            // What an endpoint says may hold its address and its keys: it stays in the log.
            AnchorError::Target(TargetError::Unavailable(problem)) => {
                tracing::warn!(%problem, "the chain can't be reached");
                let message = "the chain can't be reached now; ask again, a batch is not anchored twice";
                Self::new(ErrorCode::ServiceUnavailable, message).retry_after(CHAIN_RETRY_S)
            }
            AnchorError::Target(TargetError::Refused(problem)) => {
                tracing::error!(%problem, "the chain refuses a batch");
                Self::new(ErrorCode::AnchorFailed, "the chain refuses the batch; the service's log says why")
            }
        }
    }
}

/// `POST /api/v1/ves/anchor`
pub(crate) async fn anchor(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: AnchorRequest = body.read_for_admin(&caller)?;
    let commitment = commitments::find(&app, &caller, Permission::Admin, &request.batch_id).await?;
    put_on_chain(&app, &caller, AnchorBatch::from(&commitment)).await
}

/// `POST /api/v1/anchor`: of either stream.
pub(crate) async fn anchor_either(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: AnchorRequest = body.read_for_admin(&caller)?;
    let batch = of_either(&app, &caller, Permission::Admin, &request.batch_id).await?;
    put_on_chain(&app, &caller, batch).await
}

async fn put_on_chain(app: &App, caller: &Caller, batch: AnchorBatch) -> Result<Response, ApiError> {
    let anchored = app.acting(caller).anchor(batch.clone()).await?;
    json(&AnchorAnswer {
        batch_id: batch.batch_id,
        status: status_of(&anchored).to_owned(),
        chain_tx_hash: anchored.place.tx_hash,
        chain_block_number: anchored.place.block_number,
        merkle_root: batch.events_root,
        sequence_start: batch.sequence_start,
        sequence_end: batch.sequence_end,
    })
}

/// `GET /api/v1/ves/anchor/{batch_id}/verify`
pub(crate) async fn verify(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    let commitment = commitments::find(&app, &caller, Permission::Read, &batch_id).await?;
    ask_chain(&app, AnchorBatch::from(&commitment)).await
}

/// `GET /api/v1/anchor/{batch_id}/verify`: of either stream.
pub(crate) async fn verify_either(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    let batch = of_either(&app, &caller, Permission::Read, &batch_id).await?;
    ask_chain(&app, batch).await
}

async fn ask_chain(app: &App, batch: AnchorBatch) -> Result<Response, ApiError> {
    let batch_id = batch.batch_id;
    let anchored_on_chain = app.sequencer.is_on_chain(batch).await?;
    json(&AnchorVerification { batch_id, anchored_on_chain })
}

/// The batch of this id among the older ones or else among the signed, where the caller has `permission` on its stream.
async fn of_either(
    app: &App,
    caller: &Caller,
    permission: Permission,
    batch_id: &BatchId,
) -> Result<AnchorBatch, ApiError> {
    caller.require_right(permission)?;
    let older = app.sequencer.legacy().commitment(caller.sees(), batch_id).await?;
    match older.filter(|batch| caller.require(permission, &batch.stream).is_ok()) {
        Some(older) => Ok(AnchorBatch::from(&older)),
        None => Ok(AnchorBatch::from(&commitments::find(app, caller, permission, batch_id).await?)),
    }
}

/// `GET /api/v1/anchor/status`
pub(crate) async fn status(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    caller.require_right(Permission::Read)?;
    let anchor_enabled = app.sequencer.can_anchor();
    let message = match anchor_enabled {
        true => "a chain is joined: commitments are anchored on request",
        false => "no chain is joined: an outside anchor service may ask for pending commitments",
    };
    json(&AnchorStatus { anchor_enabled, message: message.to_owned() })
}

/// `POST /api/v1/ves/commitments/anchor`
pub(crate) async fn commit_and_anchor(
    State(app): State<App>,
    caller: Caller,
    body: JsonText,
) -> Result<Response, ApiError> {
    let request: CommitAndAnchorRequest = body.read_for_admin(&caller)?;
    let stream = StreamKey { tenant_id: request.tenant_id, store_id: request.store_id };
    caller.require(Permission::Admin, &stream)?;
    // Before anything is committed for a chain that is not there.
    if !app.sequencer.can_anchor() {
        return Err(AnchorError::NotConfigured.into());
    }
    let (start, end) = range(&app, &stream, &request)?;
    commitments::record_request(&app, &caller, stream, (start, end)).await?;
    let commitment: Commitment = app.sequencer.commit(&stream, start, end).await?;
    let anchored = app.acting(&caller).anchor(AnchorBatch::from(&commitment)).await?;
    json(&CommitAndAnchorAnswer {
        commitment: with_chain(&commitment, Some(anchored)),
        status: status_of(&anchored).to_owned(),
    })
}

fn range(
    app: &App,
    stream: &StreamKey,
    request: &CommitAndAnchorRequest,
) -> Result<(SequenceNumber, SequenceNumber), ApiError> {
    let missing = |field: &str| {
        let message = format!("{field} is missing: send both ends of a range or neither");
        Err(ApiError::new(ErrorCode::MissingRequiredField, message))
    };
    let events_max = request.max_events.unwrap_or(BATCH_EVENTS_DEFAULT);
    if !(1..=BATCH_EVENTS_MAX).contains(&events_max) {
        return Err(ApiError::invalid("max_events", format_args!("expected 1 to {BATCH_EVENTS_MAX}")));
    }
    match (request.sequence_start, request.sequence_end) {
        (Some(start), Some(end)) => Ok((start, end)),
        (Some(_), None) => missing("sequence_end"),
        (None, Some(_)) => missing("sequence_start"),
        (None, None) => {
            let head = app.sequencer.head(stream);
            let committed = head.latest_commitment.map_or(0, |batch| batch.sequence_end.get());
            let end = head.head_sequence.get().min(committed.saturating_add(events_max));
            if end <= committed {
                let message = format!("there is nothing to commit after event {committed}");
                return Err(ApiError::new(ErrorCode::InvalidFieldValue, message));
            }
            Ok((SequenceNumber(committed + 1), SequenceNumber(end)))
        }
    }
}

fn status_of(anchored: &Anchored) -> &'static str {
    if anchored.is_new { STATUS_ANCHORED } else { STATUS_ALREADY_ANCHORED }
}

/// The outside anchor service: it acts for every tenant, so it is the bootstrap admin, or anyone where the
/// configuration opens the routes to it.
pub(crate) struct AnchorService(Actor);

impl FromRequestParts<App> for AnchorService {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if app.config.anchor_compat_open {
            let address = client_address(&parts.extensions, &parts.headers, app);
            let origin = Origin::of(&parts.headers).at(address);
            return Ok(Self(origin.actor(ActorType::System, "an anchor service without credential")));
        }
        let caller = Caller::from_request_parts(parts, app).await?;
        match caller.is_bootstrap() {
            true => Ok(Self(caller.actor())),
            false => Err(ApiError::forbidden("the bootstrap admin is required")),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct PendingParams {
    limit: Option<usize>,
    /// The last batch of the page before.
    after: Option<BatchId>,
}

/// `GET /v1/commitments/pending`
pub(crate) async fn pending(
    State(app): State<App>,
    _: AnchorService,
    Params(params): Params<PendingParams>,
) -> Result<Response, ApiError> {
    let limit = page_limit(params.limit, PENDING_DEFAULT, PENDING_MAX)?;
    let after = match params.after {
        Some(batch_id) => Some(any_batch(&app, &batch_id).await?.ok_or_else(|| {
            ApiError::invalid("after", "expected the next_after of the page before, or leave it out")
        })?),
        None => None,
    };
    // One more than the page holds tells whether there are more.
    let mut pending = app.sequencer.pending_anchors(after.as_ref(), limit + 1).await?;
    let has_more = pending.len() > limit;
    pending.truncate(limit);
    let next_after = pending.last().filter(|_| has_more).map(|last| last.batch_id);
    let commitments: Vec<_> = pending.into_iter().map(pending_body).collect();
    json(&PendingCommitments { total: commitments.len(), commitments, next_after })
}

/// The batch of this id, of whatever tenant and form.
async fn any_batch(app: &App, batch_id: &BatchId) -> Result<Option<AnchorBatch>, ApiError> {
    if let Some(signed) = app.sequencer.commitment(None, batch_id).await? {
        return Ok(Some(AnchorBatch::from(&signed)));
    }
    Ok(app.sequencer.legacy().commitment(None, batch_id).await?.as_ref().map(AnchorBatch::from))
}

fn pending_body(batch: AnchorBatch) -> PendingCommitment {
    PendingCommitment {
        batch_id: batch.batch_id,
        tenant_id: batch.stream.tenant_id,
        store_id: batch.stream.store_id,
        prev_state_root: Hex0x(batch.prev_state_root),
        new_state_root: Hex0x(batch.new_state_root),
        events_root: Hex0x(batch.events_root),
        sequence_start: batch.sequence_start,
        sequence_end: batch.sequence_end,
        event_count: batch.event_count,
        committed_at: Rfc3339(batch.committed_at),
    }
}

/// `POST /v1/commitments/{batch_id}/anchored`
pub(crate) async fn anchored(
    State(app): State<App>,
    AnchorService(actor): AnchorService,
    segments: Segments,
    body: JsonText,
) -> Result<Response, ApiError> {
    let batch_id: BatchId = segments.get("batch_id", "a UUID")?;
    let notice: AnchoredNotice = body.read()?;
    let place = ChainPlace {
        chain_id: notice.chain_id,
        tx_hash: notice.chain_tx_hash,
        block_number: notice.block_number,
        gas_used: notice.gas_used,
    };
    let Some(batch) = any_batch(&app, &batch_id).await? else {
        return Err(ApiError::new(ErrorCode::BatchNotFound, "the batch is unknown").about(batch_id));
    };
    let anchored = app.sequencer.acting(actor).record_anchor_instead(&batch, place, notice.replaces).await?;
    json(&AnchoredAnswer {
        batch_id,
        status: status_of(&anchored).to_owned(),
        chain_tx_hash: Hex0x(anchored.place.tx_hash),
        chain_id: anchored.place.chain_id,
        block_number: anchored.place.block_number,
    })
}
