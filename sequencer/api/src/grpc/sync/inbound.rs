//! The messages of a session, taken out of the body one by one: each has room in the budget while it comes in and until
//! it is answered, and one that can't be read is answered like any other, since the next one begins after it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use prost::Message as _;
use prost::bytes::Buf as _;
use tokio::time::{Instant, timeout_at};
use ves::TenantId;
use ves_wire::error::ErrorCode;
use ves_wire::proto::v2::SyncMessage;

use crate::body::piece;
use crate::budget::{Gathered, Room};
use crate::error::ApiError;
use crate::grpc::frame::PREFIX_BYTES;
use crate::grpc::status::undecodable;
use crate::router::App;

/// Longest wait between two messages: as good as none.
const BETWEEN_MESSAGES: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// What came in.
pub(in crate::grpc) enum Heard {
    /// A message, and its room until it is answered.
    Message(Box<SyncMessage>, Room),
    /// A message that is too large, compressed, or says nothing that can be read.
    Unreadable(ApiError),
    /// The caller sends no more.
    End,
}

/// The caller's half of a session.
pub(in crate::grpc) struct Inbound {
    app: App,
    tenant_id: TenantId,
    body: Body,
    /// What came and was not looked at yet.
    piece: Bytes,
    /// The message that is coming in, with its prefix.
    begun: Gathered,
    /// Bytes to come of a message that is not taken, and why it is not.
    skipped: usize,
    refusal: Option<ApiError>,
    /// Until more of the message has to come.
    deadline: Instant,
}

impl Inbound {
    pub fn new(app: &App, tenant_id: TenantId, body: Body) -> Result<Self, ApiError> {
        let begun = Gathered::new(app.budget.empty(&tenant_id)?);
        let deadline = Instant::now();
        Ok(Self {
            app: app.clone(),
            tenant_id,
            body,
            piece: Bytes::new(),
            begun,
            skipped: 0,
            refusal: None,
            deadline,
        })
    }

    /// The next message. Dropping the call half-way loses nothing.
    ///
    /// # Errors
    /// [`ApiError`] that ends the session: a message that stopped coming, or bytes that are no messages.
    pub async fn next(&mut self) -> Result<Heard, ApiError> {
        loop {
            if !self.piece.is_empty() {
                if let Some(heard) = self.look().await? {
                    return Ok(heard);
                }
                continue;
            }
            let is_between = self.begun.bytes.is_empty() && self.skipped == 0;
            let pause_max = self.app.config.body_pause_max;
            if is_between {
                self.deadline = Instant::now() + BETWEEN_MESSAGES;
            }
            let next = timeout_at(self.deadline, piece(&mut self.body, BETWEEN_MESSAGES)).await;
            self.piece = match next {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) if is_between => return Ok(Heard::End),
                Ok(Ok(None)) => return Err(undecodable()),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let message = "a message stopped coming half-way, and its room is needed";
                    return Err(ApiError::new(ErrorCode::QuotaExceeded, message));
                }
            };
            self.deadline = Instant::now() + pause_max;
        }
    }

    /// The refusal of a message once it has gone by.
    fn skipped_over(&mut self) -> Option<Heard> {
        if self.skipped > 0 {
            return None;
        }
        self.refusal.take().map(Heard::Unreadable)
    }

    /// Takes what it can out of the piece; a message when it is whole.
    async fn look(&mut self) -> Result<Option<Heard>, ApiError> {
        let bytes_max = self.app.config.body_bytes_max;
        if self.skipped > 0 {
            let count = self.skipped.min(self.piece.len());
            self.piece.advance(count);
            self.skipped -= count;
            return Ok(self.skipped_over());
        }
        let whole = |begun: &[u8]| Some(PREFIX_BYTES + length(begun)?);
        let wanted = whole(&self.begun.bytes).unwrap_or(PREFIX_BYTES);
        let count = self.piece.len().min(wanted - self.begun.bytes.len());
        self.begun.push(&self.piece[..count], wanted).await?;
        self.piece.advance(count);
        let Some(wanted) = whole(&self.begun.bytes) else { return Ok(None) };
        let length = wanted - PREFIX_BYTES;
        self.refusal = match self.begun.bytes[0] {
            0 if length <= bytes_max => None,
            0 => {
                let message = format!("the message is larger than {bytes_max} bytes");
                Some(ApiError::new(ErrorCode::PayloadTooLarge, message))
            }
            1 => {
                let message = "the message is compressed, which this call does not take; send it as it is";
                Some(ApiError::new(ErrorCode::InvalidRequestBody, message))
            }
            // What other flags mean nobody knows: these bytes are no messages.
            _ => return Err(undecodable()),
        };
        if self.refusal.is_some() {
            self.skipped = length;
            self.begun = Gathered::new(self.app.budget.empty(&self.tenant_id)?);
            return Ok(self.skipped_over());
        }
        if self.begun.bytes.len() < wanted {
            return Ok(None);
        }
        let fresh = Gathered::new(self.app.budget.empty(&self.tenant_id)?);
        let Gathered { bytes, room } = std::mem::replace(&mut self.begun, fresh);
        self.app.metrics.body_read(bytes.len());
        Ok(Some(match SyncMessage::decode(&bytes[PREFIX_BYTES..]) {
            Ok(message) => Heard::Message(Box::new(message), room),
            Err(_) => Heard::Unreadable(undecodable()),
        }))
    }
}

/// Bytes of the message after its prefix, once that is whole.
fn length(begun: &[u8]) -> Option<usize> {
    let [_, length @ ..] = begun.first_chunk::<PREFIX_BYTES>()?;
    Some(u32::from_be_bytes(*length) as usize)
}
