//! How a server is reached. What comes over a transport is nobody's truth until it was checked.

use std::time::Duration;

use stateset_client::{Client, ClientError, GrpcClient};
use ves::envelope::decode_text;
use ves::hex::Format;
use ves::receipt::Receipt;
use ves::{AgentId, Digest, Envelope, SequenceNumber, StreamKey, TenantId};
use ves_wire::events::EventsPage;
use ves_wire::ingest::{IngestAnswer, write_request};
use ves_wire::policies::GroupWithKeys;

/// Consecutive events as a server gave them.
#[derive(Debug, Default)]
pub struct RawPage {
    pub events: Vec<RawEvent>,
    /// Where the server says that the stream ends.
    pub head: SequenceNumber,
}

/// One event of a page; nothing in it was checked but its shape.
#[derive(Debug)]
pub struct RawEvent {
    pub envelope: Envelope<'static>,
    /// `None`: the server gave none, or none that can be read.
    pub receipt: Option<Receipt>,
}

impl RawPage {
    /// Reads the text of `GET /api/v1/ves/events`.
    ///
    /// # Errors
    /// [`ClientError::Unreadable`] when it is no page, or holds something that is no event.
    pub fn from_json(text: &str, stream: &StreamKey) -> Result<Self, ClientError> {
        let page: EventsPage<'_> =
            serde_json::from_str(text).map_err(|error| unreadable("the page", &error))?;
        let events = page.events.iter().map(|entry| {
            let envelope = decode_text(entry.envelope.get(), Format::Lenient)
                .map_err(|error| unreadable("the page", &error))?;
            let receipt = entry.receipt.as_ref().and_then(|body| body.to_receipt(*stream).ok());
            Ok(RawEvent { envelope: envelope.into_owned(), receipt })
        });
        Ok(Self { events: events.collect::<Result<_, ClientError>>()?, head: page.head_sequence })
    }
}

/// One server. Calls block; each may be repeated.
pub trait Transport {
    /// Sends events of one agent and stream.
    ///
    /// # Errors
    /// [`ClientError`]; after `Unreachable` nobody knows what the server did.
    fn push(&mut self, agent: AgentId, events: &[Envelope<'_>]) -> Result<IngestAnswer, ClientError>;

    /// Events from `from` on, at most `limit`.
    ///
    /// # Errors
    /// [`ClientError`]; an event that can't be read is `Unreadable`.
    fn page(
        &mut self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<RawPage, ClientError>;

    /// The text of the newest signed checkpoint, where there is one.
    ///
    /// # Errors
    /// [`ClientError`].
    fn checkpoint(&mut self, stream: &StreamKey) -> Result<Option<String>, ClientError>;

    /// Hashes that should prove that the log of `to` begins with that of `from`.
    ///
    /// # Errors
    /// [`ClientError`].
    fn consistency(&mut self, stream: &StreamKey, from: u64, to: u64) -> Result<Vec<Digest>, ClientError>;

    /// The text of the signed key directory of an agent.
    ///
    /// # Errors
    /// [`ClientError`].
    fn directory(&mut self, stream: &StreamKey, agent: &AgentId) -> Result<String, ClientError>;

    /// A group of recipients by its id or its name.
    ///
    /// # Errors
    /// [`ClientError`]; `None` when there is no such group.
    fn group(&mut self, tenant: &TenantId, name: &str) -> Result<Option<GroupWithKeys>, ClientError>;

    /// Waits for so long, or until the server tells of an event, where it can tell.
    fn wait(&mut self, at_most: Duration) {
        std::thread::sleep(at_most);
    }
}

/// A server over REST.
impl Transport for Client {
    fn push(&mut self, agent: AgentId, events: &[Envelope<'_>]) -> Result<IngestAnswer, ClientError> {
        let text = self.unverified().ingest(&write_request(agent, events), events.len() > 1)?;
        serde_json::from_str(&text).map_err(|error| unreadable("the ingest", &error))
    }

    fn page(
        &mut self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<RawPage, ClientError> {
        RawPage::from_json(&self.unverified().events(stream, from, limit)?, stream)
    }

    fn checkpoint(&mut self, stream: &StreamKey) -> Result<Option<String>, ClientError> {
        self.unverified().checkpoint(stream, None)
    }

    fn consistency(&mut self, stream: &StreamKey, from: u64, to: u64) -> Result<Vec<Digest>, ClientError> {
        self.unverified().consistency(stream, from, to)
    }

    fn directory(&mut self, stream: &StreamKey, agent: &AgentId) -> Result<String, ClientError> {
        self.unverified().directory(stream, agent)
    }

    fn group(&mut self, tenant: &TenantId, name: &str) -> Result<Option<GroupWithKeys>, ClientError> {
        let server = self.unverified();
        let id = match name.parse::<uuid::Uuid>() {
            Ok(id) => Some(id),
            Err(_) => {
                let groups = server.groups(tenant)?.groups;
                groups.into_iter().find(|group| group.name == name).map(|group| group.group_id)
            }
        };
        let Some(id) = id else { return Ok(None) };
        match server.group(tenant, &id) {
            Ok(group) => Ok(Some(group)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A server over gRPC: events over one `SyncStream`, and what is signed by itself (checkpoints, key directories) over REST.
pub struct OverGrpc {
    pub events: GrpcClient,
    pub documents: Client,
}

impl Transport for OverGrpc {
    fn push(&mut self, agent: AgentId, events: &[Envelope<'_>]) -> Result<IngestAnswer, ClientError> {
        let stream = events.first().ok_or(ClientError::MixedEvents)?.stream;
        self.events.push(&stream, agent, events)
    }

    fn page(
        &mut self,
        stream: &StreamKey,
        from: SequenceNumber,
        limit: usize,
    ) -> Result<RawPage, ClientError> {
        let (events, head) = self.events.page(stream, from, limit)?;
        let events = events.into_iter().map(|(envelope, receipt)| RawEvent { envelope, receipt });
        Ok(RawPage { events: events.collect(), head })
    }

    fn checkpoint(&mut self, stream: &StreamKey) -> Result<Option<String>, ClientError> {
        Transport::checkpoint(&mut self.documents, stream)
    }

    fn consistency(&mut self, stream: &StreamKey, from: u64, to: u64) -> Result<Vec<Digest>, ClientError> {
        Transport::consistency(&mut self.documents, stream, from, to)
    }

    fn directory(&mut self, stream: &StreamKey, agent: &AgentId) -> Result<String, ClientError> {
        Transport::directory(&mut self.documents, stream, agent)
    }

    fn group(&mut self, tenant: &TenantId, name: &str) -> Result<Option<GroupWithKeys>, ClientError> {
        Transport::group(&mut self.documents, tenant, name)
    }

    fn wait(&mut self, at_most: Duration) {
        self.events.wait(at_most);
    }
}

fn unreadable(what: &str, problem: &dyn std::fmt::Display) -> ClientError {
    ClientError::Unreadable { path: what.to_owned(), problem: problem.to_string() }
}
