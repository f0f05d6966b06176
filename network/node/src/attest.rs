//! Attestations (5.4): finding out who may give one, showing a transaction to them, and giving one. An attester sees the whole
//! body and all signatures, resolves what is behind it, and judges it by every rule that a participant goes by.

use std::collections::BTreeSet;

use stateset_contracts::Resolved;
use stateset_ledger_types::codec::{List, Set, Text};
use stateset_ledger_types::entity::{Entity, Role};
use stateset_ledger_types::envelope::{Attestation, Notarise, Request};
use stateset_ledger_types::governance::AttesterPolicy;
use stateset_ledger_types::ids::{EntityId, TxId};
use stateset_ledger_types::keys::{PublicKey, Purpose};
use stateset_ledger_types::notary::NotaryRecord;
use stateset_ledger_types::{Code, Envelope, Refusal, StateKey};
use stateset_peer::message::{Content, Propose, Signatures, Whole};

use crate::effects::Outcome;
use crate::error::{ChainError, NodeError};
use crate::flow::attesting::{ATTESTER, Candidate, Quorum, message_of, policy_of};
use crate::flow::{Flow, Input};
use crate::judge::Ledger;
use crate::node::Node;
use crate::ports::Tip;
use crate::vault::members;

/// The keys by which `entity` may attest at `time_ms`.
pub(crate) fn attesting_keys(entity: &Entity, time_ms: u64) -> Vec<PublicKey> {
    if !entity.is_active(time_ms) || !entity.roles.has(Role::Attester) {
        return Vec::new();
    }
    let live = entity
        .keys
        .iter()
        .filter(|record| record.purpose == Purpose::LedgerSigning && record.is_live(time_ms));
    live.map(|record| record.key).collect()
}

impl Ledger<'_> {
    /// The policy that `id` names, as of `height`.
    ///
    /// # Errors
    /// ATTESTATION_MISSING where there is none; [`NodeError::Chain`].
    fn attester_policy(&self, id: u32, height: u64) -> Result<AttesterPolicy, NodeError> {
        let found: Option<AttesterPolicy> = self.record(&StateKey::attester_policy(id), height)?;
        let said = || format!("the ledger has no attester policy {id}: name another, or none");
        Ok(found.ok_or_else(|| Refusal::new(Code::AttestationMissing, said()))?)
    }
}

fn no_policy() -> Refusal {
    Refusal::new(Code::Malformed, "an Attested transaction names its attester policy")
}

impl Node {
    /// Whom the builder of `flow` asks.
    pub(crate) fn quorum(&self, flow: &Flow) -> Result<Outcome, NodeError> {
        let quorum = self.quorum_of(&flow.whole, &self.inputs(&flow.whole)?)?;
        Ok(Outcome::Input(Box::new(Input::Quorum(quorum))))
    }

    /// What nobody could attest is not proposed: others would sign it for nothing.
    ///
    /// # Errors
    /// ATTESTATION_MISSING; [`NodeError::Chain`].
    pub(crate) fn refuse_unattestable(&self, whole: &Whole, inputs: &[Resolved]) -> Result<(), NodeError> {
        if policy_of(whole).is_none() {
            return Ok(());
        }
        match self.quorum_of(whole, inputs)?.shortage() {
            Some(said) => Err(Refusal::new(Code::AttestationMissing, said).into()),
            None => Ok(()),
        }
    }

    /// Active attesters of the policy that take no part in the transaction.
    fn quorum_of(&self, whole: &Whole, inputs: &[Resolved]) -> Result<Quorum, NodeError> {
        let id = policy_of(whole).ok_or_else(no_policy)?;
        let tip = self.ports.chain.tip()?;
        let policy = self.ledger().attester_policy(id, tip.height)?;
        let taking_part = members(whole, inputs);
        let mut attesters = Vec::new();
        for entity in policy.entities.iter().filter(|entity| !taking_part.contains(*entity)) {
            let record: Option<Entity> = self.ledger().record(&StateKey::entity(entity), tip.height)?;
            let keys = record.map_or_else(Vec::new, |record| attesting_keys(&record, tip.time_ms));
            if !keys.is_empty() {
                let keys = Set::new(keys).map_err(|error| Refusal::new(Code::TooLarge, error))?;
                attesters.push(Candidate { entity: *entity, keys });
            }
        }
        let attesters = List::new(attesters).expect("no more than the policy names");
        Ok(Quorum { policy: id, threshold: policy.threshold, attesters })
    }

