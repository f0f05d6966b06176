//! Proofs and checkpoints (section 3.3).

use ves_wire::proofs::{
    ConsistencyBody, InclusionProofBody, LogInclusionBody, VerifyProofAnswer, VerifyProofRequest,
};

use super::Routes;
use crate::openapi::operation::{get, post, sequence, uuid};
use crate::proofs;

pub(crate) fn routes() -> Routes {
    Routes::default()
        .add(
            get("/api/v1/ves/proofs/{sequence_number}", "proveVesInclusion", "That an event is in a batch")
                .tag("proofs")
                .reads()
                .segment("sequence_number", sequence(1), "The event's number")
                .stream()
                .needs("batch_id", uuid(), "The batch")
                .answers::<InclusionProofBody>()
                .refuses([404]),
            proofs::inclusion,
        )
        .add(
            get(
                "/api/v1/ves/proofs/{sequence_number}/log",
                "proveVesLogInclusion",
                "That an event is in the log of a checkpoint",
            )
            .tag("proofs")
            .reads()
            .segment("sequence_number", sequence(1), "The event's number")
            .stream()
            .needs("size", sequence(1), "Events of the log, as the checkpoint says")
            .answers::<LogInclusionBody>(),
            proofs::log_inclusion,
        )
        .add(
            post(
                "/api/v1/ves/proofs/verify",
                "verifyVesProof",
                "Whether a proof leads from a leaf to a root",
            )
            .tag("proofs")
            .reads()
            .body::<VerifyProofRequest>()
            .records_nothing()
            .answers::<VerifyProofAnswer>(),
            proofs::verify,
        )
        .add(
            get(
                "/api/v1/ves/checkpoint",
                "getVesCheckpoint",
                "The newest signed checkpoint, or that of a size",
            )
            .tag("proofs")
            .reads()
            .stream()
            .query("size", sequence(1), "Events of the log")
            .answers_text("text/plain")
            .refuses([404]),
            proofs::checkpoint,
        )
        .add(
            get("/api/v1/ves/consistency", "proveVesConsistency", "That a log extends a smaller one")
                .tag("proofs")
                .reads()
                .stream()
                .needs("from", sequence(1), "Size of the smaller log")
                .needs("to", sequence(1), "Size of the larger log")
                .answers::<ConsistencyBody>(),
            proofs::consistency,
        )
}
