//! `POST /api/v1/ves/events/ingest` (sequencer API, section 3.1): the body in, the answer out.
//!
//! The request is read in one borrowed pass. A repeated member or a wrong type inside one event makes that pass
//! fail; then the events are split as raw texts and decoded one by one, so that only the event at fault is refused.

mod answer;
mod request;

pub use answer::{IngestAnswer, Outcome, RejectionBody, write_answer};
pub use request::{CREATED_AT_BYTES_MAX, IngestRequest, Limits, RequestError, parse, write_request};
pub(crate) use request::{agrees, read_top};
