//! `grpc.health.v1.Health` over what the store says now; without a credential, as balancers ask.

use std::time::Duration;

use futures_util::stream::unfold;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health as HealthRpc;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::events;
use super::live::every;
use super::sequencer::Messages;
use crate::router::App;

/// The services whose state can be asked for; the empty name is all of them.
const NAMES: [&str; 4] = [
    "",
    "stateset.sequencer.v1.Sequencer",
    "stateset.sequencer.v2.KeyManagement",
    "stateset.sequencer.v2.Sequencer",
];
const WATCH_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Health(pub App);

async fn state(app: &App) -> ServingStatus {
    match events::health(app).await {
        Ok(health) if health.healthy => ServingStatus::Serving,
        _ => ServingStatus::NotServing,
    }
}

#[tonic::async_trait]
impl HealthRpc for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !NAMES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("no such service"));
        }
        Ok(Response::new(HealthCheckResponse { status: state(&self.0).await.into() }))
    }

    type WatchStream = Messages<HealthCheckResponse>;

    /// The state now, and whenever it changes; of an unknown service, that it is unknown. Ends with the service.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = NAMES.contains(&request.get_ref().service.as_str());
        let begin = (self.0.clone(), None, every(WATCH_EVERY));
        let states = unfold(begin, move |(app, told, mut ticks)| async move {
            loop {
                if told == Some(ServingStatus::NotServing) && app.sequencer.has_ended() {
                    return None;
                }
                let found = if known { state(&app).await } else { ServingStatus::ServiceUnknown };
                if told != Some(found) {
                    let answer = HealthCheckResponse { status: found.into() };
                    return Some((Ok(answer), (app, Some(found), ticks)));
                }
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = app.sequencer.ended() => {
                        if !known {
                            return None;
                        }
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(states)))
    }
}