    /// Shows an attester the body, then all signatures: the order of a session is kept.
    pub(crate) fn ask_to_attest(&self, flow: &Flow, to: &EntityId) -> Result<Outcome, NodeError> {
        let role = Text::new(ATTESTER).expect("a short word");
        let content = Content::Whole(Box::new(flow.whole.clone()));
        let proposal = Propose { flow_id: flow.id, role, content };
        let shown = Signatures { attestations: List::default(), ..flow.signatures.clone() };
        self.ports.peers.send(to, flow.session(), &proposal.into())?;
        self.ports.peers.send(to, flow.session(), &shown.into())?;
        Ok(Outcome::Done)
    }

    /// At an attester: all of 4.2 as of now, with every signature, and its own.
    pub(crate) fn attest(&self, flow: &Flow) -> Result<Outcome, NodeError> {
        let Some(from) = flow.from() else { return Ok(Outcome::Done) };
        let id = policy_of(&flow.whole).ok_or_else(no_policy)?;
        let tip = self.ports.chain.tip()?;
        self.refuse_dead(flow, tip)?;
        let (me, key) = (self.entity(), self.keys.ledger_key());
        let policy = self.ledger().attester_policy(id, tip.height)?;
        let record: Option<Entity> = self.ledger().record(&StateKey::entity(&me), tip.height)?;
        let is_asked = policy.entities.contains(&me)
            && record.is_some_and(|record| attesting_keys(&record, tip.time_ms).contains(&key));
        if !is_asked {
            let said = format!("{me} is no active attester of policy {id}");
            return Err(Refusal::new(Code::NotAuthorised, said).into());
        }
        let inputs = self.resolve(&flow.whole, &self.knowing(&flow.whole, &from))?;
        let references = self.references(&flow.whole)?;
        // Who takes part has checked it for itself: its word again would be worth nothing to others.
        if members(&flow.whole, &inputs).contains(&me) {
            let said = format!("{me} takes part in the transaction: another attests it");
            return Err(Refusal::new(Code::NotAuthorised, said).into());
        }
        let now = Tip { time_ms: self.ports.clock.now_ms().max(tip.time_ms), ..tip };
        self.ledger().judge(&flow.whole, Some(&flow.signatures), &inputs, &references, now)?;
        let signature = self.keys.sign(&message_of(&flow.whole, id))?;
        Ok(Outcome::Input(Box::new(Input::Attested(Attestation { attester: me, key, signature }))))
    }

    /// The request of a notarised transaction, as the chain saw it; it counts by its hash.
    ///
    /// # Errors
    /// UNSUPPORTED for a transaction of another mode; [`NodeError::Chain`].
    pub(crate) fn request_of(&self, tx_id: &TxId, record: &NotaryRecord) -> Result<Box<Notarise>, NodeError> {
        let (height, index) = (record.height, record.index);
        let bytes = self.ports.chain.request(height, index)?;
        let wrong =
            |said: String| ChainError::NotProven(format!("request {index} of block {height}: {said}"));
        let envelope = Envelope::from_bytes(bytes).map_err(|problem| wrong(problem.to_string()))?;
        match envelope.request() {
            Request::Notarise(request) if request.content.tx_id() == *tx_id => Ok(request.clone()),
            Request::Notarise(request) => Err(wrong(format!("it is {}", request.content.tx_id())).into()),
            _ => Err(Refusal::new(Code::Unsupported, "it is no Private or Attested transaction").into()),
        }
    }

    /// The attestations that the notaries saw. None where the block is not kept any more: then those of a peer count.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub(crate) fn attestations_on_chain(
        &self,
        tx_id: &TxId,
        record: &NotaryRecord,
    ) -> Result<Vec<Attestation>, NodeError> {
        match self.request_of(tx_id, record) {
            Ok(request) => Ok(request.attestations.to_vec()),
            Err(NodeError::Chain(ChainError::NotProven(_)) | NodeError::Refused(_)) => Ok(Vec::new()),
            Err(other) => Err(other),
        }
    }

    /// Whom to ask for what is behind a proposal: who sent it first, then whoever takes part in its outputs.
    pub(crate) fn knowing(&self, whole: &Whole, from: &EntityId) -> Vec<EntityId> {
        let others: BTreeSet<EntityId> = members(whole, &[]);
        let others = others.into_iter().filter(|entity| entity != from && *entity != self.entity());
        std::iter::once(*from).chain(others).collect()
    }
}
