//! Events and commitments (sections 3.1, 3.2, 3.12).

use stateset_sequencer::Action;
use ves_wire::commitments::{CommitRequest, CommitmentBody, CommitmentList};
use ves_wire::events::HeadBody;
use ves_wire::ingest::IngestAnswer;

use super::Routes;
use crate::openapi::operation::{boolean, get, post, sequence, uuid};
use crate::openapi::schemas;
use crate::{commitments, events, ingest};

pub(crate) fn routes() -> Routes {
    Routes::default()
        .add(
            post("/api/v1/ves/events/ingest", "ingestVesEvents", "Sequence signed events")
                .writes()
                .body_named("IngestRequest", schemas::ingest_request())
                .records_nothing()
                .answers::<IngestAnswer>(),
            ingest::ingest,
        )
        .add(
            get("/api/v1/ves/events", "listVesEvents", "Events of a stream in the order of their numbers")
                .reads()
                .stream()
                .query("from", sequence(0), "First sequence number; 0 means 1")
                .page(100, 1000)
                .answers_named("EventsPage", schemas::events_page())
                .compressed(),
            events::page,
        )
        .add(
            get("/api/v1/ves/events/{event_id}", "getVesEvent", "One event by its id")
                .reads()
                .segment("event_id", uuid(), "The event")
                .query("tenant_id", uuid(), "The caller's own when left out")
                .query("store_id", uuid(), "Needed only where two stores hold the id")
                .answers_named("EventEntry", schemas::event_entry())
                .refuses([404])
                .compressed(),
            events::one,
        )
        .add(
            get("/api/v1/ves/head", "getVesHead", "Head, state root and newest commitment of a stream")
                .reads()
                .stream()
                .answers::<HeadBody>(),
            events::head,
        )
        .add(
            get("/api/v1/ves/commitments", "listVesCommitments", "Commitments of a stream in order")
                .tag("commitments")
                .reads()
                .stream()
                .query("from", sequence(0), "Those that end at or after this number")
                .query("anchored", boolean(), "Only those that stand on a chain, or only those that do not")
                .page(100, 1000)
                .answers::<CommitmentList>()
                .compressed(),
            commitments::list,
        )
        .add(
            post("/api/v1/ves/commitments", "createVesCommitment", "Commit the next range of a stream")
                .tag("commitments")
                .writes()
                .body::<CommitRequest>()
                .records(&[Action::CommitmentRequested])
                .answers::<CommitmentBody>()
                .refuses([409]),
            commitments::create,
        )
        .add(
            get("/api/v1/ves/commitments/{batch_id}", "getVesCommitment", "One commitment")
                .tag("commitments")
                .reads()
                .segment("batch_id", uuid(), "The batch")
                .answers::<CommitmentBody>()
                .refuses([404]),
            commitments::get,
        )
}
