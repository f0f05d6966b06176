//! What can stand between the tools and the companies' node: a program that does something to one request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What some other program answers.
const NOT_ITS_OWN: &str =
    "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 13\r\n\r\n<html></html>";

/// What a node answers where another step came before.
const REFUSAL: &str = "HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-length: 53\r\n\r\n\
                       {\"error\":{\"code\":\"CONFLICT\",\"message\":\"it is spent\"}}";

/// What becomes of the request that is waited for.
pub enum Deed {
    /// It never reaches the node.
    Held,
    /// The node refuses it by its own word.
    Refused,
    /// The node carries it out, and its answer is lost.
    AnswerLost,
    /// The node gets it, after this.
    After(Box<dyn FnOnce() + Send>),
    /// The node answers before this, and its answer comes after it, with one text instead of another.
    Before { then: Box<dyn FnOnce() + Send>, text: String, instead_of: String },
    /// The node gets it with this number instead of another of as many digits.
    With { number: String, instead_of: String },
}

struct Awaited {
    /// Part of the request's first line, as `POST /orgs/globex/payments`.
    request: String,
    deed: Deed,
}

/// Stands at the node's place in `node.json` while it lives.
pub struct Between {
    file: PathBuf,
    before: String,
    awaited: Arc<Mutex<Option<Awaited>>>,
}

impl Between {
    pub fn start(data: &Path) -> Self {
        let file = data.join("ledger").join("node.json");
        let before = std::fs::read_to_string(&file).expect("the service runs nodes");
        let at: Value = serde_json::from_str(&before).expect("JSON");
        let target =
            at["url"].as_str().and_then(|url| url.strip_prefix("http://")).expect("a URL").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback listens");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::fs::write(&file, json!({"url": url, "token": at["token"]}).to_string()).expect("it is written");
        let awaited = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&awaited);
        // Its threads end with the process.
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let (target, seen) = (target.clone(), Arc::clone(&seen));
                std::thread::spawn(move || pass(caller, &target, &seen));
            }
        });
        Self { file, before, awaited }
    }

    /// Does this to the first request that fits.
    pub fn await_one(&self, request: &str, deed: Deed) {
        *self.awaited.lock().expect("no thread panics with it") =
            Some(Awaited { request: request.to_owned(), deed });
    }

    /// Whether what was awaited has come.
    pub fn has_come(&self) -> bool {
        self.awaited.lock().expect("no thread panics with it").is_none()
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.file, &self.before);
    }
}

fn pass(caller: TcpStream, target: &str, awaited: &Mutex<Option<Awaited>>) {
    let Some((first, rest)) = request(&caller) else { return };
    let deed = awaited
        .lock()
        .expect("no thread panics with it")
        .take_if(|one| first.contains(&one.request))
        .map(|one| one.deed);
    let ask = |rest: &[u8]| {
        let mut node = TcpStream::connect(target).expect("the node listens");
        node.write_all(&[first.as_bytes(), b"connection: close\r\n", rest].concat()).expect("it reads");
        let mut answer = Vec::new();
        node.read_to_end(&mut answer).expect("it answers");
        answer
    };
    let answer = match deed {
        None => ask(&rest),
        Some(Deed::Held) => NOT_ITS_OWN.into(),
        Some(Deed::Refused) => REFUSAL.into(),
        Some(Deed::AnswerLost) => {
            ask(&rest);
            NOT_ITS_OWN.into()
        }
        Some(Deed::After(first)) => {
            first();
            ask(&rest)
        }
        Some(Deed::Before { then, text, instead_of }) => {
            let answer = String::from_utf8(ask(&rest)).expect("an answer of text");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
            assert!(body.contains(&instead_of), "{body}");
            then();
            // It ends with the connection.
            let head =
                head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
            let head = head.collect::<Vec<_>>().join("\r\n");
            format!("{head}\r\n\r\n{}", body.replace(&instead_of, &text)).into_bytes()
        }
        Some(Deed::With { number, instead_of }) => {
            let text = String::from_utf8(rest).expect("a body of text");
            assert!(text.contains(&instead_of) && number.len() == instead_of.len(), "{text}");
            ask(text.replace(&instead_of, &number).as_bytes())
        }
    };
    let mut caller = caller;
    // A caller that has gone needs no answer.
    let _ = caller.write_all(&answer);
}

/// First line, and the rest: other headers and the body.
fn request(caller: &TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut reader, mut first, mut rest, mut length) =
        (BufReader::new(caller), String::new(), Vec::new(), 0);
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if !lower.starts_with("connection:") {
            rest.extend_from_slice(line.as_bytes());
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    rest.extend(body);
    Some((first, rest))
}
