//! The routes, and what they share.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use stateset_sequencer::Sequencer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use ves_wire::error::ErrorCode;
use ves_wire::ingest::Limits;

use crate::budget::Budget;
use crate::caller::Caller;
use crate::config::ApiConfig;
use crate::error::{ApiError, unavailable};
use crate::frame::{frame, in_time};
use crate::front::NOBODY;
use crate::lane::Lanes;
use crate::metrics::HttpMetrics;
use crate::rate::Rates;
use crate::shedding::Shedding;
use crate::stream::hub::Hub;
use crate::token::Tokens;
use crate::{audit::Audit, openapi::document, routes};

/// What every handler may use. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub sequencer: Sequencer,
    pub config: ApiConfig,
    pub limits: Limits,
    pub metrics: HttpMetrics,
    pub audit: Audit,
    /// The document, written once.
    pub openapi: String,
    pub started: Instant,
    #[cfg(feature = "grpc")]
    pub grpc: crate::grpc::GrpcMetrics,
    pub rates: Rates,
    /// Registrations, which have no credential to count by.
    pub registrations: Rates,
    /// `None` while tokens are not enabled.
    pub tokens: Option<Tokens>,
    pub budget: Budget,
    pub lanes: Lanes,
    pub shedding: Shedding,
    /// Listeners to live feeds.
    pub hub: Hub,
    /// CORS is on.
    pub browsers_may_call: bool,
    /// Held while a key is minted: how many an agent has is counted before.
    pub minting: tokio::sync::Mutex<()>,
}

impl App {
    /// The sequencer in the hands of this caller: what is done is recorded as done by it.
    pub fn acting(&self, caller: &Caller) -> Sequencer {
        self.sequencer.acting(caller.actor())
    }

    /// Asked again wherever time has passed since the request was let in.
    ///
    /// # Errors
    /// 503 once another process may have written: an answer out of this one's memory could be an old one.
    pub fn require_log(&self) -> Result<(), ApiError> {
        if self.sequencer.has_log() { Ok(()) } else { Err(unavailable(NOBODY.to_owned())) }
    }
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
    let routes = routes::all();
    let openapi = serde_json::to_string(&document(&routes.operations)).expect("JSON");
    let audit = Audit::new(&sequencer);
    let app = App(Arc::new(Shared {
        sequencer,
        limits: config.ingest_limits(),
        rates: Rates::new(config.tenant_rate_per_minute, config.rate_window),
        registrations: Rates::new(None, config.registration.rate_window),
        tokens: config.jwt.as_ref().map(Tokens::new),
        metrics: HttpMetrics::default(),
        audit,
        openapi,
        started: Instant::now(),
        #[cfg(feature = "grpc")]
        grpc: crate::grpc::GrpcMetrics::default(),
        budget: Budget::new(config.bytes_in_flight_max),
        lanes: Lanes::default(),
        shedding: Shedding::default(),
        hub: Hub::default(),
        browsers_may_call: cors.is_some(),
        minting: tokio::sync::Mutex::default(),
        config,
    }));
    #[cfg(feature = "grpc")]
    let grpc = crate::grpc::routes(&app);
    #[cfg(not(feature = "grpc"))]
    let grpc = Router::new();
    let router = routes
        .router
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

/// The OpenAPI document of the REST surface, as it is served at `/openapi.json` and kept in `openapi.json`.
pub fn openapi_text() -> String {
    let mut text = serde_json::to_string_pretty(&document(&routes::all().operations)).expect("JSON");
    text.push('\n');
    text
}

/// Section 1.5. `*` allows all. Origins that are no header value can't match any browser's and are left out.
fn cors(config: &ApiConfig) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = config.cors_allow_origins.iter().filter_map(|o| o.parse().ok()).collect();
    (!origins.is_empty()).then(|| {
        let all = origins.iter().any(|origin| origin == "*");
        CorsLayer::new()
            .allow_origin(if all { AllowOrigin::any() } else { AllowOrigin::list(origins) })
            .allow_methods([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
                Method::OPTIONS,
            ])
            // Beyond section 1.5 what our own library sends from a page: another form of the key, its place in a feed.
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("x-api-key"),
                HeaderName::from_static("last-event-id"),
            ])
            .expose_headers([
                HeaderName::from_static("x-request-id"),
                HeaderName::from_static("x-error-code"),
                HeaderName::from_static("x-key-warning"),
                header::RETRY_AFTER,
            ])
    })
}
