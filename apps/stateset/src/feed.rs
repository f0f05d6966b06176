//! The live feed of the server: event after event, connected again where the connection is lost.

use std::io::{BufRead as _, BufReader, Read};
use std::time::Duration;

use serde_json::Value;
use ves::StreamKey;

use crate::context::Context;
use crate::error::{CliError, printable};
use crate::rest::Rest;

/// Longest line of a feed: an event with the largest payload.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Between two tries to connect, at first and at most.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What a reader asks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// First number; `None`: what comes from now on.
    pub from: Option<u64>,
    /// Types with commas between.
    pub event_types: Option<String>,
}

/// One event of a feed.
pub struct Told {
    pub number: u64,
    /// Envelope and receipt.
    pub entry: Value,
}

/// A feed that goes on for ever.
pub struct Feed<'c> {
    context: &'c Context,
    rest: Rest,
    path: String,
    /// The last number that is known.
    last: Option<u64>,
    lines: Option<BufReader<Box<dyn Read>>>,
}

/// What a block of lines says.
enum Block {
    Event(Told),
    End(Value),
    Nothing,
}

impl<'c> Feed<'c> {
    /// Connects; a refusal is the caller's to see.
    pub fn open(context: &'c Context, stream: &StreamKey, wanted: &Wanted) -> Result<Self, CliError> {
        let mut path =
            format!("/api/v1/events/stream?tenant_id={}&store_id={}", stream.tenant_id, stream.store_id);
        if let Some(from) = wanted.from {
            path += &format!("&from={from}");
        }
        if let Some(types) = &wanted.event_types {
            path += &format!("&event_type={}", encoded(types));
        }
        let mut feed = Self { context, rest: Rest::of(context)?, path, last: None, lines: None };
        feed.connect()?;
        Ok(feed)
    }

    fn connect(&mut self) -> Result<(), CliError> {
        let body = self.rest.open(&self.path, self.last)?;
        self.lines = Some(BufReader::new(Box::new(body.into_reader())));
        Ok(())
    }

    /// The next event. A connection that is lost is made again, and goes on after the last event.
    ///
    /// # Errors
    /// A refusal, and an end that another connection would meet again.
    pub fn next(&mut self) -> Result<Told, CliError> {
        let mut pause = PAUSE;
        loop {
            if self.lines.is_none() {
                match self.connect() {
                    Ok(()) => pause = PAUSE,
                    Err(error) if is_passing(&error.code) => {
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(PAUSE_MAX);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            match self.block() {
                Some(Block::Event(told)) => return Ok(told),
                Some(Block::Nothing) => {}
                Some(Block::End(why)) => {
                    self.lines = None;
                    self.judge(&why)?;
                }
                None => {
                    self.lines = None;
                    self.context.out.note("The connection is lost; connecting again.");
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Whether the feed may go on after an end that says this.
    fn judge(&self, why: &Value) -> Result<(), CliError> {
        let text = |name: &str| why["error"][name].as_str().unwrap_or_default().to_owned();
        let (code, message) = (text("code"), printable(&text("message")));
        if !is_passing(&code) {
            return Err(CliError::failure(&code, message));
        }
        self.context.out.note(&format!("{message}."));
        Ok(())
    }

    /// The lines to the next empty one; `None` at the end of the connection.
    fn block(&mut self) -> Option<Block> {
        let (mut data, mut is_end, mut id) = (None, false, None);
        loop {
            let mut line = String::new();
            let lines = self.lines.as_mut()?;
            let read = lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).ok()?;
            if read == 0 || !line.ends_with('\n') {
                return None;
            }
            match line.trim_end_matches(['\r', '\n']).split_once(": ") {
                Some(("id", number)) => id = number.parse::<u64>().ok(),
                Some(("event", name)) => is_end = name == "end",
                Some(("data", json)) => data = serde_json::from_str::<Value>(json).ok(),
                Some(_) => {}
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        if let Some(number) = id {
            self.last = Some(number);
        }
        Some(match (data, id) {
            (Some(why), _) if is_end => Block::End(why),
            (Some(entry), Some(number)) => Block::Event(Told { number, entry }),
            _ => Block::Nothing,
        })
    }
}

/// Whether another connection may do better.
fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "SERVICE_UNAVAILABLE" | "SLOW_CONSUMER" | "SERVER_UNREACHABLE" | "QUOTA_EXCEEDED" | "TIMEOUT"
    )
}

/// A text as a part of a query.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'*' | b',' => {
                out.push(byte.into())
            }
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}
