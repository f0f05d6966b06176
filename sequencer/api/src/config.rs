//! What the door must be told before it opens.

use std::time::Duration;

use ves::hex::Format;
use ves_wire::ingest::Limits;

use crate::budget::BYTES_IN_FLIGHT_MAX;

/// Whether callers must show who they are (section 1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthMode {
    #[default]
    Required,
    /// A request without a usable credential acts as bootstrap admin. For a developer's own machine.
    Disabled,
}

/// Whether a signing key is registered without proof that its owner holds it (section 3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Possession {
    #[default]
    Required,
    /// For old clients that send none; a proof that is sent is still checked.
    Optional,
}

/// Configuration of the REST surface; the defaults are those of section 1.6.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    pub auth: AuthMode,
    pub possession: Possession,
    /// Spelling of hex and base64url inside events (VES section 2).
    pub format: Format,
    pub body_bytes_max: usize,
    /// Bytes of bodies and of pages held at once, over all requests; the next ones wait within their time.
    pub bytes_in_flight_max: usize,
    pub batch_events_max: usize,
    pub payload_bytes_max: usize,
    pub request_time_max: Duration,
    /// Requests a minute of one tenant; `None` sets no limit.
    pub tenant_rate_per_minute: Option<u32>,
    /// Origins that browsers may call from, `*` for all; none turns CORS off.
    pub cors_allow_origins: Vec<String>,
    /// Bound of the service's queue, which `/ready` shows in percent.
    pub queue_events_max: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            auth: AuthMode::Required,
            possession: Possession::Required,
            format: Format::Lenient,
            body_bytes_max: 10 << 20,
            bytes_in_flight_max: BYTES_IN_FLIGHT_MAX,
            batch_events_max: 1000,
            payload_bytes_max: 1 << 20,
            request_time_max: Duration::from_secs(30),
            tenant_rate_per_minute: None,
            cors_allow_origins: Vec::new(),
            queue_events_max: 65_536,
        }
    }
}

impl ApiConfig {
    pub(crate) fn ingest_limits(&self) -> Limits {
        Limits {
            events_max: self.batch_events_max,
            payload_bytes_max: self.payload_bytes_max,
            format: self.format,
        }
    }
}
