//! Commitments on a chain (sections 3.2, 3.3, 3.6 and 3.7).

use stateset_sequencer::Action;
use ves_wire::anchor::{
    AnchorAnswer, AnchorRequest, AnchorStatus, AnchorVerification, AnchoredAnswer, AnchoredNotice,
    CommitAndAnchorAnswer, CommitAndAnchorRequest, PendingCommitments,
};

use super::Routes;
use crate::anchor;
use crate::openapi::operation::{Operation, get, post, uuid};

pub(crate) fn routes() -> Routes {
    own().merge(of_the_anchor_service())
}

fn own() -> Routes {
    Routes::default()
        .add(
            anchored(post("/api/v1/ves/anchor", "anchorVesBatch", "Put a commitment on the chain")),
            anchor::anchor,
        )
        .add(
            anchored(post("/api/v1/anchor", "anchorBatch", "Put a commitment on the chain")),
            anchor::anchor_either,
        )
        .add(
            verified(get(
                "/api/v1/ves/anchor/{batch_id}/verify",
                "verifyVesAnchor",
                "Ask the chain for a commitment",
            )),
            anchor::verify,
        )
        .add(
            verified(get(
                "/api/v1/anchor/{batch_id}/verify",
                "verifyAnchor",
                "Ask the chain for a commitment",
            )),
            anchor::verify_either,
        )
        .add(
            anchoring(get("/api/v1/anchor/status", "getAnchorStatus", "Whether a chain is joined"))
                .reads()
                .answers::<AnchorStatus>(),
            anchor::status,
        )
        .add(
            anchoring(post(
                "/api/v1/ves/commitments/anchor",
                "commitAndAnchor",
                "Commit a range and put it on the chain",
            ))
            .administers()
            .body::<CommitAndAnchorRequest>()
            .records(&[Action::CommitmentRequested, Action::AnchorRecorded])
            .answers::<CommitAndAnchorAnswer>()
            .refuses([409]),
            anchor::commit_and_anchor,
        )
}

fn of_the_anchor_service() -> Routes {
    Routes::default()
        .add(
            anchoring(get(
                "/v1/commitments/pending",
                "listPendingCommitments",
                "Commitments that stand on no chain yet",
            ))
            .bootstraps()
            .page(1000, 5000)
            .query("after", uuid(), "The next_after of the page before")
            .answers::<PendingCommitments>()
            .compressed(),
            anchor::pending,
        )
        .add(
            anchoring(post(
                "/v1/commitments/{batch_id}/anchored",
                "reportAnchored",
                "Where a commitment stands now",
            ))
            .bootstraps()
            .segment("batch_id", uuid(), "The batch")
            .records(&[Action::AnchorRecorded])
            .body::<AnchoredNotice>()
            .answers::<AnchoredAnswer>()
            .refuses([404, 409]),
            anchor::anchored,
        )
}

fn anchoring(operation: Operation) -> Operation {
    operation.tag("anchoring")
}

fn anchored(operation: Operation) -> Operation {
    anchoring(operation)
        .administers()
        .records(&[Action::AnchorRecorded])
        .body::<AnchorRequest>()
        .answers::<AnchorAnswer>()
        .refuses([404, 409])
}

fn verified(operation: Operation) -> Operation {
    anchoring(operation)
        .reads()
        .segment("batch_id", uuid(), "The batch")
        .answers::<AnchorVerification>()
        .refuses([404])
}
