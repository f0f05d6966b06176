//! Flows as a pure state machine (8.2). What happens comes in as an [`Input`]; [`decide`] says which steps it means;
//! a step goes into the journal; [`Flow::apply`] takes it over, and [`follow`] says what is to be done because of it. A flow
//! is its journal: read again, it is the same flow. No clock, no socket, no file here.
//!
//! ```text
//! builder    collecting ─► (attesting) ─► publishing ─► submitting ─► waiting ─► final
//! responder  judging ─► (deciding) ─► signing ─► waiting ─► final
//! attester   judging ─► waiting ─► final
//! every phase but final ─► ended, with a code
//! ```

pub mod attesting;
mod decide;
mod entry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use stateset_ledger_types::Refusal;
use stateset_ledger_types::envelope::Attestation;
use stateset_ledger_types::ids::{EntityId, TxId};
use stateset_peer::frame::SessionId;
use stateset_peer::message::{Finalised, FlowId, Reject, Signatures, Whole};

use attesting::{ATTESTER, Asked, Quorum, policy_of};

pub use decide::{decide, is_for_now};
pub use entry::{
    Assembled, Built, Effect, Ended, Entry, Judged, Notarised, Received, Seal, SealOf, SignedBy,
};

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A participant signs.
    Signatures(EntityId, Box<Signatures>),
    /// A participant refuses, or the builder gives up.
    Reject(EntityId, Reject),
    /// The builder says that it is final.
    Finalised(EntityId, Box<Finalised>),
    /// The proposal holds. `signs`: whether this node's signature is asked for.
    Judged {
        signs: bool,
    },
    /// The rules refuse it, here or at the ledger.
    Refused(Refusal),
    /// A person or a program has to decide.
    Asked,
    Accepted,
    Declined(String),
    /// This node's own signatures.
    Signed(Box<Signatures>),
    /// Who may attest.
    Quorum(Quorum),
    /// This node attests.
    Attested(Attestation),
    /// The request is ready, and what recipients need is stored.
    Assembled(Vec<u8>),
    Submitted,
    /// Notarised, proven and valid.
    Notarised(Box<Notarised>),
}

/// Where a flow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Signatures of others are missing.
    Collecting,
    /// All signed, and attestations are missing.
    Attesting,
    /// All signed: capsules and request are made.
    Publishing,
    Submitting,
    /// A proposal is being resolved and checked.
    Judging,
    /// A person has to decide.
    Deciding,
    Signing,
    /// For the ledger.
    Waiting,
    Final,
    Ended,
}

impl Phase {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collecting => "collecting",
            Self::Attesting => "attesting",
            Self::Publishing => "publishing",
            Self::Submitting => "submitting",
            Self::Judging => "judging",
            Self::Deciding => "deciding",
            Self::Signing => "signing",
            Self::Waiting => "waiting",
            Self::Final => "final",
            Self::Ended => "ended",
        }
    }

    pub const fn is_over(self) -> bool {
        matches!(self, Self::Final | Self::Ended)
    }
}

/// What only one side of a flow knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    Builder {
        /// What each recipient's capsule is sealed with.
        seals: Vec<SealOf>,
        /// Others that have to sign, and whether they have.
        signers: BTreeMap<EntityId, bool>,
        /// Others that are told only.
        informed: BTreeSet<EntityId>,
        /// Who was asked to attest, once that is known.
        asked: Option<Asked>,
        /// The request, once it is made.
        request: Option<Vec<u8>>,
    },
    Responder {
        from: EntityId,
        /// Whether this node's signature is asked for; known once the proposal is judged.
        signs: bool,
    },
    /// Takes no part, and says whether it holds.
    Attester { from: EntityId },
}

/// One flow, as its journal tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    pub id: FlowId,
    pub tx_id: TxId,
    pub whole: Whole,
    pub phase: Phase,
    pub side: Side,
    /// Those known so far.
    pub signatures: Signatures,
    /// All of them are known: the builder said that the transaction is final.
    pub has_all_signatures: bool,
    ended: Option<Ended>,
    notarised: Option<Box<Notarised>>,
}

impl Flow {
    /// The flow of a journal; `None` for an empty one.
    pub fn replay(entries: &[Entry]) -> Option<Self> {
        let (first, rest) = entries.split_first()?;
        let mut flow = Self::begin(first)?;
        rest.iter().for_each(|entry| flow.apply(entry));
        Some(flow)
    }

