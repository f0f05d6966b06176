//! The live feed.

use super::Routes;
use crate::openapi::operation::{Operation, get, one_of, sequence, text};
use crate::openapi::schemas;
use crate::stream::{CONTENT_TYPE, FORMS, TYPE_LIST_CHARS_MAX, socket, sse};

pub(crate) fn routes() -> Routes {
    Routes::default()
        .add(
            feed(
                "/api/v1/events/stream",
                "streamEvents",
                "Events of a stream as they become durable, as server-sent events",
            )
            .answers_events(CONTENT_TYPE),
            sse,
        )
        .add(
            feed(
                "/api/v1/events/ws",
                "streamEventsOverWebSocket",
                "Events of a stream as they become durable, over WebSocket",
            )
            .answers_named("FeedMessage", schemas::feed_message())
            .switches_protocols(),
            socket,
        )
}

/// The header is that of the standard of server-sent events, which no document has to name.
const FROM: &str = "First sequence number; 0 means 1. Left out: what comes from now on. The header Last-Event-ID, the last \
    number that the client has, stands above it; above the head of the stream it is refused";

fn feed(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let types = "Only those of these types, with commas between; a name that ends with * stands for all that begin so";
    get(path, id, summary)
        .reads()
        .stream()
        .refuses([409])
        .query("from", sequence(0), FROM)
        .query("until", sequence(1), "The feed ends after this number")
        .query("event_type", text(1, TYPE_LIST_CHARS_MAX), types)
        .query("entity_type", text(1, TYPE_LIST_CHARS_MAX), types)
        .query(
            "format",
            one_of(&FORMS),
            "How an event is written: as in a page of events, or as CloudEvents 1.0",
        )
}
