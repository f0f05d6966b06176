//! One event as listeners are shown it: written once in each form, and shared by all.

use std::sync::OnceLock;

use axum::body::Bytes;
use serde::Deserialize;
use stateset_sequencer::StoredEvent;
use ves::StreamKey;
use ves_wire::cloud_event::write_cloud_event;
use ves_wire::events::write_event;

use crate::error::ApiError;
use crate::router::App;

/// How an event is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    /// As a page of events has it: the signed envelope and the receipt.
    #[default]
    Event,
    CloudEvents,
}

impl Form {
    pub const NAMES: [&str; 2] = ["event", "cloudevents"];
}

/// What comes after the JSON in a server-sent event.
const END: &[u8] = b"\n\n";

/// An event that is in the log.
pub(super) struct Shown {
    pub number: u64,
    pub event_type: String,
    pub entity_type: String,
    stream: StreamKey,
    stored: StoredEvent,
    forms: [OnceLock<Text>; 2],
}

/// A server-sent event: `id: N`, `data: {…}`, an empty line.
#[derive(Clone)]
struct Text {
    bytes: Bytes,
    json_at: usize,
}

impl Shown {
    pub fn new(stream: StreamKey, stored: StoredEvent) -> Result<Self, ApiError> {
        let (envelope, _) = stored.envelope().map_err(ApiError::record)?;
        let (event_type, entity_type) = (envelope.event_type.to_string(), envelope.entity_type.to_string());
        let number = stored.sequence_number.get();
        Ok(Self { number, event_type, entity_type, stream, stored, forms: Default::default() })
    }

    /// About what it takes of memory, written in one form.
    pub fn bytes(&self) -> usize {
        3 * self.stored.body.len() + 1024
    }

    /// As a server-sent event whose id is its number.
    pub fn sent_event(&self, app: &App, form: Form) -> Result<Bytes, ApiError> {
        self.text(app, form).map(|text| text.bytes)
    }

    /// Its JSON, of the same bytes.
    pub fn json(&self, app: &App, form: Form) -> Result<Bytes, ApiError> {
        self.text(app, form).map(|text| text.bytes.slice(text.json_at..text.bytes.len() - END.len()))
    }

    fn text(&self, app: &App, form: Form) -> Result<Text, ApiError> {
        let place = &self.forms[form as usize];
        if let Some(text) = place.get() {
            return Ok(text.clone());
        }
        let written = self.write(app, form)?;
        Ok(place.get_or_init(|| written).clone())
    }

    fn write(&self, app: &App, form: Form) -> Result<Text, ApiError> {
        let (envelope, _) = self.stored.envelope().map_err(ApiError::record)?;
        let mut out = String::with_capacity(self.stored.body.len() * 2 + 1024);
        out.push_str(&format!("id: {}\ndata: ", self.number));
        let json_at = out.len();
        // Both are JSON in canonical form, which has no line breaks.
        match form {
            Form::Event => {
                write_event(&mut out, &envelope, &app.sequencer.receipt_of(self.stream, &self.stored)?);
            }
            Form::CloudEvents => {
                let stored = &self.stored;
                write_cloud_event(&mut out, &envelope, stored.sequence_number, stored.sequenced_at);
            }
        }
        out.push_str("\n\n");
        Ok(Text { bytes: Bytes::from(out), json_at })
    }
}
