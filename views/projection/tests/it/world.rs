//! Futures that never wait, and payloads that fit.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde_json::{Value, json};
use stateset_projection::{Kind, Need, Transition};
use ves::{StoreId, StreamKey, TenantId};

pub const STREAM: StreamKey =
    StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) };

/// The ports in memory are always ready.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a port in memory waits for nothing"),
    }
}

/// A payload that the transition takes.
pub fn fitting(transition: &Transition) -> Value {
    let members = transition.fields.iter().filter(|field| field.need == Need::Required);
    members
        .map(|field| (field.name.to_owned(), fitting_value(field.kind)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub fn fitting_value(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!("text"),
        Kind::Integer { min } => json!(min.max(0)),
        Kind::Unsigned => json!(12),
        Kind::Units => json!("12"),
        Kind::Currency => json!("USD"),
        Kind::Amount => json!("1.50"),
        Kind::Object => json!({"a": 1}),
        Kind::Lines => json!([{"product_id": "p", "quantity": 1, "unit_price": "1.00"}]),
    }
}
