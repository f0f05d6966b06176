//! What the door must be told before it opens.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use ves::hex::Format;
use ves_wire::ingest::Limits;

use crate::budget::BYTES_IN_FLIGHT_MAX;
use crate::peer::ProxyTrust;
use crate::read_models::ReadModels;
use crate::stream::FeedConfig;
use crate::token::JwtConfig;
use crate::webhooks::TargetCheck;

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

/// The window of a rate limit, and how many callers are counted one by one in it (section 1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateWindow {
    /// Callers beyond this number share counts.
    pub entries_max: usize,
    /// Any span of this many seconds holds at most the limit; 60 makes it a limit per minute.
    pub seconds: u32,
}

impl Default for RateWindow {
    fn default() -> Self {
        Self { entries_max: 10_000, seconds: 60 }
    }
}

/// Self-service registration (section 3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationConfig {
    pub enabled: bool,
    /// Registrations of one address in a window.
    pub rate_limit: u32,
    pub rate_window: RateWindow,
}

impl Default for RegistrationConfig {
    fn default() -> Self {
        Self { enabled: false, rate_limit: 30, rate_window: RateWindow::default() }
    }
}

/// Configuration of the REST surface; the defaults are those of section 1.6.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    pub auth: AuthMode,
    /// Tokens of whom are believed; `None` believes none.
    pub jwt: Option<JwtConfig>,
    pub possession: Possession,
    /// Spelling of hex and base64url inside events (VES section 2).
    pub format: Format,
    pub body_bytes_max: usize,
    /// Bytes of bodies and of pages held at once, over all requests; the next ones wait within their time. A tenant gets
    /// half of them at most.
    pub bytes_in_flight_max: usize,
    pub batch_events_max: usize,
    pub payload_bytes_max: usize,
    pub request_time_max: Duration,
    /// Longest time between two pieces of a body or of a message that has begun.
    pub body_pause_max: Duration,
    /// Time of a gRPC call until its answer begins; streams go on as long as both sides want.
    pub grpc_request_time_max: Duration,
    /// Requests of one tenant in [`Self::rate_window`], a minute by default; `None` sets no limit.
    pub tenant_rate_per_minute: Option<u32>,
    /// Of the limits of tenants and of keys.
    pub rate_window: RateWindow,
    pub registration: RegistrationConfig,
    /// Addresses from which the admin routes of section 3.11 answer; empty means every address.
    pub admin_ip_allowlist: Vec<IpNet>,
    pub proxies: ProxyTrust,
    /// Origins that browsers may call from, `*` for all; none turns CORS off.
    pub cors_allow_origins: Vec<String>,
    /// Opens the two routes of an outside anchor service to callers without a credential (section 3.12). For a private
    /// listener.
    pub anchor_compat_open: bool,
    /// Bound of the service's queue, which `/ready` shows in percent.
    pub queue_events_max: usize,
    /// Where the states of entities are read; without it their routes tell of events only.
    pub read_models: Option<Arc<dyn ReadModels>>,
    /// Of the live feed.
    pub feed: FeedConfig,
    /// Where webhooks may go.
    pub webhook_targets: TargetCheck,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            auth: AuthMode::Required,
            jwt: None,
            possession: Possession::Required,
            format: Format::Lenient,
            body_bytes_max: 10 << 20,
            bytes_in_flight_max: BYTES_IN_FLIGHT_MAX,
            batch_events_max: 1000,
            payload_bytes_max: 1 << 20,
            request_time_max: Duration::from_secs(30),
            body_pause_max: Duration::from_secs(10),
            grpc_request_time_max: Duration::from_secs(30),
            tenant_rate_per_minute: None,
            rate_window: RateWindow::default(),
            registration: RegistrationConfig::default(),
            admin_ip_allowlist: Vec::new(),
            proxies: ProxyTrust::default(),
            cors_allow_origins: Vec::new(),
            anchor_compat_open: false,
            queue_events_max: 65_536,
            read_models: None,
            feed: FeedConfig::default(),
            webhook_targets: TargetCheck::default(),
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
