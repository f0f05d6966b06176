//! Policies hold, and nobody but the seller learns the numbers.

use serde_json::Value;
use stateset_sequencer::{Clock as _, SystemClock};
use ves::KeyId;
use ves_stark_client::{
    ComplianceClient, ComposedProposal, Proposal, ProposalError, prove, prove_composed, system_random,
};
use ves_stark_primitives::clauses::{Clause, Number, Unproved};
use ves_stark_primitives::{AmountPolicy, Bundle, ClausePolicy, FieldOpening, SuiteId};

use super::people::{People, SealedOrder, hidden};
use crate::commands::compliance::prove::no_randomness;
use crate::commands::demo::World;
use crate::commands::demo::story::Story;
use crate::error::CliError;

/// The buyer's order is under the cap: shown to the sequencer, which cannot read the order.
pub fn hidden_amount(
    story: &mut Story,
    world: &World,
    people: &People,
    sealed: &SealedOrder,
) -> Result<(), CliError> {
    story.chapter(
        "A proof about the sealed order: its total is at most 1,000.00 EUR, and that is all anyone learns",
    );
    let server = server(world, sealed)?;
    let bundle = propose(&server, people, sealed, 100_000)?;
    let security = &bundle.security;
    story.tell(&format!(
        "{} bytes of proof; {} bits of security conjectured, {} proven",
        bundle.proof.len(),
        security.conjectured_bits,
        security.proven_bits
    ));
    let record = server.submit(&bundle)?.record;
    story.check("the sequencer verified it before it stored it", record.verified);
    let found = server.verify(&record.proof_id)?;
    story.check("asked again, it finds it valid against its own log", found.outcome.valid);
    story.check(
        "submitted twice, it is one proof",
        server.submit(&bundle)?.record.proof_id == record.proof_id,
    );
    story.check("nothing that was sent holds the total or the randomness", hides(&bundle, &[&sealed.amount]));
    story.check(
        "the seller opens the commitment with what lies in the sealed payload",
        opened(people, sealed, &bundle),
    );

    let refused = propose(&server, people, sealed, 57_999);
    story.check("a cap that the order exceeds cannot be proved", refused.is_err());
    let mut damaged = propose(&server, people, sealed, 100_001)?;
    let middle = damaged.proof.len() / 2;
    damaged.proof[middle] ^= 1;
    story.check("with one bit changed, a proof is refused", server.submit(&damaged).is_err());
    let mut unsigned = propose(&server, people, sealed, 100_002)?;
    unsigned.binding = None;
    story.check("without the buyer's signature it is refused, too", server.submit(&unsigned).is_err());
    Ok(())
}

/// Three numbers of the order in one proof, none of them told.
pub fn hidden_product(
    story: &mut Story,
    world: &World,
    people: &People,
    sealed: &SealedOrder,
) -> Result<(), CliError> {
    story.chapter(
        "A composed policy: quantity times unit price is the total, and the total is at most 1,000.00 EUR",
    );
    let server = server(world, sealed)?;
    let clauses =
        vec![Clause::MulLe { q: 0, p: 1, y: 2 }, Clause::Range { x: 2, lo: None, hi: Some(Number(100_000)) }];
    let policy = ClausePolicy::new(3, clauses, Vec::new())
        .map_err(|error| CliError::failure("INTERNAL", error.to_string()))?;
    let numbers = [&sealed.quantity, &sealed.unit_price, &sealed.amount];
    let bundle = compose(&server, people, sealed, &policy, numbers)??;
    story.tell(&format!("{} bytes of proof about three commitments", bundle.proof.len()));
    let record = server.submit(&bundle)?.record;
    story.check("the sequencer verified it before it stored it", record.verified);
    story.check("asked again, it finds it valid", server.verify(&record.proof_id)?.outcome.valid);
    story.check("nothing that was sent holds one of the three numbers", hides(&bundle, &numbers));
    story.check(
        "the total is the commitment of the proof before, so both are about one number",
        bundle.inputs.commitments.get(2) == Some(&sealed.amount.committed()),
    );
    let listed = server.list(&sealed.order.event_id)?.proofs;
    story.check(
        "both proofs stand beside the order, the newest last",
        listed.len() == 2 && listed.last().is_some_and(|last| last.proof_id == record.proof_id),
    );
    let dearer = hidden("unit_price", "unit_price", ("amount", "EUR", 2), 1_451)?;
    let refused = compose(&server, people, sealed, &policy, [&sealed.quantity, &dearer, &sealed.amount])?;
    story.check(
        "a price with another product cannot be proved",
        matches!(refused, Err(ProposalError::Unproved(Unproved::Unsatisfied(_)))),
    );
    Ok(())
}

fn server(world: &World, sealed: &SealedOrder) -> Result<ComplianceClient, CliError> {
    let (url, key) = (world.client.url(), world.installation.api_key.clone());
    Ok(ComplianceClient::new(url, Some(key), Some(sealed.order.stream))?)
}

/// The inner error: what cannot be proved.
fn compose(
    server: &ComplianceClient,
    people: &People,
    sealed: &SealedOrder,
    policy: &ClausePolicy,
    openings: [&FieldOpening; 3],
) -> Result<Result<Bundle, ProposalError>, CliError> {
    let proposal = ComposedProposal {
        event: server.inputs(&sealed.order.event_id, &policy.policy())?,
        suite: SuiteId::Standard,
        chain_context: server.chain_context()?,
        valid_until: None,
        openings: &openings.map(FieldOpening::clone),
        evidence: &[],
        now: SystemClock.now(),
    };
    let mut random = system_random().map_err(no_randomness)?;
    Ok(prove_composed(proposal, Some((KeyId(1), people.buyer.signer())), &mut random))
}

fn propose(
    server: &ComplianceClient,
    people: &People,
    sealed: &SealedOrder,
    cap: u64,
) -> Result<Bundle, CliError> {
    let policy = AmountPolicy::with_limit("order_total.cap", cap, None)?.policy();
    let proposal = Proposal {
        event: server.inputs(&sealed.order.event_id, &policy)?,
        suite: SuiteId::Standard,
        chain_context: server.chain_context()?,
        valid_until: None,
        opening: &sealed.amount,
    };
    let mut random = system_random().map_err(no_randomness)?;
    Ok(prove(proposal, Some((KeyId(1), people.buyer.signer())), &mut random)?)
}

/// A look for the secrets as texts. That a proof hides them is shown by the tests of the proof system, not here.
fn hides(bundle: &Bundle, numbers: &[&FieldOpening]) -> bool {
    let sent = bundle.to_json();
    numbers.iter().all(|number| {
        let value = number.opening.value().to_string();
        let blinding = ves::hex::encode(&*number.opening.blinding_bytes());
        !sent.contains(&format!("\"{value}\"")) && !sent.contains(&blinding)
    })
}

/// What a recipient does who does not take the buyer's word for the commitment (specification 4.2).
fn opened(people: &People, sealed: &SealedOrder, bundle: &Bundle) -> bool {
    let opened = ves::seal::open(&sealed.order, people.inbox_kid, people.inbox.secret());
    let Ok(payload) =
        opened.map_err(|_| ()).and_then(|text| serde_json::from_str::<Value>(&text).map_err(|_| ()))
    else {
        return false;
    };
    let opening = FieldOpening::parse(&payload["_ves"]["openings"][0].to_string());
    opening.is_ok_and(|opening| {
        payload["total"]["amount"].as_u64() == Some(opening.opening.value())
            && bundle.inputs.commitments == [opening.committed()]
    })
}
