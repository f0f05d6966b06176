//! What follows from steps, done in the world. Each effect may be done again after a crash and means the same.

use std::collections::BTreeSet;

use stateset_ledger_types::codec::{List, Set};
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::notary::CertificateRecord;
use stateset_ledger_types::{Code, Refusal, StateKey};
use stateset_peer::message::{Content, Finalised, Message, Propose, Reject, RejectCode, Signatures};

use crate::build::{random, request};
use crate::capsule::{self, Seal};
use crate::error::NodeError;
use crate::flow::{Effect, Flow, Input, Notarised, Side};
use crate::node::Node;
use crate::ports::{Decision, Proposal, Tip};
use crate::resolve::signed;
use crate::signing;
use crate::vault::{Todo, members};

/// After so many looks without a result the request is submitted again: a pool may lose it.
const LOOKS_PER_SUBMISSION: u32 = 8;
/// Most sealed pieces beside one transaction that are tried: this node's own come first.
pub(crate) const PIECES_TRIED_MAX: usize = 1_024;

/// What became of an effect.
pub(crate) enum Outcome {
    Done,
    Input(Box<Input>),
    /// Nothing yet: to be tried again.
    Later,
}

fn input(input: Input) -> Result<Outcome, NodeError> {
    Ok(Outcome::Input(Box::new(input)))
}

impl Node {
    /// Does an effect of `flow`.
    ///
    /// # Errors
    /// [`NodeError::Refused`] is an answer; [`NodeError::Chain`] and [`NodeError::Peer`] are to be tried again.
    pub(crate) fn perform(&self, flow: &Flow, todo: &Todo) -> Result<Outcome, NodeError> {
        match &todo.effect {
            Effect::Propose(to) => self.send(flow, to, propose(flow)),
            Effect::Answer(to) => self.send(flow, to, answer(flow).into()),
            Effect::Quorum(()) => self.quorum(flow),
            Effect::Attest(to) => self.ask_to_attest(flow, to),
            Effect::Judge(()) if matches!(flow.side, Side::Attester { .. }) => self.attest(flow),
            Effect::Finalise(to) => self.send(flow, to, finalised(flow)),
            Effect::Reject(to) => self.send(flow, to, reject(flow)),
            Effect::Publish(()) => self.publish(flow),
            Effect::Submit(()) => self.submit(flow),
            Effect::Await(()) => self.look(flow, todo.attempts),
            Effect::Judge(()) => self.judge(flow),
            Effect::Decide(()) => self.ask_consent(flow),
            Effect::Sign(()) => self.sign(flow),
        }
    }

    fn send(&self, flow: &Flow, to: &EntityId, message: Message) -> Result<Outcome, NodeError> {
        self.ports.peers.send(to, flow.session(), &message)?;
        Ok(Outcome::Done)
    }

    /// Everything that recipients need without this node: capsules and sealed signatures. Then the request.
    fn publish(&self, flow: &Flow) -> Result<Outcome, NodeError> {
        let Side::Builder { seals, .. } = &flow.side else { return Ok(Outcome::Done) };
        let chain_id = &self.config.chain_id;
        let inputs = self.inputs(&flow.whole)?;
        let receipts = self.store_capsules(&flow.whole, seals)?;
        for of in seals {
            let seal = Seal { view_key: of.seal.view_key.0, ephemeral_secret: random()? };
            let sealed =
                capsule::seal_signatures(chain_id, &flow.signatures, &seal).map_err(Refusal::from)?;
            self.ports.capsules.lay_beside(&flow.tx_id, &sealed)?;
        }
        let seq = self.next_seq()?;
        let request = request(&self.keys, &flow.whole, &inputs, &flow.signatures, receipts, seq)?;
        input(Input::Assembled(request))
    }

    /// A submission's sequence: above what the ledger knows and what was ever used here.
    pub(crate) fn next_seq(&self) -> Result<u64, NodeError> {
        let key = StateKey::seq(&self.entity());
        let last = self.ledger().record::<u64>(&key, self.ports.chain.tip()?.height)?;
        self.vault().next_number("submission", last.map_or(1, |last| last + 1))
    }

    fn submit(&self, flow: &Flow) -> Result<Outcome, NodeError> {
        let Some(request) = flow.request() else { return Ok(Outcome::Done) };
        match self.ports.chain.submit(request)? {
            Ok(()) => input(Input::Submitted),
            Err(refusal) if refusal.code == Code::AlreadyNotarised => input(Input::Submitted),
            Err(refusal) => input(Input::Refused(refusal)),
        }
    }

