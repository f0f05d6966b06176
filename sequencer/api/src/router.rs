//! The routes, and what they share.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use stateset_sequencer::Sequencer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::{AllowOrigin, CorsLayer};
use ves_wire::error::ErrorCode;
use ves_wire::ingest::Limits;

use crate::budget::Budget;
use crate::config::ApiConfig;
use crate::error::ApiError;
use crate::frame::{frame, in_time};
use crate::metrics::HttpMetrics;
use crate::rate::Rates;
use crate::{access, commitments, events, ingest, keys, metrics, operations, proofs};

/// Smallest answer worth compressing, in bytes.
const COMPRESS_BYTES_MIN: u16 = 1024;

/// What every handler may use. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub sequencer: Sequencer,
    pub config: ApiConfig,
    pub limits: Limits,
    pub metrics: HttpMetrics,
    pub rates: Rates,
    pub budget: Budget,
    /// CORS is on.
    pub browsers_may_call: bool,
    /// Held while a key is minted: how many an agent has is counted before.
    pub minting: tokio::sync::Mutex<()>,
}

impl Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Every door of one sequencer. They share limits and budgets.
pub struct Doors {
    pub rest: Router,
    pub grpc: Router,
}

/// The REST surface of one sequencer.
pub fn router(sequencer: Sequencer, config: ApiConfig) -> Router {
    doors(sequencer, config).rest
}

/// The doors of one sequencer, each to be served on a listener of its own.
pub fn doors(sequencer: Sequencer, config: ApiConfig) -> Doors {
    let cors = cors(&config);
    let app = App(Arc::new(Shared {
        sequencer,
        limits: config.ingest_limits(),
        rates: Rates::new(config.tenant_rate_per_minute),
        metrics: HttpMetrics::default(),
        budget: Budget::new(config.bytes_in_flight_max),
        browsers_may_call: cors.is_some(),
        minting: tokio::sync::Mutex::default(),
        config,
    }));
    let grpc = Router::new();
    let router = write_routes()
        .merge(read_routes())
        .merge(large_routes().layer(
            CompressionLayer::new().gzip(true).compress_when(SizeAbove::new(COMPRESS_BYTES_MIN.into())),
        ))
        .fallback(|| async { ApiError::new(ErrorCode::ResourceNotFound, "no such route") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(ErrorCode::MethodNotAllowed, "the route has other methods")
        });
    let router = match cors {
        // Inside the origin's headers, which an answer in place of a late one needs too.
        Some(cors) => router.layer(from_fn_with_state(app.clone(), in_time)).layer(cors),
        None => router,
    };
    Doors { rest: router.layer(from_fn_with_state(app.clone(), frame)).with_state(app), grpc }
}

fn write_routes() -> Router<App> {
    Router::new()
        .route("/api/v1/ves/events/ingest", post(ingest::ingest))
        .route("/api/v1/agents/keys/revoke", post(keys::revoke))
        .route("/api/v1/agents/{agent_id}/api-keys/{key_prefix}", delete(access::revoke))
        .route("/api/v1/ves/proofs/verify", post(proofs::verify))
}

fn read_routes() -> Router<App> {
    Router::new()
        .route("/health", get(operations::health))
        .route("/ready", get(operations::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/ves/sequencer", get(operations::sequencer))
        .route("/api/v1/ves/head", get(events::head))
        .route("/api/v1/ves/commitments/{batch_id}", get(commitments::get))
        .route("/api/v1/ves/proofs/{sequence_number}", get(proofs::inclusion))
        .route("/api/v1/ves/proofs/{sequence_number}/log", get(proofs::log_inclusion))
        .route("/api/v1/ves/checkpoint", get(proofs::checkpoint))
        .route("/api/v1/ves/consistency", get(proofs::consistency))
        .route("/api/v1/agents/{agent_id}", get(access::agent))
}

/// Routes whose answers can be long: compressed for callers that offer it.
fn large_routes() -> Router<App> {
    Router::new()
        .route("/api/v1/ves/events", get(events::page))
        .route("/api/v1/ves/events/{event_id}", get(events::one))
        .route("/api/v1/ves/commitments", get(commitments::list).post(commitments::create))
        .route("/api/v1/agents/keys", get(keys::list).post(keys::register))
        .route("/api/v1/agents/{agent_id}/api-keys", get(access::list).post(access::mint))
}

/// Section 1.5. `*` allows all. Origins that are no header value can't match any browser's and are left out.
fn cors(config: &ApiConfig) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = config.cors_allow_origins.iter().filter_map(|o| o.parse().ok()).collect();
    (!origins.is_empty()).then(|| {
        let all = origins.iter().any(|origin| origin == "*");
        CorsLayer::new()
            .allow_origin(if all { AllowOrigin::any() } else { AllowOrigin::list(origins) })
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .expose_headers([
                HeaderName::from_static("x-request-id"),
                HeaderName::from_static("x-error-code"),
                header::RETRY_AFTER,
            ])
    })
}
