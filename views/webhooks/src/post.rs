//! One delivery over HTTP: bounded in time and in what is read, to addresses that are allowed, without following anything.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::crypto::aws_lc_rs;
use ureq::config::Config;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::schedule::asked_wait_ms;
use crate::sign::Secret;
use crate::target::{Target, TargetPolicy};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Of a whole delivery.
const TIME_MAX: Duration = Duration::from_secs(15);
/// Of an answer; what it says beyond its status is thrown away.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// One event on its way to one receiver.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub target: Target,
    /// Stays the same however often the event is sent.
    pub id: String,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Each signs: the receiver's own, and those that it may still have.
    pub secrets: Vec<Secret>,
}

/// Why an event was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// `wait_ms`: how long it asks to be left alone, with 429 and 503.
    #[error("the receiver answered {status}")]
    Status { status: u16, wait_ms: i64 },
    #[error("{0}")]
    Refused(String),
    #[error("the receiver can't be reached: {0}")]
    Unreachable(String),
}

impl PostError {
    /// The status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Milliseconds that the receiver asks to be left alone; 0 where it asks for nothing.
    pub fn wait_ms(&self) -> i64 {
        match self {
            Self::Status { wait_ms, .. } => *wait_ms,
            _ => 0,
        }
    }
}

/// Sends deliveries. Cheap to clone; may be used from many threads, each call of which blocks.
#[derive(Clone)]
pub struct Poster {
    agent: ureq::Agent,
}

impl Poster {
    pub fn new(policy: TargetPolicy) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would lead where nobody looked.
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .timeout_global(Some(TIME_MAX))
            .user_agent(concat!("stateset-webhooks/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls())
            .build();
        Self { agent: ureq::Agent::with_parts(config, DefaultConnector::default(), Vetted::new(policy)) }
    }

    /// Sends it at `now_s`, in Unix seconds; the status of an answer of 2xx.
    ///
    /// # Errors
    /// Everything else; the receiver may have taken it all the same.
    pub fn post(&self, delivery: &Delivery, now_s: i64) -> Result<u16, PostError> {
        let signatures = Secret::sign_all(&delivery.secrets, &delivery.id, now_s, &delivery.body);
        let sent = self
            .agent
            .post(delivery.target.uri())
            .header("content-type", delivery.content_type)
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", now_s.to_string())
            .header("webhook-signature", signatures)
            .send(&delivery.body[..]);
        let mut answer = sent.map_err(|problem| said(&problem))?;
        // So that the connection can be used again; it does not matter what it says.
        let _ = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        match answer.status().as_u16() {
            status @ 200..=299 => Ok(status),
            status => Err(PostError::Status { status, wait_ms: asked_wait(&answer, status, now_s) }),
        }
    }
}

/// Of an answer that says "too much" or "not now"; with others the header means something else.
fn asked_wait(answer: &http::Response<ureq::Body>, status: u16, now_s: i64) -> i64 {
    let asked = answer.headers().get(http::header::RETRY_AFTER).filter(|_| matches!(status, 429 | 503));
    asked.and_then(|asked| asked.to_str().ok()).map_or(0, |asked| asked_wait_ms(asked, now_s))
}

fn said(problem: &ureq::Error) -> PostError {
    if let ureq::Error::Other(inner) = problem
        && let Some(NotAllowed(why)) = inner.downcast_ref()
    {
        return PostError::Refused(why.clone());
    }
    PostError::Unreachable(problem.to_string())
}

/// Certificates are believed by the machine's own list.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let roots: RootCerts =
        found.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect::<Vec<_>>().into();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build()
}

/// Looks names up and gives only allowed addresses: what it gives is what is connected to.
struct Vetted {
    policy: TargetPolicy,
    names: DefaultResolver,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotAllowed(String);

impl Vetted {
    fn new(policy: TargetPolicy) -> Self {
        Self { policy, names: DefaultResolver::default() }
    }
}

impl fmt::Debug for Vetted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vetted").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Resolver for Vetted {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        // One that is not allowed condemns the name: whoever names an address inside beside one outside wants in.
        match found.iter().find_map(|address| self.policy.judge(address.ip()).err()) {
            Some(refused) => Err(ureq::Error::Other(Box::new(NotAllowed(refused.to_string())))),
            None => Ok(found),
        }
    }
}
