//! What is left of a request's body when its answer is known.
//!
//! Many callers of HTTP/1 write their whole body before they read. A connection that ends while bytes are still coming
//! is reset by the system, and the answer is lost with it. So what is left is read and thrown away, within bounds.
//! Beyond them the answer says that its connection ends, and the connection listens on for a moment after it was sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};

use crate::connection::Connection;

/// Most bytes of a body that are read and thrown away before its answer.
const DRAIN_BYTES_MAX: usize = 32 << 20;
/// Longest time spent on that.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// The body of a request of HTTP/1 that is being answered.
pub(crate) struct Unread {
    home: Home,
    /// With `Expect: 100-continue` the caller waits for our word, and sends nothing while nobody reads.
    waits_for_word: bool,
    connection: Option<Arc<Connection>>,
}

impl Unread {
    /// Lends the body to whoever answers the request. `None` where nothing can be left: there is no body, or it comes
    /// by a stream of HTTP/2, which ends by itself.
    pub fn lend(request: Request) -> (Request, Option<Self>) {
        if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
            return (request, None);
        }
        let home = Home::default();
        let unread = Self {
            home: home.clone(),
            waits_for_word: request.headers().contains_key(header::EXPECT),
            connection: request.extensions().get::<Arc<Connection>>().cloned(),
        };
        (request.map(|body| Body::new(Lent { body: Some(body), is_touched: false, home })), Some(unread))
    }

    async fn settle(self, answer: &mut Response) {
        // Whoever still reads it reads it to its end.
        let Some(left) = self.home.take() else { return };
        let is_silent = self.waits_for_word && !left.is_touched;
        // The body of a late request is what it was late for.
        let is_late = answer.status() == StatusCode::GATEWAY_TIMEOUT;
        if !is_silent && !is_late && drain(left.body).await {
            return;
        }
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Some(connection) = &self.connection {
            connection.listen_on();
        }
    }
}

/// Makes sure that the caller gets `answer`, whatever its maker left of the body.
pub(crate) async fn settled(mut answer: Response, unread: Option<Unread>) -> Response {
    if let Some(unread) = unread {
        unread.settle(&mut answer).await;
    }
    answer
}

/// Reads what is left; whether it came to its end.
async fn drain(mut body: Body) -> bool {
    let reading = async {
        let mut left = DRAIN_BYTES_MAX;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return body.is_end_stream();
            }
        }
        true
    };
    tokio::time::timeout(DRAIN_TIME_MAX, reading).await.unwrap_or(false)
}

/// A body that comes home when nobody wants the rest of it.
struct Lent {
    body: Option<Body>,
    is_touched: bool,
    home: Home,
}

struct Left {
    body: Body,
    /// Something of it was asked for.
    is_touched: bool,
}

/// Where a lent body is found again.
#[derive(Clone, Default)]
struct Home(Arc<Mutex<Option<Left>>>);

impl Home {
    fn take(&self) -> Option<Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Lent {
    fn body(&self) -> &Body {
        self.body.as_ref().expect("it is here until the drop")
    }
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_touched = true;
        Pin::new(self.body.as_mut().expect("it is here until the drop")).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        let left = Left { body, is_touched: self.is_touched };
        *self.home.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endless() -> Body {
        Body::from_stream(futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(
            Bytes::from_static(&[0; 1 << 16]),
        )))
    }

    /// Whether an answer to a request with this body ends the connection, when its maker read nothing.
    async fn ends(body: Body, expects: bool, status: StatusCode) -> bool {
        let mut request = Request::new(body);
        if expects {
            request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        let (request, unread) = Unread::lend(request);
        drop(request);
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = status;
        let answer = settled(answer, unread).await;
        answer.headers().get(header::CONNECTION).is_some_and(|value| value == "close")
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_where_its_body_was_not_read_to_the_end_and_goes_on_elsewhere() {
        let refused = StatusCode::UNAUTHORIZED;
        assert!(!ends(Body::from("x".repeat(8 << 20)), false, refused).await);
        assert!(ends(endless(), false, refused).await, "more than is read");
        let silent = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert!(ends(silent, false, refused).await, "slower than is waited for");
        assert!(ends(Body::from("x"), true, refused).await, "its caller waits for a word");
        assert!(
            ends(Body::from("x"), false, StatusCode::GATEWAY_TIMEOUT).await,
            "it was waited for long enough"
        );
    }

    #[test]
    fn only_a_body_of_http_1_is_lent() {
        assert!(Unread::lend(Request::new(Body::empty())).1.is_none());
        let mut request = Request::new(Body::from("x"));
        *request.version_mut() = Version::HTTP_2;
        assert!(Unread::lend(request).1.is_none());
    }
}
