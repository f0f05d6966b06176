//! Making a transaction: capsules for everyone who takes part, the id, this node's signatures, and at the end the request.

use std::collections::BTreeSet;

use stateset_contracts::{Facts, Resolved};
use stateset_ledger_types::body::{Body, SaltedBody};
use stateset_ledger_types::codec::{List, Set};
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::envelope::{
    ATTESTATIONS_MAX, Attestation, BlobReceipt, Notarise, NotariseContent, Request, Submission,
};
use stateset_ledger_types::ids::{ChainId, EntityId};
use stateset_ledger_types::keys::{Purpose, Scheme, Signature};
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_ledger_types::{Code, Envelope, Refusal};
use stateset_peer::message::{FlowId, Signatures, Whole};

use crate::capsule::{self, CapsuleError, Seal, Sealed};
use crate::error::NodeError;
use crate::flow::{Built, SealOf};
use crate::keys::NodeKeys;
use crate::signing;
use crate::vault::members;

/// A transaction to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// With everything but capsules.
    pub body: Body,
    /// In the order of group 7.
    pub inputs: Vec<Resolved>,
}

/// Fresh random bytes of the system.
///
/// # Errors
/// [`NodeError::NoRandomness`].
pub fn random<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NodeError::NoRandomness)?;
    Ok(bytes)
}

/// The view key of an entity, to which its capsules are sealed.
fn view_key(entity: &Entity, time_ms: u64) -> Option<[u8; 32]> {
    let live = |record: &&stateset_ledger_types::keys::KeyRecord| {
        record.purpose == Purpose::View && record.key.scheme() == Scheme::X25519 && record.is_live(time_ms)
    };
    entity.keys.iter().find(live)?.key.as_bytes().try_into().ok()
}

/// Seals the capsules, signs with this node's key, and says whose signatures are missing.
///
/// # Errors
/// [`NodeError::Refused`]: NOT_AUTHORISED for an entity without a view key, UNKNOWN_ENTITY, TOO_LARGE.
pub fn build(keys: &NodeKeys, facts: &Facts, plan: Plan) -> Result<Built, NodeError> {
    let me = keys.entity();
    let salted = SaltedBody { salt: Salt(random()?), body: plan.body };
    let mut whole = Whole { mode: mode_of(&salted.body), body: salted };
    let everyone = members(&whole, &plan.inputs);
    let mut seals = Vec::new();
    for recipient in &everyone {
        let without =
            || Refusal::new(Code::NotAuthorised, format!("entity {recipient} has no live view key"));
        let view_key = view_key(facts.admitted(recipient)?, facts.time_ms).ok_or_else(without)?;
        let seal = Seal { view_key, ephemeral_secret: random()? };
        seals.push(SealOf { recipient: *recipient, seal: seal.into() });
    }
    let too_many = |error| Refusal::new(Code::TooLarge, error);
    let seals: List<SealOf, 64> = List::new(seals).map_err(too_many)?;
    let sealed = sealed(&whole, &seals).map_err(Refusal::from)?;
    let components: Vec<_> = sealed.into_iter().map(|sealed| sealed.component).collect();
    whole.body.body.capsules = List::new(components).map_err(too_many)?;
    let tx_id = whole.body.tx_id(whole.mode);
    let flow_id = FlowId(random()?);
    let signers = signing::signers(&whole, &plan.inputs, facts, &me)?;
    let others: BTreeSet<EntityId> = everyone.into_iter().filter(|entity| *entity != me).collect();
    let (signing, informed): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|entity| signers.contains(entity));
    let own = signing::own(keys, flow_id, &tx_id, &whole, &plan.inputs)?;
    let (signers, informed) = (Set::new(signing).map_err(too_many)?, Set::new(informed).map_err(too_many)?);
    Ok(Built { flow_id, whole, seals, signers, informed, own })
}

/// How a transaction with this body is checked: what names attesters is attested (3.4).
pub fn mode_of(body: &Body) -> Mode {
    if body.header.0.attester_policy.is_some() { Mode::Attested } else { Mode::Private }
}

/// The capsules of a transaction, made again from what they were sealed with.
///
/// # Errors
/// [`CapsuleError`].
pub fn sealed(whole: &Whole, seals: &[SealOf]) -> Result<Vec<Sealed>, CapsuleError> {
    let chain_id = &whole.body.body.header.0.chain_id;
    let mut without = whole.clone();
    without.body.body.capsules = List::default();
    let seals: Vec<Seal> = seals.iter().map(|of| of.seal.into()).collect();
    capsule::seal(chain_id, &without, &seals)
}

/// The request that asks the ledger to notarise `whole` (3.6), submitted by this node's entity.
///
/// # Errors
/// [`NodeError::Refused`]: POLICY_NOT_MET where signatures are missing; [`NodeError::NotSigned`].
pub fn request(
    keys: &NodeKeys,
    whole: &Whole,
    inputs: &[Resolved],
    signatures: &Signatures,
    receipts: Receipts,
    seq: u64,
) -> Result<Vec<u8>, NodeError> {
    let missing = signing::command_keys(whole)
        .into_iter()
        .find(|key| !signatures.business.iter().any(|signed| signed.key == *key));
    if let Some(key) = missing {
        let said = format!("key {} did not sign", key.id());
        return Err(Refusal::new(Code::NotAuthorised, said).into());
    }
    let openings = signing::openings(inputs, signatures)?;
    let openings = List::new(openings).map_err(|error| Refusal::new(Code::TooLarge, error))?;
    let attestations = signatures.attestations.clone();
    notarise(keys, NotariseContent::of(&whole.body, whole.mode), openings, attestations, receipts, seq)
}

/// Of notaries that store the capsules, where the network asks for them (8.4).
pub type Receipts = List<BlobReceipt, 1024>;
type Openings = List<stateset_ledger_types::policy::Opening, { stateset_ledger_types::body::COMPONENTS_MAX }>;

fn notarise(
    keys: &NodeKeys,
    content: NotariseContent,
    openings: Openings,
    attestations: List<Attestation, ATTESTATIONS_MAX>,
    receipts: Receipts,
    seq: u64,
) -> Result<Vec<u8>, NodeError> {
    let chain_id = content.header().chain_id.clone();
    let unsigned = Signature([0; 64]);
    let submission = Submission { entity: keys.entity(), seq, key: keys.ledger_key(), signature: unsigned };
    let request =
        Request::Notarise(Box::new(Notarise { content, openings, submission, attestations, receipts }));
    Ok(signed_envelope(keys, request, &chain_id)?.bytes().to_vec())
}

/// A request with the submission's signature by this node's key.
///
/// # Errors
/// [`NodeError::NotSigned`].
pub fn signed_envelope(keys: &NodeKeys, request: Request, chain_id: &ChainId) -> Result<Envelope, NodeError> {
    let mut failed = None;
    let envelope = Envelope::signed(request, chain_id, |message| {
        keys.sign(message).unwrap_or_else(|error| {
            failed = Some(error);
            Signature([0; 64])
        })
    });
    failed.map_or(Ok(envelope), Err)
}