    /// Whether the ledger has the transaction, or can't have it any more.
    fn look(&self, flow: &Flow, attempts: u32) -> Result<Outcome, NodeError> {
        let Some(certificate) = self.ports.chain.certificate(&flow.tx_id)? else {
            let tip = self.ports.chain.tip()?;
            self.refuse_dead(flow, tip)?;
            if let Some(request) = flow.request() {
                if let Some(refusal) = self.ports.chain.refusal(request)? {
                    return input(Input::Refused(refusal));
                }
                if attempts % LOOKS_PER_SUBMISSION == LOOKS_PER_SUBMISSION - 1 {
                    self.ports.chain.submit(request)?.or_else(|refusal| match refusal.code {
                        Code::AlreadyNotarised => Ok(()),
                        _ => Err(refusal),
                    })?;
                }
            }
            return Ok(Outcome::Later);
        };
        let Some(signatures) = self.all_signatures(flow)? else { return Ok(Outcome::Later) };
        // A proposal may be final before it was resolved here.
        if let Some(from) = flow.from() {
            self.resolve(&flow.whole, &self.knowing(&flow.whole, &from))?;
        }
        let notarised = self.notarised(flow, certificate, signatures)?;
        input(Input::Notarised(Box::new(notarised)))
    }

    /// # Errors
    /// CONFLICT, REFERENCE_SPENT, EXPIRED, WINDOW_CLOSED for a transaction that no later block can hold.
    pub(crate) fn refuse_dead(&self, flow: &Flow, tip: Tip) -> Result<(), NodeError> {
        self.ledger().refuse_consumed(&flow.whole, &flow.tx_id, tip.height)?;
        let body = &flow.whole.body.body;
        let expires = body.header.0.expires_height;
        if expires != 0 && tip.height > expires {
            let said = format!("not notarised by height {expires}, this is {}", tip.height);
            return Err(Refusal::new(Code::Expired, said).into());
        }
        let until = body.time_window.first().and_then(|window| window.until_ms);
        if let Some(until) = until.filter(|until| *until <= tip.time_ms) {
            let said = format!("not notarised before {until} ms, the last block is of {}", tip.time_ms);
            return Err(Refusal::new(Code::WindowClosed, said).into());
        }
        Ok(())
    }

    /// All signatures, where they are known: the builder's own, what it told, or what it laid beside the capsules.
    fn all_signatures(&self, flow: &Flow) -> Result<Option<Signatures>, NodeError> {
        let keys = signing::command_keys(&flow.whole);
        let is_whole = |signatures: &Signatures| {
            keys.iter().all(|key| signatures.business.iter().any(|signed| signed.key == *key))
        };
        if is_whole(&flow.signatures) {
            return Ok(Some(flow.signatures.clone()));
        }
        let found = self.stored_signatures(&flow.tx_id)?;
        let merged = match found {
            Some(found) => signing::merge(&flow.signatures, &found)?,
            None => return Ok(None),
        };
        Ok(is_whole(&merged).then_some(merged))
    }

    /// Signatures of a transaction from beside its capsules, sealed to this node. Wrong ones are passed over: anybody may
    /// lay something there.
    pub(crate) fn stored_signatures(
        &self,
        tx_id: &stateset_ledger_types::ids::TxId,
    ) -> Result<Option<Signatures>, NodeError> {
        let chain_id = &self.config.chain_id;
        let mut found: Option<Signatures> = None;
        for sealed in self.ports.capsules.beside(tx_id)?.iter().take(PIECES_TRIED_MAX) {
            let opened = capsule::open_signatures(chain_id, self.keys.view_secret(), tx_id, sealed);
            if let Ok(signatures) = opened
                && signing::check(&signatures, chain_id, tx_id).is_ok()
            {
                // One who takes part may have laid its own alone there: together they are whole.
                found = match found {
                    None => Some(signatures),
                    Some(before) => Some(signing::merge(&before, &signatures).unwrap_or(before)),
                };
            }
        }
        Ok(found)
    }

    fn notarised(
        &self,
        flow: &Flow,
        certificate: CertificateRecord,
        signatures: Signatures,
    ) -> Result<Notarised, NodeError> {
        let height = certificate.height;
        let record = self.ledger().notarised(&flow.tx_id, height)?;
        let record = record.ok_or_else(|| {
            let said =
                format!("the certificate of {} is of height {height}, which has no record of it", flow.tx_id);
            crate::error::ChainError::NotProven(said)
        })?;
        let transaction = signed(&flow.whole, &signatures, Some(certificate.clone()));
        let recorded = self.judge_notarised(&flow.tx_id, &record, &transaction)?;
        let signatures = Signatures { attestations: recorded.signed.attestations, ..signatures };
        let members = Set::new(recorded.members).map_err(|error| Refusal::new(Code::TooLarge, error))?;
        Ok(Notarised { record, time_ms: recorded.time_ms, certificate, signatures, members })
    }

