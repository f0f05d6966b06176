//! An answer on its way to a connection: it counts as asked for until its last byte was handed over, and in HTTP/2 it is
//! handed over in pieces, so that what the other side leaves lying is noticed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{Version, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

use crate::connection::{Answer, Asked};

/// What is handed over at once. A piece that waits for the other side's window holds no more than this outside.
const PIECE_BYTES: usize = 16 << 10;

/// Marks an answer of gRPC that ends by itself. Without it a stream may stand as long as its reader likes: it holds one
/// page, whatever is left lying.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounded;

/// The answer to a request of `version`.
pub(crate) fn taken(mut response: Response, version: Version, asked: Asked) -> Response {
    let is_stream = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let is_bounded = response.extensions_mut().remove::<Bounded>().is_some() || !is_stream;
    // A reader of HTTP/1 that takes nothing stops the connection itself, see `Sending`.
    let answer = (version == Version::HTTP_2 && is_bounded).then(|| asked.connection().answer());
    response.map(|body| Body::new(Taking { body, rest: Bytes::new(), answer, _asked: asked }))
}

struct Taking {
    body: Body,
    /// Came out of the body and was not handed over yet.
    rest: Bytes,
    answer: Option<Arc<Answer>>,
    _asked: Asked,
}

/// Bytes that hold their answer until they are sent or the connection is gone.
struct Piece {
    bytes: Bytes,
    _answer: Arc<Answer>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl hyper::body::Body for Taking {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(answer) = &this.answer else { return Pin::new(&mut this.body).poll_frame(cx) };
        if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Pending => {
                    answer.waits();
                    return Poll::Pending;
                }
                ended => return ended,
            }
        }
        answer.moved();
        let bytes = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
        let piece = Piece { bytes, _answer: answer.clone() };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }
    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;

    #[tokio::test]
    async fn an_answer_is_whole_in_its_pieces_and_asked_for_until_its_end() {
        let connection = Arc::new(Connection::new());
        let text: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let response = taken(Response::new(Body::from(text.clone())), version, connection.ask());
            assert!(connection.idle_since().is_none());
            let body = response.into_body();
            assert_eq!(body.size_hint().exact(), Some(100_000));
            assert_eq!(body.collect().await.expect("it goes well").to_bytes(), text);
            assert!(connection.idle_since().is_some());
        }
        let empty = taken(Response::new(Body::empty()), Version::HTTP_2, connection.ask());
        assert!(empty.into_body().is_end_stream());
    }
}
