//! gRPC v2 (sequencer API, section 4): its messages to values of the protocol and back.
//!
//! An event that comes in is written out in its REST form and decoded from there, so that the rules of section 10 of
//! the VES specification stand in one place and both transports refuse the same events for the same reasons.

mod answer;
mod push;
mod read;

pub use answer::{
    commitment, event, event_receipt, inclusion_proof, rejected, rejected_request, sequenced, timestamp,
    timestamp_of,
};
pub use push::{EventText, Push, event_texts, read_push};
pub use read::{PushAnswer, Unreadable, read_answer, read_sequenced, whole_refusal};
