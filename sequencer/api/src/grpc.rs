//! The gRPC door (sequencer API, sections 4 and 5): version 2, the keys of agents, version 1, health, reflection.
//!
//! The generated servers stand in our own router and are served by our own listener. [`frame`] surrounds every call:
//! who calls, how large and how long the call may be, what is counted. Behind it the same functions and the same rules
//! work as behind REST.

mod events;
mod first;
mod frame;
mod generated;
mod health;
mod keys;
mod live;
mod metrics;
mod past;
mod sequencer;
mod status;
mod sync;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use generated::v1::sequencer_server::SequencerServer as FirstServer;
use generated::v2::key_management_server::KeyManagementServer;
use generated::v2::sequencer_server::SequencerServer;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;

use crate::router::App;
pub(crate) use metrics::GrpcMetrics;

/// The services of one sequencer.
pub(crate) fn routes(app: &App) -> Router {
    let bytes_max = app.config.body_bytes_max;
    let sequencer =
        SequencerServer::new(sequencer::Service(app.clone())).max_decoding_message_size(bytes_max);
    let keys = KeyManagementServer::new(keys::Service(app.clone())).max_decoding_message_size(bytes_max);
    let first = FirstServer::new(first::Service(app.clone())).max_decoding_message_size(bytes_max);
    let closed = Router::new()
        .route_service("/stateset.sequencer.v1.Sequencer/{rpc}", first)
        .route_service("/stateset.sequencer.v2.Sequencer/{rpc}", sequencer)
        .route_service("/stateset.sequencer.v2.KeyManagement/{rpc}", keys)
        .layer(from_fn_with_state(app.clone(), frame::frame));
    let open = Router::new()
        .route_service("/grpc.health.v1.Health/{rpc}", HealthServer::new(health::Health(app.clone())));
    closed.merge(open).merge(reflection()).fallback(async || unknown())
}

/// What services there are, for tools that ask.
fn reflection() -> Router {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(generated::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let router = Router::new();
    match (builder().build_v1(), builder().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => router
            .route_service("/grpc.reflection.v1.ServerReflection/{rpc}", v1)
            .route_service("/grpc.reflection.v1alpha.ServerReflection/{rpc}", v1alpha),
        // The descriptors are part of the program, and a test reads them.
        _ => router,
    }
}

fn unknown() -> Response {
    status::response(&tonic::Status::unimplemented("no such service"))
}

/// Tells a request that is no gRPC apart.
fn not_grpc() -> Response {
    (
        axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "this port speaks gRPC: send application/grpc over HTTP/2",
    )
        .into_response()
}
