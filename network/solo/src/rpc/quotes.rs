//! Request lines as people and CometBFT's documents write them: `/tx?hash="…"`, with the quotes as they are.
//!
//! HTTP wants `"`, `<` and `>` encoded, and the server below refuses what isn't. So they are encoded on the way in, in the lines
//! of GET requests alone; from the first request on that is none, or has a body, every byte goes through as it came.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Bytes that are looked at in one go.
const READ_BYTES: usize = 4_096;
const GET: &[u8] = b"GET ";
/// Headers behind which other bytes than the next request's come.
const BODIES: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"upgrade"];

/// Where in a connection the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the first bytes of a request, so many of which are those of [`GET`].
    Method(usize),
    RequestLine,
    Headers,
    /// Nothing is looked at any more.
    Through,
}

/// Encodes what stands raw in request lines.
#[derive(Debug)]
struct Quotes {
    place: Place,
    /// The header line so far, as much of it as a name of [`BODIES`] has, in lower case.
    header: Vec<u8>,
}

impl Quotes {
    const fn new() -> Self {
        Self { place: Place::Method(0), header: Vec::new() }
    }

    /// Appends `bytes` to `out` as the server takes them.
    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            self.place = match self.place {
                Place::Method(at) if GET[at] == *byte && at + 1 < GET.len() => Place::Method(at + 1),
                Place::Method(at) if GET[at] == *byte => Place::RequestLine,
                Place::RequestLine if *byte == b'\n' => Place::Headers,
                Place::RequestLine => Place::RequestLine,
                Place::Headers => self.in_headers(*byte),
                Place::Method(_) | Place::Through => Place::Through,
            };
            match (self.place, *byte) {
                (Place::RequestLine, b'"' | b'<' | b'>') => {
                    out.extend_from_slice(format!("%{byte:02X}").as_bytes());
                }
                _ => out.push(*byte),
            }
        }
    }

    fn in_headers(&mut self, byte: u8) -> Place {
        match byte {
            b'\n' if self.header.is_empty() => return Place::Method(0),
            b'\n' => self.header.clear(),
            b'\r' => {}
            _ if self.header.len() <= BODIES[1].len() => self.header.push(byte.to_ascii_lowercase()),
            _ => {}
        }
        if BODIES.iter().any(|name| self.header.strip_suffix(b":") == Some(name)) {
            return Place::Through;
        }
        Place::Headers
    }
}

/// A listener whose connections take raw quotes in the lines of GET requests.
pub(super) struct Lenient(pub TcpListener);

impl Listener for Lenient {
    type Io = Stream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (Stream::new(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A connection.
pub(super) struct Stream<S> {
    inner: S,
    quotes: Quotes,
    /// Passed, and not yet read by the server, from `read` on.
    passed: Vec<u8>,
    read: usize,
}

impl<S> Stream<S> {
    const fn new(inner: S) -> Self {
        Self { inner, quotes: Quotes::new(), passed: Vec::new(), read: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read == this.passed.len() {
            this.passed.clear();
            this.read = 0;
            if this.quotes.place == Place::Through {
                return Pin::new(&mut this.inner).poll_read(context, buffer);
            }
            let mut bytes = [0; READ_BYTES];
            let mut came = ReadBuf::new(&mut bytes);
            match Pin::new(&mut this.inner).poll_read(context, &mut came) {
                Poll::Ready(Ok(())) => this.quotes.pass(came.filled(), &mut this.passed),
                other => return other,
            }
        }
        let take = buffer.remaining().min(this.passed.len() - this.read);
        buffer.put_slice(&this.passed[this.read..this.read + take]);
        this.read += take;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(context, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes come in.
    fn passed(bytes: &str) -> String {
        let mut whole = Vec::new();
        Quotes::new().pass(bytes.as_bytes(), &mut whole);
        let (mut single, mut quotes) = (Vec::new(), Quotes::new());
        bytes.bytes().for_each(|byte| quotes.pass(&[byte], &mut single));
        assert_eq!(whole, single);
        String::from_utf8(whole).expect("text")
    }

    #[test]
    fn quotes_in_lines_of_get_requests_are_encoded() {
        let one = "GET /tx?hash=\"AB\" HTTP/1.1\r\nHost: \"a\"\r\n\r\n";
        let encoded = "GET /tx?hash=%22AB%22 HTTP/1.1\r\nHost: \"a\"\r\n\r\n";
        assert_eq!(passed(one), encoded);
        assert_eq!(passed(&one.repeat(3)), encoded.repeat(3), "on a connection that is kept");
        assert_eq!(passed("GET /tx_search?query=\"a>1\" "), "GET /tx_search?query=%22a%3E1%22 ");
    }

    #[test]
    fn bodies_and_other_requests_stay_as_they_came() {
        for bytes in [
            "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET \"a\" \n",
            "GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET \"a\" \n",
            "GET / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\nGET \"a\" \n",
            "GET /websocket HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET \"a\" \n",
            "\"\"",
        ] {
            assert_eq!(passed(bytes), bytes);
        }
    }
}
