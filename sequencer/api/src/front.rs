//! What stands between the listeners and the sequencer: the doors stay open while writers come and go behind them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use stateset_sequencer::{Clock as _, PeerSecret, Sequencer, SystemClock};
use tower::{BoxError, Service};

use crate::error::{ApiError, UNAVAILABLE_RETRY_S, unavailable};
use crate::forward::Peer;
use crate::frame::framed;
use crate::hop;
use crate::operations::alive;
use crate::router::Doors;
use crate::unread::{Unread, settled};

/// What a caller hears while that is so.
pub(crate) const NOBODY: &str = "no instance writes the event log now; nothing was changed";

/// Which listener a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Rest,
    Grpc,
}

/// Who answers now.
pub(crate) enum Post {
    /// The sequencer of this process.
    Writer { doors: Doors, sequencer: Sequencer },
    /// Another process, through this one.
    Standby(Box<Peer>),
    /// Nobody yet: the store can't be reached, or a term has just ended.
    Away,
}

/// The post of one instance. Clones share it.
#[derive(Clone)]
pub(crate) struct Posts {
    now: Arc<ArcSwap<Post>>,
    /// What this process believes its peers by while it writes.
    secret: Option<PeerSecret>,
}

impl Posts {
    pub fn new(secret: Option<PeerSecret>) -> Self {
        Self { now: Arc::new(ArcSwap::from_pointee(Post::Away)), secret }
    }
    pub fn now(&self) -> Arc<Post> {
        self.now.load_full()
    }
    /// Requests that began before finish where they are, but for those that wait for a peer: it may be the very one
    /// that stands still and lost the log by that.
    pub fn change(&self, post: Post) {
        if let Post::Standby(peer) = &*self.now.swap(Arc::new(post)) {
            peer.end();
        }
    }
    pub fn door(&self, door: Door) -> Front {
        Front { posts: self.clone(), door }
    }
}

/// One door of an instance.
#[derive(Clone)]
pub(crate) struct Front {
    posts: Posts,
    door: Door,
}

impl<B> Service<Request<B>> for Front
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (post, door, mut request) = (self.posts.now(), self.door, request.map(Body::new));
        match &*post {
            Post::Writer { .. } if hop::take(&mut request, self.posts.secret.as_ref()).is_err() => {
                let message =
                    "x-stateset-forwarded is for peers of the instance that writes; nothing was changed";
                Box::pin(async move { Ok(refuse(door, request, unavailable(message.to_owned())).await) })
            }
            // Another process may have written since: an answer out of this one's memory could be an old one.
            Post::Writer { sequencer, .. } if !sequencer.has_log() => {
                Box::pin(async move { Ok(nobody(door, request).await) })
            }
            Post::Writer { doors, .. } => {
                let mut router = match door {
                    Door::Rest => doors.rest.clone(),
                    Door::Grpc => doors.grpc.clone(),
                };
                // A router is always ready.
                Box::pin(Service::call(&mut router, request))
            }
            Post::Standby(peer) if !is_health(door, &request) => {
                let forwarding = peer.clone().forward(door, request);
                Box::pin(async move { Ok(forwarding.await) })
            }
            Post::Standby(_) | Post::Away => Box::pin(async move { Ok(nobody(door, request).await) }),
        }
    }
}

fn is_health(door: Door, request: &Request) -> bool {
    door == Door::Rest && request.method() == Method::GET && request.uri().path() == "/health"
}

/// While nobody writes: the process is healthy and not ready.
async fn nobody(door: Door, request: Request) -> Response {
    if is_health(door, &request) {
        return framed(request.headers(), alive(SystemClock.now()));
    }
    refuse(door, request, unavailable(NOBODY.to_owned())).await
}

/// Refuses a request whose body was not touched.
pub(crate) async fn refuse(door: Door, request: Request, error: ApiError) -> Response {
    let (request, unread) = Unread::lend(request);
    let answer = refusal(door, request.headers(), error);
    drop(request);
    settled(answer, unread).await
}

/// A refusal in the form of the door.
pub(crate) fn refusal(door: Door, request: &axum::http::HeaderMap, error: ApiError) -> Response {
    match door {
        Door::Rest => framed(request, Err(error)),
        Door::Grpc => grpc_unavailable(error.message()),
    }
}

/// Status `UNAVAILABLE` without a message of its own: headers alone, as gRPC over HTTP/2 has it.
fn grpc_unavailable(message: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static("14"));
    // Our messages are printable ASCII without a percent sign, which is how the header is encoded.
    if let Ok(message) = HeaderValue::from_str(message) {
        headers.insert("grpc-message", message);
    }
    headers.insert("grpc-retry-pushback-ms", HeaderValue::from(UNAVAILABLE_RETRY_S * 1000));
    response
}
