//! The table of routes. A route is one [`Operation`] with its handler: what is served is what the document says.

mod agents;
mod anchoring;
mod dead_letters;
mod events;
mod feed;
mod key_rules;
mod legacy;
mod operations;
mod payments;
mod proofs;
#[cfg(feature = "schema-validation")]
mod schemas;
mod stored_proofs;
mod webhooks;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn;
use axum::routing::{MethodFilter, on};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::audit::watch;
use crate::openapi::operation::Operation;
use crate::router::App;

/// Smallest answer worth compressing, in bytes.
const COMPRESS_BYTES_MIN: u16 = 1024;

/// Every route of the REST surface.
pub(crate) fn all() -> Routes {
    let routes = Routes::default()
        .merge(events::routes())
        .merge(feed::routes())
        .merge(proofs::routes())
        .merge(agents::routes())
        .merge(legacy::routes())
        .merge(stored_proofs::routes())
        .merge(anchoring::routes())
        .merge(key_rules::routes())
        .merge(operations::routes())
        .merge(dead_letters::routes())
        .merge(payments::routes())
        .merge(webhooks::routes());
    #[cfg(feature = "schema-validation")]
    let routes = routes.merge(schemas::routes());
    routes
}

/// Routes with what the document says of them.
#[derive(Default)]
pub(crate) struct Routes {
    pub router: Router<App>,
    pub operations: Vec<Operation>,
}

impl Routes {
    /// Serves `operation` by `handler`.
    pub fn add<H, T>(mut self, operation: Operation, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(operation.method.clone()).expect("one of the standard methods");
        let mut route = on(filter, handler);
        if operation.compressed {
            let large = SizeAbove::new(COMPRESS_BYTES_MIN.into());
            route = route.layer(CompressionLayer::new().gzip(true).compress_when(large));
        }
        if operation.is_administrative() {
            let id = operation.id;
            route = route.layer(from_fn(move |request, next| watch(id, request, next)));
        }
        self.router = self.router.route(operation.path, route);
        self.operations.push(operation);
        self
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.operations.extend(other.operations);
        self
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    /// A new route without a word on the audit log fails here; one that says it and does not do it, in `tests/it/audit.rs`.
    #[test]
    fn every_operation_but_a_read_says_what_it_records_and_administrative_ones_record_something() {
        for operation in all().operations.iter().filter(|operation| operation.method != Method::GET) {
            let records = operation.records.unwrap_or_else(|| {
                panic!("{} says nothing of the audit log: call records or records_nothing", operation.id)
            });
            assert!(!operation.is_administrative() || !records.is_empty(), "{}", operation.id);
        }
    }
}
