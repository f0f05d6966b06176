//! Webhooks: events of a stream, posted to a receiver in their order until it takes them.
//!
//! - [`sign`]: the headers of Standard Webhooks, HMAC-SHA256 over `id.timestamp.body`;
//! - [`lane`]: one stream to one receiver as a state machine: what is sent next, when, and when it is given up;
//! - [`schedule`]: how long to wait after each failure;
//! - [`target`]: where a delivery may go, judged by the address that is connected to;
//! - [`post`]: one delivery over HTTP.
//!
//! All but [`post`] are pure: time and randomness come in as values. Nothing here stores anything: who runs lanes keeps
//! their places. Secrets are zeroised and never shown.

pub mod lane;
pub mod post;
pub mod schedule;
pub mod sign;
pub mod target;

pub use lane::{Lane, Outcome, Verdict};
pub use post::{Delivery, Poster};
pub use sign::{Secret, SignError};
pub use target::{Target, TargetError, TargetPolicy};
