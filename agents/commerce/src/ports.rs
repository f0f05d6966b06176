//! What checkouts need of the world, in their own words; programs join it.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use uuid::Uuid;

use crate::session::Paid;
use crate::versions::Refusal;

/// An answer that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One event to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub event_id: Uuid,
    pub entity_type: &'static str,
    pub entity_id: String,
    pub event_type: String,
    pub payload: Value,
    /// Events that the entity has before this one: with another count it is refused.
    pub version: u64,
}

/// A recorded event of the business's own agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub event_type: String,
    pub payload: Value,
    pub place: Place,
}

/// Where an event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub event_id: Uuid,
    pub sequence_number: u64,
}

/// The events of one entity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Events of the entity, by whomever.
    pub version: u64,
    /// Those of the business's own agent, oldest first.
    pub own: Vec<Recorded>,
}

/// Why the log did not take or give an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The entity has moved on: somebody else was first.
    #[error("{entity} has moved on meanwhile")]
    Conflict { entity: String },
    #[error("the log can't be reached: {0}")]
    Unavailable(String),
    #[error("the log refuses an event: {0}")]
    Refused(String),
}

/// The signed, ordered log of the business.
pub trait Journal: Send + Sync {
    /// Every event of an entity.
    fn history<'a>(
        &'a self,
        entity_type: &'static str,
        entity_id: &'a str,
    ) -> Later<'a, Result<History, JournalError>>;

    /// Signs and records an event; it is durable when this returns. The same event again gets its first place.
    fn append<'a>(&'a self, fact: &'a Fact) -> Later<'a, Result<Place, JournalError>>;
}

/// Why a payment was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TillError {
    /// It is not a payment of this price, or can't be settled. Nothing moved.
    #[error("{0}")]
    Refused(String),
    /// It may be settled later; the same payment brought again gets the outcome.
    #[error("{0}")]
    Underway(String),
}

/// Takes payments by x402.
pub trait Till: Send + Sync {
    /// `config` of the payment handler in the profile.
    fn terms(&self) -> Value;

    /// `config` of the payment handler for this amount: `{"x402Version": 2, "accepts": […]}`. `None` where the amount can't
    /// be asked for.
    fn offer(&self, minor: u64, currency: &str) -> Option<Value>;

    /// Reads a payment and checks it against the price, without the chain: the account that pays, as `0x` text.
    ///
    /// # Errors
    /// What is wrong with it.
    fn payer(&self, payment: &Value, minor: u64, currency: &str) -> Result<String, String>;

    /// Settles a payment for `resource`, once: the same payment for the same resource gets the first outcome.
    fn settle<'a>(
        &'a self,
        payment: &'a Value,
        minor: u64,
        currency: &'a str,
        resource: &'a str,
    ) -> Later<'a, Result<Paid, TillError>>;
}

/// Profiles of platforms.
pub trait Platforms: Send + Sync {
    /// The document at a URL.
    fn profile<'a>(&'a self, url: &'a str) -> Later<'a, Result<Vec<u8>, Refusal>>;

    /// Whether mandates of this platform are believed.
    fn trusts(&self, url: &str) -> bool;
}

/// Milliseconds since 1970.
pub trait Clock: Send + Sync {
    fn now(&self) -> ves::TimestampMs;
}
