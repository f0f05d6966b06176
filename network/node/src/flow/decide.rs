//! Which steps an input means, in which phase. What a phase does not wait for means nothing: messages come twice, late, and
//! from whom it is not the turn.

use stateset_ledger_types::codec::Blob;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::message::{Finalised, Reject, RejectCode, Signatures};

use super::entry::{Assembled, Ended, Entry, Judged, SignedBy};
use super::{Flow, Input, Phase, Side, attesting};
use crate::signing;

/// Whether a refusal may be none later: the same transaction is submitted again under a new sequence.
pub const fn is_for_now(code: Code) -> bool {
    // Receipts of capsules are collected anew with it.
    matches!(
        code,
        Code::BadSequence | Code::Quota | Code::WindowNotOpen | Code::CircuitOpen | Code::CapsuleMissing
    )
}

/// The steps that `input` means for `flow`; none where it means nothing.
pub fn decide(flow: &Flow, input: Input) -> Vec<Entry> {
    if flow.phase.is_over() {
        return Vec::new();
    }
    let entry = match (flow.phase, input) {
        (Phase::Collecting, Input::Signatures(from, signatures)) => signatures_from(flow, from, *signatures),
        (Phase::Attesting, Input::Quorum(quorum)) => attesting::ask(flow, quorum),
        (Phase::Attesting, Input::Signatures(from, signatures)) => {
            attesting::attested_by(flow, from, &signatures)
        }
        (Phase::Attesting, Input::Reject(from, reject)) => attesting::refused_by(flow, from, &reject),
        (Phase::Judging, Input::Signatures(from, signatures)) => attesting::shown(flow, from, *signatures),
        (Phase::Judging, Input::Attested(attestation)) => Some(Entry::Attested(attestation)),
        (_, Input::Reject(from, reject)) => rejected_by(flow, from, &reject),
        (_, Input::Finalised(from, finalised)) => finalised_by(flow, from, *finalised),
        (Phase::Judging, Input::Judged { signs }) => Some(Entry::Judged(Judged { signs })),
        // A proposal that breaks the rules is refused before it is signed, and also when it stands on the ledger.
        (Phase::Publishing | Phase::Submitting, Input::Refused(refusal)) => Some(not_submitted(&refusal)),
        (Phase::Waiting, Input::Refused(refusal)) if flow.request().is_some() => {
            Some(not_submitted(&refusal))
        }
        (_, Input::Refused(refusal)) => Some(ended(&refusal)),
        (Phase::Deciding, Input::Asked) => Some(Entry::Asked(())),
        (Phase::Deciding, Input::Accepted) => Some(Entry::Accepted(())),
        (Phase::Deciding, Input::Declined(text)) => {
            Some(Entry::Ended(Ended::new(Code::NotAuthorised, text, false)))
        }
        (Phase::Signing, Input::Signed(own)) => Some(Entry::Signed(own)),
        (Phase::Publishing, Input::Assembled(request)) => Some(assembled(request)),
        (Phase::Submitting, Input::Submitted) => Some(Entry::Submitted(())),
        // Whoever waits for signatures learns it too: another may have submitted.
        (_, Input::Notarised(notarised)) => Some(Entry::Notarised(notarised)),
        _ => None,
    };
    entry.into_iter().collect()
}

fn ended(refusal: &Refusal) -> Entry {
    Entry::Ended(Ended::new(refusal.code, &refusal.text, false))
}

fn not_submitted(refusal: &Refusal) -> Entry {
    let ended = Ended::new(refusal.code, &refusal.text, false);
    if is_for_now(refusal.code) { Entry::Again(ended) } else { Entry::Ended(ended) }
}

fn assembled(request: Vec<u8>) -> Entry {
    match Blob::new(request) {
        Ok(request) => Entry::Assembled(Assembled { request }),
        Err(problem) => Entry::Ended(Ended::new(Code::TooLarge, problem, false)),
    }
}

fn signatures_from(flow: &Flow, entity: EntityId, signatures: Signatures) -> Option<Entry> {
    if !flow.waits_for().contains(&entity) {
        return None;
    }
    let chain_id = &flow.whole.body.body.header.0.chain_id;
    let good = signing::check(&signatures, chain_id, &flow.tx_id)
        .and_then(|()| signing::merge(&flow.signatures, &signatures).map(|_| ()));
    Some(match good {
        Ok(()) => Entry::SignedBy(Box::new(SignedBy { entity, signatures })),
        Err(refusal) => {
            let text = format!("{entity}: {}", refusal.text);
            Entry::Ended(Ended::new(refusal.code, text, true))
        }
    })
}

fn rejected_by(flow: &Flow, from: EntityId, reject: &Reject) -> Option<Entry> {
    let end = || Entry::Ended(Ended::new(code_of(reject), &*reject.text, true));
    match &flow.side {
        // Once it may be submitted, no participant can take its signature back.
        Side::Builder { signers, .. } => {
            (flow.phase == Phase::Collecting && signers.contains_key(&from)).then(end)
        }
        // A signature that is given away may be used, whatever the builder says: only the ledger frees the inputs.
        Side::Responder { from: builder, .. } => (from == *builder && !flow.is_signed()).then(end),
        Side::Attester { from: builder } => {
            (from == *builder && flow.signatures.attestations.is_empty()).then(end)
        }
    }
}

/// The code of section 15 that a refusal's text begins with.
pub(super) fn code_of(reject: &Reject) -> Code {
    let named = |code: &&Code| {
        let rest = reject.text.strip_prefix(&code.name());
        rest.is_some_and(|rest| rest.starts_with(':'))
    };
    let by_kind = match reject.code {
        RejectCode::Declined | RejectCode::NotAParticipant => Code::NotAuthorised,
        RejectCode::NotFound => Code::NotFound,
        RejectCode::NotAMember => Code::EntityNotActive,
        RejectCode::Internal | RejectCode::Busy => Code::Internal,
        _ => Code::ContractRejected,
    };
    Code::ALL.iter().find(named).copied().unwrap_or(by_kind)
}

/// Signatures of a body that is known; whether it is final is asked of the ledger.
fn finalised_by(flow: &Flow, from: EntityId, finalised: Finalised) -> Option<Entry> {
    if flow.from() != Some(from) || finalised.tx_id != flow.tx_id || flow.has_all_signatures {
        return None;
    }
    let all = Signatures {
        business: finalised.signatures,
        bindings: finalised.bindings,
        ..signing::none(flow.id, flow.tx_id)
    };
    let chain_id = &flow.whole.body.body.header.0.chain_id;
    signing::check(&all, chain_id, &flow.tx_id).ok()?;
    let merged = signing::merge(&flow.signatures, &all).ok()?;
    Some(Entry::Told(Box::new(merged)))
}
