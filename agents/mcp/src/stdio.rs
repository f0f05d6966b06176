//! The door for a client that starts this program: one message a line (MCP, transport stdio).
//!
//! rmcp's own transport passes over a line that is no JSON: whoever sent it waits for ever. Here it has its answer, as over HTTP.

use std::io;
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ErrorCode};
use rmcp::service::TxJsonRpcMessage;
use rmcp::transport::Transport;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::form::{self, NoMessage};

/// Bytes of one line; a longer one is passed over and refused.
const LINE_BYTES_MAX: usize = 16 << 20;
/// Refusals that wait for a client to read them; until it does, no more is read of it.
const REFUSALS_MAX: usize = 64;

/// Both streams of one client.
pub struct Lines<R, W> {
    input: BufReader<R>,
    /// What has come of a line. It outlives a [`Transport::receive`] that is given up.
    line: Vec<u8>,
    is_too_long: bool,
    output: Output<W>,
    /// Written by themselves: half a line would spoil the next one.
    refusals: JoinSet<()>,
}

/// `None` once it is closed.
type Output<W> = Arc<Mutex<Option<W>>>;

/// What stood between two ends of lines.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Send + Unpin + 'static> Lines<R, W> {
    pub fn new(input: R, output: W) -> Self {
        Self {
            input: BufReader::new(input),
            line: Vec::new(),
            is_too_long: false,
            output: Arc::new(Mutex::new(Some(output))),
            refusals: JoinSet::new(),
        }
    }

    /// The next line; `None` at the end. Nothing is lost where it is given up and asked for again.
    async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = self.input.fill_buf().await?;
            let (is_end, newline) = (available.is_empty(), available.iter().position(|byte| *byte == b'\n'));
            let taken = newline.map_or(available.len(), |at| at + 1);
            self.is_too_long |= self.line.len() + taken > LINE_BYTES_MAX;
            match self.is_too_long {
                true => self.line.clear(),
                false => self.line.extend_from_slice(&available[..taken]),
            }
            self.input.consume(taken);
            if std::mem::take(&mut self.is_too_long) {
                if is_end || newline.is_some() {
                    return Ok(Some(Line::TooLong));
                }
                self.is_too_long = true;
            } else if newline.is_some() || (is_end && !self.line.is_empty()) {
                return Ok(Some(Line::Whole(std::mem::take(&mut self.line))));
            } else if is_end {
                return Ok(None);
            }
        }
    }

    async fn refuse(&mut self, answer: Value) {
        while self.refusals.len() >= REFUSALS_MAX {
            self.refusals.join_next().await;
        }
        while self.refusals.try_join_next().is_some() {}
        let output = Arc::clone(&self.output);
        self.refusals.spawn(async move {
            if let Err(error) = write(&output, answer.to_string().into_bytes()).await {
                tracing::debug!("a refusal was not written: {error}");
            }
        });
    }
}

async fn write<W: AsyncWrite + Unpin>(output: &Mutex<Option<W>>, mut line: Vec<u8>) -> io::Result<()> {
    line.push(b'\n');
    let mut output = output.lock().await;
    let output = output.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    output.write_all(&line).await?;
    output.flush().await
}

/// The message of a line; `None` where the line is empty.
fn message(line: &Line) -> Option<Result<ClientJsonRpcMessage, NoMessage>> {
    let line = match line {
        Line::Whole(line) => line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii(),
        Line::TooLong => {
            let problem = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            return Some(Err(form::refusal(ErrorCode::INVALID_REQUEST, &Value::Null, problem)));
        }
    };
    (!line.is_empty()).then(|| form::read(line, "line"))
}