    /// A proposal: what is behind it, the rules, and whether it can still be notarised.
    fn judge(&self, flow: &Flow) -> Result<Outcome, NodeError> {
        let Some(from) = flow.from() else { return Ok(Outcome::Done) };
        let tip = self.ports.chain.tip()?;
        // Also ends what can never be resolved.
        self.refuse_dead(flow, tip)?;
        let inputs = self.resolve(&flow.whole, &self.knowing(&flow.whole, &from))?;
        let references = self.references(&flow.whole)?;
        let now = Tip { time_ms: self.ports.clock.now_ms().max(tip.time_ms), ..tip };
        let facts = self.ledger().judge(&flow.whole, None, &inputs, &references, now)?;
        self.refuse_foreign(flow, &inputs)?;
        let signers = signing::signers(&flow.whole, &inputs, &facts, &from)?;
        input(Input::Judged { signs: signers.contains(&self.entity()) })
    }

    fn refuse_foreign(&self, flow: &Flow, inputs: &[stateset_contracts::Resolved]) -> Result<(), NodeError> {
        let members: BTreeSet<EntityId> = members(&flow.whole, inputs);
        if !members.contains(&self.entity()) {
            let said = "this entity has no part in an input or output";
            return Err(Refusal::new(Code::NotAuthorised, said).into());
        }
        // Without it a lost vault could not be made anew.
        let mut lookups = flow.whole.body.body.capsules.iter().map(|capsule| &capsule.lookup);
        if !lookups.any(|lookup| capsule::may_be_mine(self.keys.view_secret(), lookup)) {
            return Err(Refusal::new(Code::CapsuleMissing, "no capsule is for this entity").into());
        }
        Ok(())
    }

    fn ask_consent(&self, flow: &Flow) -> Result<Outcome, NodeError> {
        let Some(from) = flow.from() else { return Ok(Outcome::Done) };
        let inputs: Vec<_> = self.inputs(&flow.whole)?.into_iter().map(|input| input.output).collect();
        let proposal = Proposal { from, tx_id: flow.tx_id, inputs: &inputs, whole: &flow.whole };
        input(match self.ports.consent.decide(&proposal) {
            Decision::Accept => Input::Accepted,
            Decision::Decline(text) => Input::Declined(text),
            Decision::Ask => Input::Asked,
        })
    }

    /// This node's signatures: at most one transaction under way may consume a state.
    fn sign(&self, flow: &Flow) -> Result<Outcome, NodeError> {
        for place in flow.whole.body.body.inputs.iter() {
            self.refuse_locked(place)?;
        }
        let inputs = self.inputs(&flow.whole)?;
        // A decision may have taken its time.
        self.ledger().refuse_consumed(&flow.whole, &flow.tx_id, self.ports.chain.tip()?.height)?;
        let own = signing::own(&self.keys, flow.id, &flow.tx_id, &flow.whole, &inputs)?;
        input(Input::Signed(Box::new(own)))
    }
}

fn propose(flow: &Flow) -> Message {
    let content = Content::Whole(Box::new(flow.whole.clone()));
    Propose { flow_id: flow.id, role: stateset_ledger_types::codec::Text::default(), content }.into()
}

/// What this node has signed: all of it, or its attestation alone, since the builder has the rest.
fn answer(flow: &Flow) -> Signatures {
    match flow.side {
        Side::Attester { .. } => Signatures {
            attestations: flow.signatures.attestations.clone(),
            ..signing::none(flow.id, flow.tx_id)
        },
        _ => flow.signatures.clone(),
    }
}

fn finalised(flow: &Flow) -> Message {
    let notarised = flow.notarised().expect("only a final flow is told as final");
    Box::new(Finalised {
        flow_id: flow.id,
        tx_id: flow.tx_id,
        certificate: notarised.certificate.clone(),
        signatures: notarised.signatures.business.clone(),
        bindings: notarised.signatures.bindings.clone(),
        missing: List::default(),
    })
    .into()
}

/// The text begins with the name of the code, by which the other side knows it.
fn reject(flow: &Flow) -> Message {
    let ended = flow.ended().expect("only a flow that ended is told as such");
    Reject::new(RejectCode::Invalid, format!("{}: {}", ended.code.name(), ended.text)).into()
}
