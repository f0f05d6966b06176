//! One open `SyncStream`.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codec::ProstCodec;
use tonic::{Code, IntoStreamingRequest as _, Request, Status, Streaming};
use ves_wire::error::ErrorCode;
use ves_wire::proto::v2::{EventAck, Heartbeat, SyncMessage, sync_message::Message};

use super::address::Address;
use super::connection::Connection;
use crate::ClientError;
use crate::repeat::Failed;

const PATH: &str = "/stateset.sequencer.v2.Sequencer/SyncStream";
/// An answer takes at most this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Larger than any page: 1,000 events whose payloads share the server's limits.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Messages that wait for the connection; one is asked at a time, with an acknowledgement before it.
const WAITING_MAX: usize = 4;

pub(super) struct Session {
    address: String,
    say: mpsc::Sender<SyncMessage>,
    hear: Streaming<SyncMessage>,
    /// The server knows which stream acknowledgements are about.
    pub has_pulled: bool,
    /// An event came live since the last page was asked for.
    pub is_behind: bool,
}

impl Session {
    pub async fn open(address: &Address, api_key: Option<&str>) -> Result<Self, Failed> {
        let connection = Connection::open(address).await?;
        let mut grpc = Grpc::with_origin(connection, address.origin.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (say, said) = mpsc::channel(WAITING_MAX);
        let mut request = Request::new(ReceiverStream::new(said));
        if let Some(key) = api_key {
            let value = format!("ApiKey {key}").parse().map_err(|_| {
                let problem = "the API key holds characters that no request can carry";
                Failed::lasting(ClientError::Address { url: address.url.clone(), problem })
            })?;
            request.metadata_mut().insert("authorization", value);
        }
        let opening = async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let path = PATH.parse().expect("a path");
            grpc.streaming(request.into_streaming_request(), path, ProstCodec::default()).await
        };
        let hear = match timeout(ANSWER_TIMEOUT, opening).await {
            Ok(opened) => opened.map_err(|status| failed(&address.url, &status))?.into_inner(),
            Err(_) => return Err(silent(&address.url)),
        };
        let mut session =
            Self { address: address.url.clone(), say, hear, has_pulled: false, is_behind: false };
        // Who acknowledges has at most 1,000 live events under way: they would else follow every push.
        session.say(Message::Ack(EventAck::default())).await?;
        Ok(session)
    }

    /// Whether the server answers.
    pub async fn heartbeat(&mut self) -> Result<(), Failed> {
        let asked = self.ask(Message::Heartbeat(Heartbeat::default()), |message| match message {
            Message::ServerHeartbeat(_) => Some(()),
            _ => None,
        });
        asked.await
    }

    /// Sends `message`, and waits for what `is_answer` takes; live events and states between are passed over.
    pub async fn ask<T>(
        &mut self,
        message: Message,
        mut is_answer: impl FnMut(Message) -> Option<T>,
    ) -> Result<T, Failed> {
        self.say(message).await?;
        loop {
            let heard = timeout(ANSWER_TIMEOUT, self.hear()).await;
            let message = heard.map_err(|_| silent(&self.address))??;
            self.is_behind |= matches!(message, Message::Event(_));
            if let Some(answer) = is_answer(message) {
                return Ok(answer);
            }
        }
    }

    /// Returns when an event came that no page asked for yet, or after `at_most`.
    pub async fn news(&mut self, at_most: Duration) -> Result<(), Failed> {
        let coming = async {
            while !self.is_behind {
                self.is_behind = matches!(self.hear().await?, Message::Event(_));
            }
            Ok(())
        };
        timeout(at_most, coming).await.unwrap_or(Ok(()))
    }

    pub async fn say(&mut self, message: Message) -> Result<(), Failed> {
        match self.say.send(SyncMessage { message: Some(message) }).await {
            Ok(()) => Ok(()),
            // The stream is over; it says why.
            Err(_) => self.hear().await.map(drop),
        }
    }

    /// The next message.
    async fn hear(&mut self) -> Result<Message, Failed> {
        loop {
            match self.hear.message().await {
                Ok(Some(SyncMessage { message: Some(message) })) => return Ok(message),
                // What a newer server says is passed over.
                Ok(Some(SyncMessage { message: None })) => {}
                Ok(None) => return Err(failed(&self.address, &Status::unavailable("the stream ended"))),
                Err(status) => return Err(failed(&self.address, &status)),
            }
        }
    }
}

fn silent(url: &str) -> Failed {
    failed(url, &Status::unavailable(format!("no answer in {} s", ANSWER_TIMEOUT.as_secs())))
}

/// What a status means for the request that was under way.
fn failed(url: &str, status: &Status) -> Failed {
    let text = |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok());
    if let Some(code) = text("x-error-code") {
        let http = ErrorCode::parse(code).map_or(400, ErrorCode::status);
        let error = ClientError::Refused {
            status: http,
            code: code.to_owned(),
            message: status.message().to_owned(),
            request_id: text("x-request-id").map(str::to_owned),
        };
        let retry_after = text("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        return Failed::refused(error, retry_after);
    }
    if status.code() == Code::Unimplemented {
        let problem = "it is no gRPC door of a sequencer; its port is another one than that of REST";
        return Failed::lasting(ClientError::Address { url: url.to_owned(), problem });
    }
    // All else is of the way there: a cut, a reset, a proxy that gave up.
    let problem = status.message().to_owned();
    let error = ClientError::Unreachable { url: url.to_owned(), problem, was_cut: true };
    Failed { error, is_passing: true, retry_after: None }
}
