//! The gRPC door through real sockets: a client that speaks HTTP/2 to the listener.

mod first;
mod keys;
mod lane;
mod live;
mod room;
mod statuses;
mod sync;
mod unary;

use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use prost::bytes::Bytes;
use stateset_fixtures::{Agent, plain_event, resign, stream};
use stateset_sequencer_api::{ServerConfig, serve};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::Stream;
use tonic::body::BoxBody;
use tonic::client::Grpc;
use tonic::codec::ProstCodec;
use tonic::{Code, IntoStreamingRequest, Status, Streaming};
use tower::Service;
use ves::{Envelope, StreamKey};
use ves_wire::proto::v2;

use crate::world::{ADMIN, World};

pub const SEQUENCER: &str = "/stateset.sequencer.v2.Sequencer/";

/// Serves the gRPC door of a world on a port of its own until the test ends.
pub async fn listen(world: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, world.grpc.clone(), ServerConfig::default(), std::future::pending()));
    address
}

/// A connection.
#[derive(Clone)]
struct Connection(SendRequest<BoxBody>);

impl Service<Request<BoxBody>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future =
        std::pin::Pin<Box<dyn std::future::Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<BoxBody>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// A caller with one connection and one credential.
#[derive(Clone)]
pub struct Client {
    connection: Connection,
    origin: Uri,
    key: Option<String>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("an HTTP/2 server");
        tokio::spawn(connection);
        let origin = format!("http://{address}").parse().expect("an origin");
        Self { connection: Connection(sender), origin, key: Some(ADMIN.to_owned()) }
    }

    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..self.clone() }
    }

    fn request<M>(&self, message: M) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        if let Some(key) = &self.key {
            let value = format!("ApiKey {key}").parse().expect("ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    async fn ready(&self) -> Grpc<Connection> {
        let mut grpc = Grpc::with_origin(self.connection.clone(), self.origin.clone());
        grpc.ready().await.expect("an open connection");
        grpc
    }

    /// The bare connection, for requests that no client would send.
    pub async fn ready_connection(
        &self,
    ) -> impl Service<Request<BoxBody>, Response = Response<Incoming>, Error = hyper::Error> {
        self.connection.clone()
    }

    pub async fn unary<M, A>(&self, path: &str, message: M) -> Result<A, Status>
    where
        M: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let path = path.parse().expect("a path");
        let answered = self.ready().await.unary(self.request(message), path, ProstCodec::default()).await;
        answered.map(tonic::Response::into_inner)
    }

    pub async fn open<M, A>(&self, path: &str, message: M) -> Result<Streaming<A>, Status>
    where
        M: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let path = path.parse().expect("a path");
        let codec = ProstCodec::default();
        let opened = self.ready().await.server_streaming(self.request(message), path, codec).await;
        opened.map(tonic::Response::into_inner)
    }

    pub async fn duplex<M, A>(
        &self,
        path: &str,
        messages: impl Stream<Item = M> + Send + 'static,
    ) -> Result<Streaming<A>, Status>
    where
        M: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let path = path.parse().expect("a path");
        let request = self.request(messages).into_streaming_request();
        let opened = self.ready().await.streaming(request, path, ProstCodec::default()).await;
        opened.map(tonic::Response::into_inner)
    }

    /// A call of version 2.
    pub async fn call<M, A>(&self, rpc: &str, message: M) -> Result<A, Status>
    where
        M: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        self.unary(&format!("{SEQUENCER}{rpc}"), message).await
    }

    pub async fn push(&self, request: v2::PushRequest) -> Result<v2::PushResponse, Status> {
        self.call("Push", request).await
    }

    pub async fn stream_events(&self, request: v2::StreamEventsRequest) -> Streaming<v2::SequencedEvent> {
        self.open(&format!("{SEQUENCER}StreamEvents"), request).await.expect("a stream")
    }
}

/// A world whose agent 1 may sign, its address, and an admin's client.
pub async fn started() -> (World, Agent, StreamKey, Client) {
    let (world, agent, stream) = World::with_agent().await;
    let client = Client::connect(listen(&world).await).await;
    (world, agent, stream, client)
}

