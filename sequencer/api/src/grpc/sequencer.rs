//! The service `stateset.sequencer.v2.Sequencer`: each call to the function that does it.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use ves_wire::proto::v2;

use super::frame::{Admitted, Kept};
use super::generated::v2::sequencer_server::Sequencer;
use super::{events, live, sync};
use crate::router::App;

pub(super) struct Service(pub App);

/// Messages of one stream, until the caller goes or an error ends it.
pub(super) type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

#[tonic::async_trait]
impl Sequencer for Service {
    type StreamEventsStream = Messages<v2::SequencedEvent>;
    type SyncStreamStream = Messages<v2::SyncMessage>;
    type SubscribeEntityStream = Messages<v2::SequencedEvent>;

    async fn push(&self, request: Request<v2::PushRequest>) -> Result<Response<v2::PushResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        let (caller, way) = (admitted.caller(), admitted.way()?);
        Ok(Response::new(events::push(&self.0, caller, way, request.into_inner()).await?))
    }

    async fn pull_events(
        &self,
        request: Request<v2::PullEventsRequest>,
    ) -> Result<Response<v2::PullEventsResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        let (page, room) = events::pull(&self.0, admitted.caller(), request.into_inner()).await?;
        Ok(Kept::with(page, room))
    }

    async fn get_sync_state(
        &self,
        request: Request<v2::GetSyncStateRequest>,
    ) -> Result<Response<v2::SyncState>, Status> {
        let (admitted, asked) = (Admitted::of(&request)?, request.get_ref());
        let stream = events::stream_of(&asked.tenant_id, &asked.store_id)?;
        admitted.caller().require(crate::caller::Permission::Read, &stream)?;
        Ok(Response::new(events::sync_state(&self.0, &stream)))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v2::GetInclusionProofRequest>,
    ) -> Result<Response<v2::GetInclusionProofResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        Ok(Response::new(events::inclusion(&self.0, admitted.caller(), request.into_inner()).await?))
    }

    async fn get_commitment(
        &self,
        request: Request<v2::GetCommitmentRequest>,
    ) -> Result<Response<v2::BatchCommitment>, Status> {
        let admitted = Admitted::of(&request)?;
        Ok(Response::new(events::get_commitment(&self.0, admitted.caller(), request.into_inner()).await?))
    }

    async fn get_entity_history(
        &self,
        request: Request<v2::GetEntityHistoryRequest>,
    ) -> Result<Response<v2::GetEntityHistoryResponse>, Status> {
        let admitted = Admitted::of(&request)?;
        let (history, room) = events::history(&self.0, admitted.caller(), request.into_inner()).await?;
        Ok(Kept::with(history, room))
    }

    async fn get_health(&self, _: Request<()>) -> Result<Response<v2::HealthResponse>, Status> {
        Ok(Response::new(events::health(&self.0).await?))
    }

    async fn stream_events(
        &self,
        request: Request<v2::StreamEventsRequest>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let admitted = Admitted::of(&request)?;
        Ok(Response::new(live::stream_events(&self.0, admitted, request.into_inner())?))
    }

    async fn sync_stream(
        &self,
        request: Request<Streaming<v2::SyncMessage>>,
    ) -> Result<Response<Self::SyncStreamStream>, Status> {
        let admitted = Admitted::of(&request)?;
        Ok(Response::new(sync::open(&self.0, admitted)?))
    }

    async fn subscribe_entity(
        &self,
        request: Request<v2::SubscribeEntityRequest>,
    ) -> Result<Response<Self::SubscribeEntityStream>, Status> {
        let admitted = Admitted::of(&request)?;
        Ok(Response::new(live::subscribe_entity(&self.0, admitted, request.into_inner())?))
    }
}
