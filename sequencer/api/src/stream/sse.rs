//! `GET /api/v1/events/stream`: server-sent events (WHATWG HTML, section 9.2). The id of an event is its sequence number,
//! so that a browser that connects anew asks for what follows the last one it had.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::future::ready;
use futures_util::stream::{once, unfold};
use serde_json::json;

use super::reader::{Listener, Step};
use super::{FeedParams, listen};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::params::Params;
use crate::router::App;

/// The content type of the answer.
pub(crate) const CONTENT_TYPE: &str = "text/event-stream";
/// Milliseconds after which a client that lost its connection comes again.
const RETRY_MS: u64 = 2_000;

/// The body is made as it is taken: who takes nothing has nothing made for it.
pub(crate) async fn sse(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(params): Params<FeedParams>,
) -> Result<Response, ApiError> {
    let listener = listen(&app, &caller, &headers, params)?;
    let last = listener.last();
    // An id without data is no event; a client that loses its connection before the first one resumes here all the same.
    let opening = Bytes::from(format!("retry: {RETRY_MS}\nid: {last}\n\n"));
    let events = unfold(Some(Told { listener, last }), |told| async move {
        let mut told = told?;
        match told.listener.next().await {
            Ok(Step::Done) => Some((told.end(None), None)),
            Ok(step) => match told.text(&step) {
                Ok(text) => Some((text, Some(told))),
                Err(error) => Some((told.end(Some(&error)), None)),
            },
            Err(error) => Some((told.end(Some(&error)), None)),
        }
    });
    let body = once(ready(opening)).chain(events).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    // Some proxies hold an answer back until it is whole.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// A listener, and the last number that its client knows.
struct Told {
    listener: Listener,
    last: u64,
}

impl Told {
    fn text(&mut self, step: &Step) -> Result<Bytes, ApiError> {
        if let Step::Event(event) = step {
            self.last = event.number;
            return event.sent_event(&self.listener.app, self.listener.form);
        }
        let last = self.listener.last();
        if last == self.last {
            return Ok(Bytes::from_static(b": heartbeat\n\n"));
        }
        // Events went by that it does not want: it need not ask for them again.
        self.last = last;
        Ok(Bytes::from(format!(": heartbeat\nid: {last}\n\n")))
    }

    /// The last event, which says why there is no other.
    fn end(&self, error: Option<&ApiError>) -> Bytes {
        let mut why = json!({"last": self.listener.last()});
        if let Some(error) = error {
            why["error"] = json!(error.detail());
        }
        Bytes::from(format!("event: end\ndata: {why}\n\n"))
    }
}
