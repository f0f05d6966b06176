//! The table of routes. A route is one [`Operation`] with its handler: what is served is what the document says.

mod agents;
mod anchoring;
mod dead_letters;
mod events;
mod key_rules;
mod legacy;
mod operations;
mod payments;
mod proofs;
#[cfg(feature = "schema-validation")]
mod schemas;
mod stored_proofs;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::openapi::operation::Operation;
use crate::router::App;

/// Smallest answer worth compressing, in bytes.
const COMPRESS_BYTES_MIN: u16 = 1024;

/// Every route of the REST surface.
pub(crate) fn all() -> Routes {
    let routes = Routes::default()
        .merge(events::routes())
        .merge(proofs::routes())
        .merge(agents::routes())
        .merge(legacy::routes())
        .merge(stored_proofs::routes())
        .merge(anchoring::routes())
        .merge(key_rules::routes())
        .merge(operations::routes())
        .merge(dead_letters::routes())
        .merge(payments::routes());
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