    /// The flow that a first step begins.
    pub fn begin(first: &Entry) -> Option<Self> {
        let (id, whole, signatures, phase, side) = match first {
            Entry::Built(built) => {
                let signers: BTreeMap<_, _> = built.signers.iter().map(|signer| (*signer, false)).collect();
                let phase = if signers.is_empty() { all_signed(&built.whole) } else { Phase::Collecting };
                let side = Side::Builder {
                    seals: built.seals.to_vec(),
                    signers,
                    informed: built.informed.iter().copied().collect(),
                    asked: None,
                    request: None,
                };
                (built.flow_id, &built.whole, built.own.clone(), phase, side)
            }
            Entry::Received(received) => {
                let tx_id = received.whole.body.tx_id(received.whole.mode);
                let none = crate::signing::none(received.flow_id, tx_id);
                let from = received.from;
                let side = match received.role.as_str() {
                    ATTESTER => Side::Attester { from },
                    _ => Side::Responder { from, signs: false },
                };
                (received.flow_id, &received.whole, none, Phase::Judging, side)
            }
            _ => return None,
        };
        let tx_id = signatures.tx_id;
        let whole = whole.clone();
        let (has_all_signatures, ended, notarised) = (false, None, None);
        Some(Self { id, tx_id, whole, phase, side, signatures, has_all_signatures, ended, notarised })
    }

