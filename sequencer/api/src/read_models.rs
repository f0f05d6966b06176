//! The port to the states of entities: declared here in this crate's words, joined by the programs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use stateset_sequencer::{Sequencer, ServiceError};
use ves::{SequenceNumber, StreamKey};

/// States of entities, derived from the events of their signed streams.
pub trait ReadModels: fmt::Debug + Send + Sync {
    /// Number of the last event that the states of a stream take in; zero before the first.
    fn projected<'a>(
        &'a self,
        sequencer: &'a Sequencer,
        stream: &'a StreamKey,
    ) -> Reading<'a, SequenceNumber>;

    /// The state of one entity: the present one, or the one after event `at`; `None` where no event of it was passed,
    /// or its type has no states.
    fn entity<'a>(
        &'a self,
        sequencer: &'a Sequencer,
        stream: &'a StreamKey,
        name: (&'a str, &'a str),
        at: Option<SequenceNumber>,
    ) -> Reading<'a, Option<EntityState>>;

    /// Present states of the entities of one type that have one, by id.
    fn entities<'a>(
        &'a self,
        sequencer: &'a Sequencer,
        stream: &'a StreamKey,
        wanted: EntitiesWanted<'a>,
    ) -> Reading<'a, EntitiesFound>;
}

/// The future of a read.
pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T, ServiceError>> + Send + 'a>>;

/// One entity as its projection sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityState {
    pub entity_id: String,
    /// Events of the entity that were passed, applied or not: what a `base_version` is compared with.
    pub version: u64,
    /// Those that could not be judged, being sealed or following sealed ones.
    pub unreadable: u64,
    /// Number of the last one.
    pub sequence: SequenceNumber,
    /// An object; `None` where no event created the entity.
    pub state: Option<Value>,
}

/// Which entities are wanted.
#[derive(Debug, Clone, Copy)]
pub struct EntitiesWanted<'a> {
    pub entity_type: &'a str,
    /// Only those in this state of their machine.
    pub status: Option<&'a str>,
    /// Only those whose ids are greater.
    pub after: Option<&'a str>,
    /// Most entities of the answer.
    pub limit: usize,
}

/// A page of entities.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EntitiesFound {
    pub entities: Vec<EntityState>,
    /// What to go on after; `None` where there are no more. A page that is not full may still be followed by more, since
    /// a look at those of other states is bounded too.
    pub next_after: Option<String>,
}
