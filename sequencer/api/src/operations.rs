//! Health, readiness, and who this sequencer is (section 3.11). No credential is needed.

use axum::extract::State;
use axum::response::Response;
use ves::TimestampMs;
use ves_wire::operations::{DatabaseBody, HealthBody, ReadyBody, SequencerBody, SequencerKeyBody};
use ves_wire::receipt::SIGNATURE_ED25519;
use ves_wire::{ErrorCode, Hex, Rfc3339};

use crate::error::ApiError;
use crate::frame::{json, json_text};
use crate::health::{ask_store, milliseconds, pool, queue};
use crate::router::App;

/// `GET /health`
pub(crate) async fn health(State(app): State<App>) -> Result<Response, ApiError> {
    alive(app.sequencer.now())
}

/// The process lives, whatever its store does.
pub(crate) fn alive(now: TimestampMs) -> Result<Response, ApiError> {
    json(&HealthBody {
        status: "healthy".to_owned(),
        service: "stateset-sequencer".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timestamp: Rfc3339(now),
    })
}

/// `GET /ready`: asks the store, and the key of the receipts.
pub(crate) async fn ready(State(app): State<App>) -> Result<Response, ApiError> {
    let (took, answered) = ask_store(&app).await?;
    if !answered {
        return Err(ApiError::new(
            ErrorCode::ServiceUnavailable,
            "the service is not ready, and its log says why: the store or the key that signs receipts can't be used, and no event \
             is accepted; or a chain or ledger that `stateset up` runs itself does not answer, and nothing is anchored or sold",
        )
        .retry_after(1));
    }
    json(&ReadyBody {
        status: "ready".to_owned(),
        database: DatabaseBody { connected: true, response_time_ms: milliseconds(took) },
        pool: pool(&app),
        queue: queue(&app),
    })
}

/// `GET /openapi.json` (ours): what every route takes and answers.
pub(crate) async fn openapi(State(app): State<App>) -> Response {
    json_text(app.openapi.clone())
}

/// `GET /api/v1/ves/sequencer` (ours): the public keys that verify receipts and checkpoints offline.
pub(crate) async fn sequencer(State(app): State<App>) -> Result<Response, ApiError> {
    let sequencer = &app.sequencer;
    json(&SequencerBody {
        sequencer_id: sequencer.sequencer_id(),
        signature_alg: SIGNATURE_ED25519.to_owned(),
        key_version: sequencer.key_version(),
        public_key: Hex(sequencer.public_key()),
        keys: sequencer
            .sequencer_keys()
            .iter()
            .map(|key| SequencerKeyBody {
                key_version: key.key_version,
                sequencer_id: key.sequencer_id,
                public_key: Hex(key.public_key),
                created_at: Rfc3339(key.created_at),
            })
            .collect(),
    })
}
