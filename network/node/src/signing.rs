//! Signatures of a transaction: which are needed, this node's own, whether they are good, and the openings made of them.

use std::collections::BTreeSet;

use stateset_contracts::{Facts, Resolved};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::ids::{ChainId, EntityId, TxId};
use stateset_ledger_types::keys::{BusinessSignature, PublicKey, Purpose, business_message};
use stateset_ledger_types::policy::{Opening, blind, spend_message};
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::message::{FlowId, Signatures, SpendSignature, Whole};

use crate::error::NodeError;
use crate::keys::NodeKeys;

/// Keys that the commands list.
pub fn command_keys(whole: &Whole) -> BTreeSet<PublicKey> {
    whole.body.body.commands.iter().flat_map(|command| command.signers.iter().copied()).collect()
}

/// No signature yet.
pub fn none(flow_id: FlowId, tx_id: TxId) -> Signatures {
    Signatures {
        flow_id,
        tx_id,
        business: List::default(),
        spend: List::default(),
        bindings: List::default(),
        attestations: List::default(),
    }
}

/// Entities whose signatures `whole` needs: those of its commands' keys, and for each input enough holders of its policy,
/// those first that sign anyway.
///
/// # Errors
/// NOT_AUTHORISED for a key of nobody who takes part.
pub fn signers(
    whole: &Whole,
    inputs: &[Resolved],
    facts: &Facts,
    me: &EntityId,
) -> Result<BTreeSet<EntityId>, Refusal> {
    let owner = |key: &PublicKey| {
        let unknown =
            || Refusal::new(Code::NotAuthorised, format!("key {} is of nobody who takes part", key.id()));
        facts.signer(key).map(|(signer, _)| signer.entity).ok_or_else(unknown)
    };
    let mut signers = command_keys(whole).iter().map(owner).collect::<Result<BTreeSet<_>, _>>()?;
    for input in inputs {
        let policy = &input.output.policy;
        let holders = policy.keys().iter().map(owner).collect::<Result<Vec<_>, _>>()?;
        let needed = usize::from(policy.threshold());
        let mut given = holders.iter().filter(|holder| signers.contains(*holder)).count();
        let own_first = holders.iter().filter(|holder| *holder == me).chain(&holders);
        for holder in own_first {
            if given < needed && signers.insert(*holder) {
                given += 1;
            }
        }
    }
    Ok(signers)
}

/// What this node's key signs of `whole`: the commands that list it, and the inputs whose policy has it.
///
/// # Errors
/// [`NodeError::NotSigned`].
pub fn own(
    keys: &NodeKeys,
    flow_id: FlowId,
    tx_id: &TxId,
    whole: &Whole,
    inputs: &[Resolved],
) -> Result<Signatures, NodeError> {
    let (chain_id, key) = (&whole.body.body.header.0.chain_id, keys.ledger_key());
    let purpose = Purpose::LedgerSigning;
    let mut business = Vec::new();
    if command_keys(whole).contains(&key) {
        let signature = keys.sign(&business_message(chain_id, tx_id, purpose, &key))?;
        business.push(BusinessSignature { purpose, key, signature });
    }
    let mut spend = Vec::new();
    for (input, resolved) in (0u32..).zip(inputs) {
        if resolved.output.policy.keys().contains(&key) {
            let signature = keys.sign(&spend_message(chain_id, tx_id))?;
            spend.push(SpendSignature { input, key, signature });
        }
    }
    let too_many = |error| Refusal::new(Code::TooLarge, error);
    Ok(Signatures {
        business: List::new(business).map_err(too_many)?,
        spend: List::new(spend).map_err(too_many)?,
        ..none(flow_id, *tx_id)
    })
}

/// Whether every signature is of `tx_id` by its key.
///
/// # Errors
/// BAD_SIGNATURE, BAD_TX_ID.
pub fn check(signatures: &Signatures, chain_id: &ChainId, tx_id: &TxId) -> Result<(), Refusal> {
    if signatures.tx_id != *tx_id {
        let said = format!("the signatures are of {}, the transaction is {tx_id}", signatures.tx_id);
        return Err(Refusal::new(Code::BadTxId, said));
    }
    let wrong = |key: &PublicKey| {
        Err(Refusal::new(Code::BadSignature, format!("the signature by key {} is wrong", key.id())))
    };
    for signed in signatures.business.iter() {
        let message = business_message(chain_id, tx_id, signed.purpose, &signed.key);
        if !signed.key.verify(&message.0, &signed.signature) {
            return wrong(&signed.key);
        }
    }
    let message = spend_message(chain_id, tx_id);
    for signed in signatures.spend.iter() {
        if !signed.key.verify(&message.0, &signed.signature) {
            return wrong(&signed.key);
        }
    }
    Ok(())
}

/// Both together; what stands in both is there once.
///
/// # Errors
/// TOO_LARGE.
pub fn merge(one: &Signatures, other: &Signatures) -> Result<Signatures, Refusal> {
    fn both<T: Clone + PartialEq, const MAX: usize>(
        one: &List<T, MAX>,
        other: &List<T, MAX>,
    ) -> Result<List<T, MAX>, Refusal> {
        let new = other.iter().filter(|value| !one.contains(value));
        let all: Vec<T> = one.iter().chain(new).cloned().collect();
        List::new(all).map_err(|error| Refusal::new(Code::TooLarge, error))
    }
    Ok(Signatures {
        flow_id: one.flow_id,
        tx_id: one.tx_id,
        business: both(&one.business, &other.business)?,
        spend: both(&one.spend, &other.spend)?,
        bindings: both(&one.bindings, &other.bindings)?,
        attestations: both(&one.attestations, &other.attestations)?,
    })
}

/// The openings of the inputs' nullifiers (3.6).
///
/// # Errors
/// POLICY_NOT_MET where signatures are missing.
pub fn openings(inputs: &[Resolved], signatures: &Signatures) -> Result<Vec<Opening>, Refusal> {
    let opening = |(place, input): (u32, &Resolved)| {
        let policy = input.output.policy.clone();
        let of_key = |key: &PublicKey| {
            let mut given =
                signatures.spend.iter().filter(|signed| signed.input == place && signed.key == *key);
            given.next().map(|signed| signed.signature)
        };
        let given: Vec<_> = policy.keys().iter().map(of_key).collect();
        let (found, needed) = (given.iter().flatten().count(), policy.threshold());
        if found < usize::from(needed) {
            let said = format!("input {place} has {found} of {needed} signatures");
            return Err(Refusal::new(Code::PolicyNotMet, said));
        }
        let signatures = List::new(given).expect("as many as the policy has keys");
        Ok(Opening { blind: blind(&input.place, &input.nonce), policy, signatures })
    };
    (0u32..).zip(inputs).map(opening).collect()
}
