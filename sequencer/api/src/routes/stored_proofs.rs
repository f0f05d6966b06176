//! Proofs about batches and about events (sections 3.4 and 3.5).

use stateset_sequencer::Action;
use ves_wire::compliance::{
    ComplianceInputs, ComplianceInputsRequest, ComplianceProofBody, ComplianceProofList,
    ComplianceVerification, SubmitComplianceProof,
};
use ves_wire::validity::{
    SubmitValidityProof, ValidityInputs, ValidityInputsRequest, ValidityProofBody, ValidityProofList,
    ValidityVerification,
};

use super::Routes;
use crate::openapi::operation::{Operation, get, post, text, uuid};
use crate::{compliance, validity};

pub(crate) fn routes() -> Routes {
    of_batches().merge(of_events())
}

fn of_batches() -> Routes {
    let inputs = "/api/v1/ves/validity/{batch_id}/inputs";
    let proofs = "/api/v1/ves/validity/{batch_id}/proofs";
    Routes::default()
        .add(
            batch(get(inputs, "getValidityInputs", "What a proof about a batch has to be about"))
                .reads()
                .query("policyId", text(1, 64), "The policy, where compliance is to be claimed")
                .query("policyParams", text(0, 4096), "Its parameters, as JSON; longer ones are posted")
                .answers::<ValidityInputs>(),
            validity::inputs_of_query,
        )
        .add(
            batch(post(inputs, "makeValidityInputs", "What a proof about a batch has to be about"))
                .reads()
                .body::<ValidityInputsRequest>()
                .records_nothing()
                .answers::<ValidityInputs>(),
            validity::inputs,
        )
        .add(
            batch(get(proofs, "listValidityProofs", "Proofs about a batch"))
                .reads()
                .answers::<ValidityProofList>()
                .compressed(),
            validity::list,
        )
        .add(
            batch(post(proofs, "submitValidityProof", "Keep a proof about a batch"))
                .administers()
                .body::<SubmitValidityProof>()
                .records(&[Action::ValidityProofStored])
                .answers::<ValidityProofBody>()
                .refuses([409, 429]),
            validity::submit,
        )
        .add(
            proof(get(
                "/api/v1/ves/validity/proofs/{proof_id}",
                "getValidityProof",
                "One proof with its bytes",
            ))
            .tag("validity")
            .answers::<ValidityProofBody>()
            .compressed(),
            validity::one,
        )
        .add(
            proof(get(
                "/api/v1/ves/validity/proofs/{proof_id}/verify",
                "verifyValidityProof",
                "Check a stored proof now",
            ))
            .tag("validity")
            .answers::<ValidityVerification>(),
            validity::verify,
        )
}

fn of_events() -> Routes {
    let inputs = "/api/v1/ves/compliance/{event_id}/inputs";
    let proofs = "/api/v1/ves/compliance/{event_id}/proofs";
    Routes::default()
        .add(
            event(get(inputs, "getComplianceInputs", "What a proof about an event has to be about"))
                .reads()
                .needs("policyId", text(1, 64), "The policy")
                .query("policyParams", text(0, 4096), "Its parameters, as JSON; longer ones are posted")
                .answers::<ComplianceInputs>(),
            compliance::inputs_of_query,
        )
        .add(
            event(post(inputs, "makeComplianceInputs", "What a proof about an event has to be about"))
                .reads()
                .body::<ComplianceInputsRequest>()
                .records_nothing()
                .answers::<ComplianceInputs>(),
            compliance::inputs,
        )
        .add(
            event(get(proofs, "listComplianceProofs", "Proofs about an event"))
                .reads()
                .answers::<ComplianceProofList>()
                .compressed(),
            compliance::list,
        )
        .add(
            event(post(proofs, "submitComplianceProof", "Keep a proof about an event"))
                .writes()
                .body::<SubmitComplianceProof>()
                .records_nothing()
                .answers::<ComplianceProofBody>()
                .refuses([409]),
            compliance::submit,
        )
        .add(
            proof(get(
                "/api/v1/ves/compliance/proofs/{proof_id}",
                "getComplianceProof",
                "One proof with its bytes",
            ))
            .tag("compliance")
            .answers::<ComplianceProofBody>()
            .compressed(),
            compliance::one,
        )
        .add(
            proof(get(
                "/api/v1/ves/compliance/proofs/{proof_id}/verify",
                "verifyComplianceProof",
                "Check a stored proof now",
            ))
            .tag("compliance")
            .answers::<ComplianceVerification>(),
            compliance::verify,
        )
}

fn batch(operation: Operation) -> Operation {
    operation.tag("validity").segment("batch_id", uuid(), "The batch").refuses([404])
}

fn event(operation: Operation) -> Operation {
    operation
        .tag("compliance")
        .segment("event_id", uuid(), "The event")
        .query("tenant_id", uuid(), "The caller's own when left out")
        .query("store_id", uuid(), "Needed only where two stores hold the id")
        .refuses([404])
}

fn proof(operation: Operation) -> Operation {
    operation.reads().segment("proof_id", uuid(), "The proof").refuses([404])
}
