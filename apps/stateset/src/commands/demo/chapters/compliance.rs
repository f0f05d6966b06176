//! A policy holds, and nobody but the seller learns the amount.

use serde_json::Value;
use ves::KeyId;
use ves_stark_client::{ComplianceClient, Proposal, prove, system_random};
use ves_stark_primitives::{AmountPolicy, Bundle, FieldOpening, SuiteId};

use super::people::{People, SealedOrder};
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
    let (url, key) = (world.client.url(), world.installation.api_key.clone());
    let server = ComplianceClient::new(url, Some(key), Some(sealed.order.stream))?;
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
    story.check("nothing that was sent holds the total or the randomness", hides(&bundle, &sealed.amount));
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
fn hides(bundle: &Bundle, amount: &FieldOpening) -> bool {
    let sent = bundle.to_json();
    let (value, blinding) =
        (amount.opening.value().to_string(), ves::hex::encode(&*amount.opening.blinding_bytes()));
    !sent.contains(&format!("\"{value}\"")) && !sent.contains(&blinding)
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
