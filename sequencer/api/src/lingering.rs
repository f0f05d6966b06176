//! A connection that ends before all of a body was read listens on for a moment after its last answer was sent: closed
//! at once it would be reset, and the answer lost on its way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::connection::Connection;

/// Longest time in which the other side has to close.
const LISTEN_TIME_MAX: Duration = Duration::from_secs(2);
/// Most bytes that are thrown away meanwhile.
const LISTEN_BYTES_MAX: usize = 32 << 20;
/// What is read at once.
const PIECE_BYTES: usize = 16 << 10;

/// A stream whose end waits for the other side's, where its connection is told to.
pub(crate) struct Lingering<S> {
    stream: S,
    connection: Arc<Connection>,
    /// Once its own end was sent.
    listening: Option<Listening>,
}

struct Listening {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S> Lingering<S> {
    pub fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self { stream, connection, listening: None }
    }
}

impl Listening {
    fn begin() -> Self {
        Self { until: Box::pin(tokio::time::sleep(LISTEN_TIME_MAX)), bytes_left: LISTEN_BYTES_MAX }
    }

    /// Throws away what comes, until the other side has closed or the bounds are reached.
    fn poll<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0; PIECE_BYTES];
        while self.bytes_left > 0 && self.until.as_mut().poll(cx).is_pending() {
            let mut read = ReadBuf::new(&mut piece);
            // One that breaks off has closed, too.
            let is_over = ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)).is_err();
            let count = read.filled().len();
            if is_over || count == 0 {
                break;
            }
            self.bytes_left = self.bytes_left.saturating_sub(count);
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
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
        let this = &mut *self;
        if this.listening.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.connection.listens_on() {
                return Poll::Ready(Ok(()));
            }
        }
        let listening = this.listening.get_or_insert_with(Listening::begin);
        listening.poll(&mut this.stream, cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn only_a_connection_that_was_told_to_waits_for_the_other_side_and_not_for_ever() {
        let connection = Arc::new(Connection::new());
        let since = Instant::now();
        let (near, _far) = tokio::io::duplex(64);
        Lingering::new(near, connection.clone()).shutdown().await.unwrap();
        assert_eq!(since.elapsed(), Duration::ZERO);

        connection.listen_on();
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Lingering::new(near, connection.clone());
        let ending = tokio::spawn(async move {
            near.write_all(b"answer").await.unwrap();
            near.shutdown().await.unwrap();
            Instant::now()
        });
        // More than the pipe holds: it goes through only if someone listens.
        far.write_all(&[0; 1000]).await.unwrap();
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(far);
        assert_eq!(ending.await.unwrap() - since, Duration::from_secs(1), "it closed with the other side");

        let (near, _far) = tokio::io::duplex(64);
        let since = Instant::now();
        Lingering::new(near, connection).shutdown().await.unwrap();
        assert_eq!(since.elapsed(), LISTEN_TIME_MAX);
    }
}
