//! The first bytes of a connection. hyper waits for them without a limit of its own, since it can't tell which of
//! the two protocols they begin; the limits of each protocol hold from there on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// RFC 9113, section 3.4: how a caller begins HTTP/2. Anything else is HTTP/1.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose reads fail when its first bytes do not tell the protocol in time.
pub(crate) struct Opening<S> {
    stream: S,
    /// Until the protocol is known.
    waiting: Option<Waiting>,
}

struct Waiting {
    deadline: Pin<Box<Sleep>>,
    /// Bytes of the preface that came.
    seen: usize,
}

impl Waiting {
    /// Takes in what was read; true when it tells the protocol.
    fn tells(&mut self, bytes: &[u8]) -> bool {
        let expected = &PREFACE[self.seen..];
        let common = bytes.len().min(expected.len());
        self.seen += common;
        bytes[..common] != expected[..common] || self.seen == PREFACE.len()
    }
}

impl<S> Opening<S> {
    pub fn new(stream: S, time_max: Duration) -> Self {
        let waiting = Waiting { deadline: Box::pin(tokio::time::sleep(time_max)), seen: 0 };
        Self { stream, waiting: Some(waiting) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(waiting) = &mut this.waiting else { return read };
        if read.is_ready() {
            if waiting.tells(&buf.filled()[before..]) {
                this.waiting = None;
            }
            return read;
        }
        match waiting.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
