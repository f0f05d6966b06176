//! The body of a delivery.

use stateset_sequencer::{Sequencer, ServiceError, StoredEvent, WebhookFormat};
use ves::StreamKey;
use ves::json::write_string;
use ves_wire::cloud_event::{self, write_cloud_event};
use ves_wire::events::write_event;

/// What is sent of an event.
pub(super) struct Form {
    pub content_type: &'static str,
    pub body: String,
}

/// # Errors
/// [`ServiceError::Sealed`] where no key opens the event.
pub(super) fn write(
    sequencer: &Sequencer,
    stream: StreamKey,
    event: &StoredEvent,
    format: WebhookFormat,
) -> Result<Form, ServiceError> {
    let number = event.sequence_number;
    let (envelope, _) =
        event.envelope().map_err(|error| ServiceError::Read(format!("event {number}: {error}")))?;
    let mut body = String::with_capacity(event.body.len() * 2 + 1024);
    if format == WebhookFormat::CloudEvents {
        write_cloud_event(&mut body, &envelope, number, event.sequenced_at);
        return Ok(Form { content_type: cloud_event::CONTENT_TYPE, body });
    }
    body.push_str("{\"type\":");
    write_string(&mut body, &envelope.event_type);
    body.push_str(&format!(",\"timestamp\":\"{}\",\"data\":", event.sequenced_at));
    write_event(&mut body, &envelope, &sequencer.receipt_of(stream, event)?);
    body.push('}');
    Ok(Form { content_type: "application/json", body })
}
