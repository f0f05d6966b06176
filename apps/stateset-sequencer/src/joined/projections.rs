//! Projections beside the writer: the event log is their feed, documents are their store.

mod feed;
mod offline;
mod states;
mod store;
mod stored;
mod worker;

pub use offline::{Checked, Difference, check, rebuild, status};
pub use states::States;
pub use worker::Projections;

use stateset_projection::PortError;
use stateset_sequencer::{ErrorKind, ServiceError};

fn port(error: ServiceError) -> PortError {
    match error.kind() {
        ErrorKind::Unavailable => PortError::passing(error.to_string()),
        _ => PortError::lasting(error.to_string()),
    }
}