    /// Takes over a journalled step.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Built(_) | Entry::Received(_) => {}
            Entry::Judged(judged) => {
                if let Side::Responder { signs, .. } = &mut self.side {
                    *signs = judged.signs;
                }
                self.phase = if judged.signs { Phase::Deciding } else { Phase::Waiting };
            }
            Entry::Asked(()) => self.phase = Phase::Deciding,
            Entry::Accepted(()) => self.phase = Phase::Signing,
            Entry::Signed(own) => {
                self.signatures = (**own).clone();
                self.phase = Phase::Waiting;
            }
            Entry::SignedBy(signed) => self.take_signatures(signed),
            Entry::Assembled(assembled) => {
                if let Side::Builder { request, .. } = &mut self.side {
                    *request = Some(assembled.request.to_vec());
                }
                self.phase = Phase::Submitting;
            }
            Entry::Submitted(()) => self.phase = Phase::Waiting,
            Entry::Again(_) => self.phase = Phase::Publishing,
            Entry::Told(all) => {
                self.signatures = (**all).clone();
                self.has_all_signatures = true;
            }
            Entry::Quorum(quorum) => {
                if let Side::Builder { asked, .. } = &mut self.side {
                    *asked = Some(Asked { quorum: quorum.clone(), refused: BTreeSet::new() });
                }
            }
            Entry::AttestedBy(attestation) | Entry::Attested(attestation) => {
                self.take_attestation(attestation)
            }
            Entry::Unattested(unattested) => self.take_refusal(unattested.attester),
            Entry::Notarised(notarised) => {
                self.notarised = Some(notarised.clone());
                self.phase = Phase::Final;
            }
            Entry::Ended(ended) => {
                self.ended = Some(ended.clone());
                self.phase = Phase::Ended;
            }
        }
    }

    fn take_signatures(&mut self, signed: &SignedBy) {
        let merged = crate::signing::merge(&self.signatures, &signed.signatures);
        self.signatures = merged.expect("checked when the step was decided");
        if let Side::Builder { signers, .. } = &mut self.side {
            signers.insert(signed.entity, true);
        }
        if self.waits_for().is_empty() {
            self.phase = all_signed(&self.whole);
        }
    }

    /// The session that its messages travel in.
    pub fn session(&self) -> SessionId {
        session_of(&self.id)
    }

    /// Who began it, where that is another.
    pub fn from(&self) -> Option<EntityId> {
        match &self.side {
            Side::Builder { .. } => None,
            Side::Responder { from, .. } | Side::Attester { from } => Some(*from),
        }
    }

    /// Whose signatures are missing; once all who take part have signed, who may still attest.
    pub fn waits_for(&self) -> Vec<EntityId> {
        match &self.side {
            Side::Builder { asked, .. } if self.phase == Phase::Attesting => {
                asked.as_ref().map_or_else(Vec::new, |asked| asked.waits_for(&self.signatures.attestations))
            }
            Side::Builder { signers, .. } if !self.phase.is_over() => {
                signers.iter().filter(|(_, signed)| !**signed).map(|(signer, _)| *signer).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Everyone else that takes part, as the builder knows them.
    pub fn others(&self) -> Vec<EntityId> {
        match &self.side {
            Side::Builder { signers, informed, .. } => signers.keys().chain(informed).copied().collect(),
            _ => Vec::new(),
        }
    }

    /// How it ended, if it failed.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Where it stands on the ledger, if it is final.
    pub fn notarised(&self) -> Option<&Notarised> {
        self.notarised.as_deref()
    }

    /// Whether this node has signed it.
    pub fn is_signed(&self) -> bool {
        !self.signatures.business.is_empty() || !self.signatures.spend.is_empty()
    }

    /// The request to submit, once it is made.
    pub fn request(&self) -> Option<&[u8]> {
        match &self.side {
            Side::Builder { request, .. } => request.as_deref(),
            _ => None,
        }
    }
}

/// What a builder does once all who take part have signed.
fn all_signed(whole: &Whole) -> Phase {
    if policy_of(whole).is_some() { Phase::Attesting } else { Phase::Publishing }
}

/// What follows once all have signed; nothing before.
fn once_signed(flow: &Flow) -> Option<Effect> {
    match flow.phase {
        Phase::Attesting => Some(Effect::Quorum(())),
        Phase::Publishing => Some(Effect::Publish(())),
        _ => None,
    }
}

/// The session of a flow: the first eight bytes of its random id, and never that of the connection.
pub fn session_of(id: &FlowId) -> SessionId {
    let first = u64::from_be_bytes(*id.0.first_chunk().expect("16 bytes"));
    SessionId(first.max(1))
}

/// What is to be done because of `entry`, which `flow` has taken over.
pub fn follow(flow: &Flow, entry: &Entry) -> Vec<Effect> {
    let is_builder = matches!(flow.side, Side::Builder { .. });
    let attests = matches!(flow.side, Side::Attester { .. });
    match entry {
        Entry::Built(_) => {
            let mut effects: Vec<Effect> = flow.others().into_iter().map(Effect::Propose).collect();
            effects.extend(once_signed(flow));
            // Also while signatures are missing: what is never signed expires.
            effects.push(Effect::Await(()));
            effects
        }
        Entry::SignedBy(_) => once_signed(flow).into_iter().collect(),
        Entry::Quorum(_) => flow.attesters().into_iter().map(Effect::Attest).collect(),
        Entry::AttestedBy(_) if flow.phase == Phase::Publishing => vec![Effect::Publish(())],
        Entry::AttestedBy(_) | Entry::Unattested(_) => Vec::new(),
        Entry::Assembled(_) => vec![Effect::Submit(())],
        Entry::Again(_) => vec![Effect::Publish(())],
        // An attester can judge from here on.
        Entry::Told(_) if attests => vec![Effect::Judge(())],
        Entry::Submitted(()) | Entry::Told(_) => vec![Effect::Await(())],
        // What nobody signs expires.
        Entry::Received(_) if attests => vec![Effect::Await(())],
        Entry::Received(_) => vec![Effect::Judge(())],
        Entry::Judged(judged) if judged.signs => vec![Effect::Decide(())],
        Entry::Judged(_) => vec![Effect::Await(())],
        Entry::Asked(()) => Vec::new(),
        Entry::Accepted(()) => vec![Effect::Sign(())],
        Entry::Signed(_) | Entry::Attested(_) => {
            let answer = flow.from().map(Effect::Answer);
            answer.into_iter().chain([Effect::Await(())]).collect()
        }
        Entry::Notarised(_) => flow.others().into_iter().map(Effect::Finalise).collect(),
        Entry::Ended(ended) if ended.by_peer && !is_builder => Vec::new(),
        Entry::Ended(_) if is_builder => {
            flow.others().into_iter().chain(flow.attesters()).map(Effect::Reject).collect()
        }
        Entry::Ended(_) => flow.from().map(Effect::Reject).into_iter().collect(),
    }
}
