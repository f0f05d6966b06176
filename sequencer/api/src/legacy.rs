//! The older routes (sections 3.1 and 3.6): the older stream, and reads of whichever stream a caller means.
//!
//! Published clients push signed events and read them from these routes (section 3.12), so each read takes
//! `stream=ves|legacy|auto`; left out it is `auto`.

pub(crate) mod commitments;
pub(crate) mod entities;
pub(crate) mod entity_list;
pub(crate) mod events;
pub(crate) mod ingest;
pub(crate) mod proofs;

use serde::Deserialize;
use ves::StreamKey;

use crate::router::App;

/// What the caller says with `stream=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Asked {
    Ves,
    Legacy,
    /// The signed stream when it has events, else the older one.
    #[default]
    Auto,
}

/// Which of the two streams of a tenant and store is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meant {
    Signed,
    Older,
}

impl Asked {
    pub fn of(self, app: &App, stream: &StreamKey) -> Meant {
        match self {
            Self::Ves => Meant::Signed,
            Self::Legacy => Meant::Older,
            Self::Auto if app.sequencer.head(stream).head_sequence.get() > 0 => Meant::Signed,
            Self::Auto => Meant::Older,
        }
    }

    /// Whether an object found in this stream may be what the caller means. Where an object's own id says which
    /// stream it is of, `auto` means that one.
    pub fn admits(self, found: Meant) -> bool {
        match self {
            Self::Auto => true,
            Self::Ves => found == Meant::Signed,
            Self::Legacy => found == Meant::Older,
        }
    }
}
