//! The older routes (sections 3.1 and 3.6). Reads take `stream=`, left out it is `auto`.

use stateset_sequencer::Action;
use ves_wire::commitments::CommitRequest;
use ves_wire::entities::EntityList;
use ves_wire::events::HeadBody;
use ves_wire::legacy::{
    LegacyCommitmentBody, LegacyCommitmentList, LegacyIngestAnswer, LegacyProofBody, LegacyVerifyAnswer,
    LegacyVerifyRequest,
};

use super::Routes;
use crate::legacy::{commitments, entities, entity_list, events, ingest, proofs};
use crate::openapi::operation::{Operation, get, one_of, post, sequence, text, uuid};
use crate::openapi::schemas;

pub(crate) fn routes() -> Routes {
    reads().merge(batches())
}

fn reads() -> Routes {
    Routes::default()
        .add(
            legacy(post("/api/v1/events/ingest", "ingestEvents", "Sequence events of the older stream"))
                .writes()
                .body_named("LegacyIngestRequest", schemas::legacy_ingest_request())
                .records_nothing()
                .answers::<LegacyIngestAnswer>(),
            ingest::ingest,
        )
        .add(
            either(get("/api/v1/events", "listEvents", "Events of a stream in the order of their numbers"))
                .reads()
                .stream()
                .query("from", sequence(0), "First sequence number; 0 means 1")
                .page(100, 1000)
                .answers_named("PulledPage", schemas::pulled_page())
                .compressed(),
            events::page,
        )
        .add(
            either(get("/api/v1/head", "getHead", "Head, state root and newest commitment of a stream"))
                .reads()
                .stream()
                .answers::<HeadBody>(),
            events::head,
        )
        .add(
            either(get(
                "/api/v1/entities/{entity_type}/{entity_id}",
                "listEntityEvents",
                "Events of one entity, and its state",
            ))
            .reads()
            .segment("entity_type", text(1, 128), "The kind of entity")
            .segment("entity_id", text(1, 512), "The entity")
            .stream()
            .query("from", sequence(0), "Events of the entity to leave out")
            .query("at", sequence(0), "The state after this event instead of the present one")
            .page(100, 100)
            .answers_named("EntityPage", schemas::entity_page())
            .compressed(),
            entities::page,
        )
        .add(
            get(
                "/api/v1/entities/{entity_type}",
                "listEntities",
                "Present states of entities of one type, by id",
            )
            .reads()
            .segment("entity_type", text(1, 128), "The kind of entity")
            .stream()
            .query("status", text(1, 64), "Only entities in this state")
            .query("after", text(1, 512), "Only entities with greater ids: next_after of the page before")
            .page(100, 1000)
            .answers::<EntityList>()
            .compressed(),
            entity_list::page,
        )
}

fn batches() -> Routes {
    Routes::default()
        .add(
            either(get("/api/v1/commitments", "listCommitments", "Commitments of a stream in order"))
                .reads()
                .stream()
                .query("from", sequence(0), "Those that end at or after this number")
                .page(100, 1000)
                .answers::<LegacyCommitmentList>()
                .compressed(),
            commitments::list,
        )
        .add(
            either(post("/api/v1/commitments", "createCommitment", "Commit the next range of a stream"))
                .writes()
                .body::<CommitRequest>()
                .records(&[Action::CommitmentRequested])
                .answers::<LegacyCommitmentBody>()
                .refuses([409]),
            commitments::create,
        )
        .add(
            either(get("/api/v1/commitments/{batch_id}", "getCommitment", "One commitment"))
                .reads()
                .segment("batch_id", uuid(), "The batch")
                .answers::<LegacyCommitmentBody>()
                .refuses([404]),
            commitments::get,
        )
        .add(
            either(get("/api/v1/proofs/{sequence_number}", "proveInclusion", "That an event is in a batch"))
                .reads()
                .segment("sequence_number", sequence(1), "The event's number")
                .stream()
                .needs("batch_id", uuid(), "The batch")
                .answers::<LegacyProofBody>()
                .refuses([404]),
            proofs::inclusion,
        )
        .add(
            either(post(
                "/api/v1/proofs/verify",
                "verifyProof",
                "Whether a proof leads from a leaf to a root",
            ))
            .reads()
            .body::<LegacyVerifyRequest>()
            .records_nothing()
            .answers::<LegacyVerifyAnswer>(),
            proofs::verify,
        )
}

fn legacy(operation: Operation) -> Operation {
    operation.tag("legacy")
}

/// Of the signed stream or of the older one.
fn either(operation: Operation) -> Operation {
    legacy(operation).query(
        "stream",
        one_of(&["ves", "legacy", "auto"]),
        "Which stream; auto is the signed one where it has events",
    )
}