impl<R, W> Transport<RoleServer> for Lines<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let output = Arc::clone(&self.output);
        async move { write(&output, serde_json::to_vec(&item)?).await }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let line = match self.next().await {
                Ok(Some(line)) => line,
                ended => {
                    if let Err(error) = ended {
                        tracing::error!("the client's stream failed: {error}");
                    }
                    while self.refusals.join_next().await.is_some() {}
                    return None;
                }
            };
            match message(&line) {
                Some(Ok(message)) => return Some(message),
                Some(Err(NoMessage { answer, is_unanswered: false })) => self.refuse(answer).await,
                Some(Err(NoMessage { answer, .. })) => tracing::debug!("passed over: {answer}"),
                None => {}
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        while self.refusals.join_next().await.is_some() {}
        drop(self.output.lock().await.take());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, DuplexStream};

    use super::*;

    const REQUEST: &[u8] = br#"{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}"#;

    /// A client's ends of both streams, and ours.
    fn client() -> (DuplexStream, DuplexStream, Lines<DuplexStream, DuplexStream>) {
        let (theirs, ours) = tokio::io::duplex(1 << 16);
        let (output, read) = tokio::io::duplex(1 << 16);
        (theirs, read, Lines::new(ours, output))
    }

    /// Sends the bytes to their end: how many messages came through, and every answer.
    async fn told(bytes: &[u8]) -> (usize, Vec<Value>) {
        let (mut client, mut read, mut lines) = client();
        client.write_all(bytes).await.unwrap();
        drop(client);
        let mut messages = 0;
        while lines.receive().await.is_some() {
            messages += 1;
        }
        lines.close().await.unwrap();
        let mut answers = String::new();
        read.read_to_string(&mut answers).await.unwrap();
        (messages, answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// It had no answer: its sender waited for ever.
    #[tokio::test]
    async fn a_line_that_is_no_json_is_answered_by_the_error_of_json_rpc() {
        for (line, code, id) in [
            (&b"{\n"[..], -32700, json!(null)),
            (b"no JSON at the end of the stream", -32700, json!(null)),
            (b"\xff\xfe\n", -32700, json!(null)),
            (b"[]\n", -32600, json!(null)),
            (b"{\"jsonrpc\": \"1.0\", \"id\": 7, \"method\": \"tools/list\"}\n", -32600, json!(7)),
            (b"{\"jsonrpc\": \"2.0\", \"id\": \"a\"}\n", -32600, json!("a")),
        ] {
            let (messages, answers) = told(line).await;
            let line = String::from_utf8_lossy(line);
            assert_eq!((messages, answers.len()), (0, 1), "{line}: {answers:?}");
            let answer = &answers[0];
            assert_eq!(
                (&answer["error"]["code"], answer.get("id")),
                (&json!(code), Some(&id)),
                "{line}: {answer}"
            );
            assert!(answer["error"]["message"].as_str().unwrap().contains("line"), "{answer}");
            // Who sends it back gets nothing for it.
            assert_eq!(told(format!("{answer}\n").as_bytes()).await.1, [] as [Value; 0]);
        }
    }

    #[tokio::test]
    async fn what_comes_after_it_is_read_and_notifications_have_no_answer() {
        let unknown = br#"{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": 5}"#;
        let parts = [b"no JSON\n", REQUEST, b"\r\n\n", unknown, b"\n\xEF\xBB\xBF", REQUEST].concat();
        let (messages, answers) = told(&parts).await;
        assert_eq!((messages, answers.len()), (2, 1), "{answers:?}");
    }

    #[tokio::test]
    async fn a_line_beyond_the_bound_is_refused_and_the_next_one_read() {
        let (mut client, mut read, mut lines) = client();
        let sending = tokio::spawn(async move {
            let long = vec![b' '; 1 << 20];
            for _ in 0..=(LINE_BYTES_MAX >> 20) {
                client.write_all(&long).await.unwrap();
            }
            client.write_all(&[b"\n", REQUEST, b"\n"].concat()).await.unwrap();
        });
        assert!(lines.receive().await.is_some());
        sending.await.unwrap();
        assert!(lines.receive().await.is_none());
        lines.close().await.unwrap();
        let mut answer = String::new();
        read.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("-32600") && answer.contains("longer than 16777216 bytes"), "{answer}");
    }

    #[tokio::test]
    async fn half_a_line_outlives_a_receive_that_is_given_up() {
        let (mut client, _read, mut lines) = client();
        for half in [&REQUEST[..20], &[&REQUEST[20..], b"\n"].concat()] {
            {
                let mut receive = pin!(lines.receive());
                let first = poll_fn(|context| Poll::Ready(receive.as_mut().poll(context))).await;
                assert!(first.is_pending());
            }
            client.write_all(half).await.unwrap();
        }
        assert!(lines.receive().await.is_some());
    }
}
