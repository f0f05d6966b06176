//! An endpoint between service and node that can fail the way networks do.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Each fails one method in its own way, as long as it is told to.
#[derive(Clone, Default)]
pub struct Faults {
    /// The node gets `eth_sendRawTransaction`, and the answer is lost.
    pub loses_answers: Arc<AtomicBool>,
    /// The node never gets it.
    pub loses_requests: Arc<AtomicBool>,
    /// Every transaction is refused, as if its nonce were used.
    pub says_nonce_used: Arc<AtomicBool>,
    /// It says of no transaction that it is in a block.
    pub hides_receipts: Arc<AtomicBool>,
}

pub struct Proxy {
    pub url: String,
    pub faults: Faults,
}

impl Proxy {
    /// Before the node at `port`; ends with the process.
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let faults = Faults::default();
        let own = faults.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let faults = own.clone();
                thread::spawn(move || serve(client, port, &faults));
            }
        });
        Self { url, faults }
    }
}

/// One request after another, until either side ends.
fn serve(mut client: TcpStream, port: u16, faults: &Faults) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(client.try_clone().ok()?);
    loop {
        let (head, mut body) = message(&mut reader)?;
        if faults.hides_receipts.load(Ordering::SeqCst) {
            body = of_nothing(&body);
        }
        let is_sent = String::from_utf8_lossy(&body).contains("eth_sendRawTransaction");
        if is_sent && faults.loses_requests.load(Ordering::SeqCst) {
            return None;
        }
        if is_sent && faults.says_nonce_used.load(Ordering::SeqCst) {
            client.write_all(nonce_used(&body)?.as_bytes()).ok()?;
            continue;
        }
        let mut node = TcpStream::connect(("127.0.0.1", port)).ok()?;
        node.set_nodelay(true).ok()?;
        node.write_all(head.as_bytes()).ok()?;
        node.write_all(&body).ok()?;
        let (head, body) = message(&mut BufReader::new(node))?;
        if is_sent && faults.loses_answers.load(Ordering::SeqCst) {
            // Longer than the service waits.
            thread::sleep(Duration::from_secs(2));
            return None;
        }
        client.write_all(head.as_bytes()).ok()?;
        client.write_all(&body).ok()?;
    }
}

/// The refusal of a transaction whose nonce is used.
fn nonce_used(request: &[u8]) -> Option<String> {
    let request: Value = serde_json::from_slice(request).ok()?;
    let error = json!({"code": -32000, "message": "nonce too low"});
    let body = json!({"jsonrpc": "2.0", "id": request["id"], "error": error}).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Some(head + &body)
}

/// A question for receipts as one for those of transactions that do not exist: it is as long as before.
fn of_nothing(body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    if !String::from_utf8_lossy(&body).contains("eth_getTransactionReceipt") {
        return body;
    }
    let is_hash = |text: &[u8]| text.starts_with(b"\"0x") && text[3..67].iter().all(u8::is_ascii_hexdigit);
    for at in 0..body.len().saturating_sub(67) {
        if is_hash(&body[at..at + 67]) {
            body[at + 3..at + 67].fill(b'0');
        }
    }
    body
}

/// Head and body of a message with a length.
fn message(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        let line = head[start..].trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
