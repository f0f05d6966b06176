//! What surrounds every request: its id, its time limit, the general headers (section 1.5), the error form.

use std::cell::{Cell, RefCell};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use serde::Serialize;
use ves_wire::error::ErrorCode;

use crate::error::ApiError;
use crate::health::Report;
use crate::observe::{Ending, Observed};
use crate::rate::STANDING;
use crate::router::App;
use crate::shedding::Weight;
use crate::unread::{Unread, settled};

/// Longest request id that is echoed, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer.
pub(crate) async fn frame(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    // What is recorded of the request names the id that its answer bears.
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let observed = Observed::rest(app.sequencer.tracer(), id, &request);
    let (request, unread) = Unread::lend(request);
    let answering = STANDING.scope(Cell::new(None), async {
        let response =
            if app.browsers_may_call { next.run(request).await } else { timed(&app, request, next).await };
        (response, STANDING.with(Cell::get))
    });
    let (mut response, standing) = observed.during(answering).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && response.extensions().get::<Report>().is_none() {
        let error = response.extensions_mut().remove::<ApiError>().unwrap_or_else(|| of_status(&response));
        app.metrics.refused(error.code());
        let kept = std::mem::take(response.headers_mut());
        response = error.render(observed.id.to_str().unwrap_or_default());
        keep(kept, response.headers_mut());
    }
    let status = response.status();
    app.metrics.answered(status, observed.started.elapsed(), response.body().size_hint().exact());
    if let Some(standing) = standing {
        standing.write(response.headers_mut());
    }
    general(response.headers_mut(), observed.id.clone());
    let mut response = settled(response, unread).await;
    observed.end(
        Ending { status: status.as_u16(), is_failure: status.is_server_error() },
        response.headers_mut(),
    );
    response
}

/// Frames an answer that was made outside the routes, while no sequencer runs here.
pub(crate) fn framed(request: &HeaderMap, answer: Result<Response, ApiError>) -> Response {
    let id = request_id(request);
    let mut response = answer.unwrap_or_else(|error| error.render(id.to_str().unwrap_or_default()));
    general(response.headers_mut(), id);
    response
}

/// The headers of section 1.5.
fn general(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The layer of the time limit where CORS is on; elsewhere [`frame`] holds the limit itself and saves a layer.
pub(crate) async fn in_time(State(app): State<App>, request: Request, next: Next) -> Response {
    timed(&app, request, next).await
}

async fn timed(app: &App, request: Request, next: Next) -> Response {
    let weight = Weight::of(request.method(), request.uri().path());
    // What a write was answered stays true, whoever writes next.
    let is_read = request.method() == Method::GET && weight != Weight::Never;
    if let Err(error) = app.shedding.admit(weight, &app.sequencer) {
        return error.into_response();
    }
    match tokio::time::timeout(app.config.request_time_max, next.run(request)).await {
        Ok(response) if !is_read => response,
        Ok(response) => app.require_log().map_or_else(IntoResponse::into_response, |()| response),
        Err(_) => ApiError::new(ErrorCode::Timeout, "the request took too long").into_response(),
    }
}

/// What inner layers said stays on an error's answer (`allow`, CORS), but for what describes the replaced body.
fn keep(inner: HeaderMap, headers: &mut HeaderMap) {
    let of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING];
    for name in inner.keys().filter(|name| !of_body.contains(name)) {
        for value in inner.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// For refusals that the web framework makes itself.
fn of_status(response: &Response) -> ApiError {
    match response.status().as_u16() {
        404 => ApiError::new(ErrorCode::ResourceNotFound, "no such route"),
        405 => ApiError::new(ErrorCode::MethodNotAllowed, "the route has other methods"),
        400..=499 => ApiError::new(ErrorCode::InvalidRequestBody, "the request can't be read"),
        status => ApiError::internal(format_args!("status {status} without an error")),
    }
}

/// The request's own id if it is printable ASCII of bounded length, else a fresh UUID.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sent = headers.get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(|b| (0x20..=0x7e).contains(b))
    });
    sent.cloned().unwrap_or_else(fresh_id)
}

/// A random UUID; the random bytes of 64 ids are drawn at a time.
fn fresh_id() -> HeaderValue {
    thread_local! {
        static DRAWN: RefCell<([u8; 1024], usize)> = const { RefCell::new(([0; 1024], 1024)) };
    }
    let bytes = DRAWN.with_borrow_mut(|(bytes, used)| {
        if *used == bytes.len() {
            // An id is a name, not a secret: without random bytes it is merely less unique.
            let _ = getrandom::fill(bytes);
            *used = 0;
        }
        *used += 16;
        <[u8; 16]>::try_from(&bytes[*used - 16..*used]).expect("16 bytes")
    });
    let mut buffer = uuid::Uuid::encode_buffer();
    let text = uuid::Builder::from_random_bytes(bytes).into_uuid().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).expect("a UUID is ASCII")
}

/// A 200 answer of small size.
pub(crate) fn json(body: &impl Serialize) -> Result<Response, ApiError> {
    serde_json::to_string(body).map(json_text).map_err(ApiError::internal)
}

/// A 200 answer whose JSON was written by hand.
pub(crate) fn json_text(text: String) -> Response {
    json_body(Body::from(text))
}

/// A 200 answer with a body of JSON.
pub(crate) fn json_body(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_printable_id_of_bounded_length_is_echoed() {
        let echoed = |id: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(id).unwrap());
            request_id(&headers).as_bytes() == id
        };
        assert!(echoed(b"order 17/retry-2"));
        assert!(echoed(&[b'a'; 128]));
        assert!(!echoed(&[b'a'; 129]) && !echoed(b"") && !echoed("é".as_bytes()) && !echoed(b"a\tb"));
        assert_ne!(fresh_id(), fresh_id());
    }
}
