//! One connection of HTTP/2.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::http::HeaderValue;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::Code;
use tonic::body::BoxBody;
use tonic::codegen::Service;

use super::address::Address;
use crate::ClientError;
use crate::repeat::Failed;
use crate::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent server is given up after this and as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What requests are sent into.
#[derive(Clone)]
pub(super) struct Connection(SendRequest<BoxBody>);

impl Connection {
    pub async fn open(address: &Address) -> Result<Self, Failed> {
        let passing = |problem: &dyn std::fmt::Display| Failed {
            error: address.unreachable(problem),
            is_passing: true,
            retry_after: None,
        };
        let connecting = TcpStream::connect((address.host.as_str(), address.port));
        let stream = match timeout(CONNECT_TIMEOUT, connecting).await {
            Err(_) => return Err(passing(&"it takes too long to connect")),
            Ok(Ok(stream)) => stream,
            // Nobody listens: waiting for a server that is not there helps nobody.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Err(Failed::lasting(address.unreachable(&error)));
            }
            Ok(Err(error)) => return Err(passing(&error)),
        };
        stream.set_nodelay(true).map_err(|error| passing(&error))?;
        if !address.has_tls {
            return Self::speak(stream).await.map_err(|error| passing(&error));
        }
        let config = tls::of_http2().map_err(|error| Failed::lasting(address.unreachable(&error)))?;
        let name = ServerName::try_from(address.host.clone()).map_err(|_| {
            let problem = "its host is no name that a certificate could have";
            Failed::lasting(ClientError::Address { url: address.url.clone(), problem })
        })?;
        let securing = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = match timeout(CONNECT_TIMEOUT, securing).await {
            Err(_) => return Err(passing(&"it takes too long to agree on TLS")),
            // A certificate that is not believed will not be in a moment.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(Failed::lasting(address.unreachable(&error)));
            }
            Ok(stream) => stream.map_err(|error| passing(&error))?,
        };
        Self::speak(stream).await.map_err(|error| passing(&error))
    }

    async fn speak<S>(stream: S) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(KEEP_ALIVE);
        let (requests, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // How it ended is told by the request that was under way.
        tokio::spawn(connection);
        Ok(Self(requests))
    }
}

impl Service<Request<BoxBody>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<BoxBody>) -> Self::Future {
        let sent = self.0.send_request(request);
        Box::pin(async move { sent.await.map(as_grpc) })
    }
}

/// An answer of something that is not gRPC (the REST door, a proxy), as the status that says so; tonic would take its text for
/// messages.
fn as_grpc(mut response: Response<Incoming>) -> Response<Incoming> {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    let is_grpc = kind.is_some_and(|kind| kind.starts_with("application/grpc"));
    if !is_grpc {
        let code = match response.status().as_u16() {
            429 | 502..=504 => Code::Unavailable,
            _ => Code::Unimplemented,
        };
        response.headers_mut().insert("grpc-status", HeaderValue::from(code as i32));
    }
    response
}