pub fn push_of(agent: &Agent, stream: &StreamKey, events: &[Envelope<'_>]) -> v2::PushRequest {
    v2::PushRequest {
        agent_id: agent.agent_id.to_string(),
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        events: events.iter().map(ves_wire::v2::event).collect(),
        request_id: "a request".into(),
    }
}

/// Events `numbers` of a stream.
pub fn orders(agent: &Agent, stream: &StreamKey, numbers: std::ops::Range<u64>) -> Vec<Envelope<'static>> {
    numbers.map(|n| plain_event(agent, stream, n)).collect()
}

pub fn all_of(stream: &StreamKey, from: u64) -> v2::StreamEventsRequest {
    v2::StreamEventsRequest {
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        from_sequence: from,
        include_history: true,
        ..Default::default()
    }
}

pub fn pull_of(stream: &StreamKey, from: u64, limit: u32) -> v2::PullEventsRequest {
    v2::PullEventsRequest {
        tenant_id: stream.tenant_id.to_string(),
        store_id: stream.store_id.to_string(),
        from_sequence: from,
        limit,
        ..Default::default()
    }
}

/// The next message within ten seconds.
pub async fn next<M>(messages: &mut Streaming<M>) -> Result<Option<M>, Status> {
    let next = tokio::time::timeout(std::time::Duration::from_secs(10), messages.message());
    next.await.expect("a message in time")
}

/// The next event's number.
pub async fn next_number(messages: &mut Streaming<v2::SequencedEvent>) -> u64 {
    next(messages).await.expect("goes on").expect("an event").sequence_number
}

/// Checks a refusal: its status, and the code of REST beside it.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, error: &str) -> String {
    let status = answer.expect_err("a refusal");
    let said = status.metadata().get("x-error-code").map_or("", |text| text.to_str().expect("ASCII"));
    assert_eq!((status.code(), said), (code, error), "{status:?}");
    status.message().to_owned()
}

/// Health and reflection: who asks needs no credential.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_the_service_and_reflection_knows_every_service() {
    use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    let (world, _, _, client) = started().await;
    let client = client.with_key(None);
    let check = |service: &str| {
        let (client, request) = (client.clone(), HealthCheckRequest { service: service.to_owned() });
        async move { client.unary::<_, HealthCheckResponse>("/grpc.health.v1.Health/Check", request).await }
    };
    assert_eq!(check("").await.expect("known").status, 1);
    assert_eq!(check("stateset.sequencer.v2.Sequencer").await.expect("known").status, 1);
    assert_eq!(check("nobody").await.expect_err("unknown").code(), Code::NotFound);
    let asked = HealthCheckRequest::default();
    let mut states: Streaming<HealthCheckResponse> =
        client.open("/grpc.health.v1.Health/Watch", asked).await.expect("a stream");
    assert_eq!(next(&mut states).await.expect("goes on").expect("a state").status, 1);

    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let asked = tokio_stream::iter([
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("stateset.sequencer.v2.Sequencer.Push".into())),
        ]);
        let mut answers: Streaming<ServerReflectionResponse> =
            client.duplex(&path, asked).await.expect("a stream");
        let list = next(&mut answers).await.expect("goes on").expect("an answer").message_response;
        let Some(MessageResponse::ListServicesResponse(list)) = list else { panic!("{list:?}") };
        let mut names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
        names.sort_unstable();
        for name in [
            "grpc.health.v1.Health",
            "stateset.sequencer.v1.Sequencer",
            "stateset.sequencer.v2.KeyManagement",
            "stateset.sequencer.v2.Sequencer",
        ] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
        let file = next(&mut answers).await.expect("goes on").expect("an answer").message_response;
        assert!(matches!(file, Some(MessageResponse::FileDescriptorResponse(_))), "{file:?}");
    }

    world.sequencer.clone().shutdown().await;
    assert_eq!(next(&mut states).await.expect("goes on").expect("a state").status, 2);
    assert_eq!(check("").await.expect("known").status, 2);
}

/// The same event, signed over another spelling of its time.
pub fn spelled(event: &Envelope<'static>, agent: &Agent, created_at: &'static str) -> Envelope<'static> {
    resign(Envelope { created_at: created_at.into(), ..event.clone() }, agent)
}

/// Another tenant's stream.
pub fn elsewhere() -> StreamKey {
    let (here, there) = (stream(1), stream(2));
    assert_ne!(here.tenant_id, there.tenant_id);
    there
}

/// Bytes of a message without a frame, for callers that know no better.
pub fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut framed = vec![0];
    framed.extend((body.len() as u32).to_be_bytes());
    framed.extend(body);
    framed.into()
}
