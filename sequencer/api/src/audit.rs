//! The doors' part of the audit log (section 9): who acts and from where, logins, refusals, and the log as a route.

mod gathered;
mod list;
mod refusals;

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};
use stateset_sequencer::Actor;
use ves::Digest;
use ves::audit::ActorType;

use crate::frame::REQUEST_ID;

pub(crate) use gathered::Audit;
pub(crate) use list::list;
pub(crate) use refusals::{asks, watch};

/// Where a request comes from. Cheap to make and to clone: every request has one, and few are recorded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    request_id: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    address: Option<IpAddr>,
}

impl Origin {
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            request_id: headers.get(REQUEST_ID).cloned(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            address: None,
        }
    }

    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    pub fn actor(&self, kind: ActorType, name: impl Into<String>) -> Actor {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        Actor {
            request_id: self.request_id.as_ref().and_then(text),
            user_agent: self.user_agent.as_ref().and_then(text),
            address: self.address,
            ..Actor::new(kind, name)
        }
    }
}

/// How an API key is named: the first 16 digits of its hash.
pub(crate) fn key_name(key_hash: &Digest) -> String {
    ves::hex::encode(&key_hash.as_bytes()[..8])
}
