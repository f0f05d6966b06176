//! What a server can be caught at. Each has a name, and says what was seen.

use stateset_client::Untrue;
use ves::directory::DirectoryError;
use ves::{AgentId, EventId, SequenceNumber};

/// A server said something that is not true, or no longer says what it said before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Two signed statements about one place of the log contradict one another.
    #[error("the log was forked: {0}")]
    LogForked(String),
    /// The log ends before what was seen of it.
    #[error("the log was cut off: it reached {seen} before, and now ends at {now}")]
    LogTruncated { seen: SequenceNumber, now: SequenceNumber },
    /// A checkpoint that no key of the sequencer signed for this stream.
    #[error("a checkpoint is forged: {0}")]
    CheckpointForged(String),
    /// A number is missing between two others.
    #[error("event {expected} was dropped: the server gives {found} in its place")]
    EventDropped { expected: SequenceNumber, found: String },
    /// An event stands twice in the log.
    #[error("event {event} stands twice in the log, at {first} and at {second}")]
    EventRepeated { event: EventId, first: SequenceNumber, second: SequenceNumber },
    /// An event is not what its agent signed.
    #[error("event {at} is not what its agent signed: {problem}")]
    EventForged { at: SequenceNumber, problem: String },
    /// A receipt does not prove what it says.
    #[error("a receipt is wrong: {0}")]
    ReceiptWrong(String),
    /// The server signs with a key that nobody vouched for: it was rotated, or it is another server.
    #[error(
        "the server signs with a key that is not believed, {named}: it was rotated, or this is another server; ask its operator \
         for the key by another way"
    )]
    SequencerKeyUnknown { named: String },
    /// The keys of an agent are those of an earlier time.
    #[error("the key directory of agent {agent} is stale: {problem}")]
    DirectoryStale { agent: AgentId, problem: String },
    /// The keys of an agent are not what the sequencer signed.
    #[error("the key directory of agent {agent} is forged: {problem}")]
    DirectoryForged { agent: AgentId, problem: String },
}

impl Fault {
    /// The stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LogForked(_) => "log_forked",
            Self::LogTruncated { .. } => "log_truncated",
            Self::CheckpointForged(_) => "checkpoint_forged",
            Self::EventDropped { .. } => "event_dropped",
            Self::EventRepeated { .. } => "event_repeated",
            Self::EventForged { .. } => "event_forged",
            Self::ReceiptWrong(_) => "receipt_wrong",
            Self::SequencerKeyUnknown { .. } => "sequencer_key_unknown",
            Self::DirectoryStale { .. } => "directory_stale",
            Self::DirectoryForged { .. } => "directory_forged",
        }
    }

    /// What is wrong with the directory of `agent`.
    pub fn directory(agent: AgentId, problem: &DirectoryError) -> Self {
        let text = problem.to_string();
        match problem {
            DirectoryError::Stale { .. }
            | DirectoryError::FromTheFuture { .. }
            | DirectoryError::Behind { .. } => Self::DirectoryStale { agent, problem: text },
            DirectoryError::Unreadable(_)
            | DirectoryError::InvalidSignature
            | DirectoryError::OtherSubject => Self::DirectoryForged { agent, problem: text },
        }
    }
}

/// What the client found untrue about the answer to a push.
impl From<Untrue> for Fault {
    fn from(untrue: Untrue) -> Self {
        match untrue {
            Untrue::UnknownSequencerKey { version, .. } => {
                Self::SequencerKeyUnknown { named: format!("version {version}") }
            }
            Untrue::TwoAtOneNumber(_) => Self::LogForked(untrue.to_string()),
            other => Self::ReceiptWrong(other.to_string()),
        }
    }
}
