//! Attestation as steps of a flow (5.4): the builder asks those whom the policy names, once all who take part have signed;
//! an attester judges what it is shown, and signs or refuses.

use std::collections::BTreeSet;

use stateset_ledger_types::Code;
use stateset_ledger_types::codec::{List, Set, record};
use stateset_ledger_types::envelope::Attestation;
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::{PublicKey, attest_message};
use stateset_ledger_types::tree::Mode;
use stateset_peer::message::{Reject, Signatures, Whole};
use ves::Digest;

use super::decide::code_of;
use super::entry::{Ended, Entry};
use super::{Flow, Phase, Side};
use crate::signing;

/// The receiver's role in a proposal that asks for its attestation.
pub const ATTESTER: &str = "attester";

record! {
    /// An attester, with the keys by which it may speak.
    pub struct Candidate {
        pub entity: EntityId,
        pub keys: Set<PublicKey, 64>,
    }

    /// Whom the builder asks: those of the policy who take no part in the transaction.
    pub struct Quorum {
        pub policy: u32,
        pub threshold: u32,
        pub attesters: List<Candidate, 256>,
    }

    /// An attester refuses, or its signature is of no use; enough others are left.
    pub struct Unattested {
        pub attester: EntityId,
        pub ended: Ended,
    }
}

/// What a builder knows of its attesters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub quorum: Quorum,
    pub refused: BTreeSet<EntityId>,
}

/// The policy under which `whole` is attested; `None` for another mode.
pub fn policy_of(whole: &Whole) -> Option<u32> {
    whole.body.body.header.0.attester_policy.filter(|_| whole.mode == Mode::Attested)
}

/// What an attester signs of `flow`'s transaction.
pub fn message_of(whole: &Whole, policy: u32) -> Digest {
    let header = &whole.body.body.header.0;
    let tx_id = whole.body.tx_id(whole.mode);
    attest_message(&header.chain_id, &tx_id, policy, &header.contract_set_hash)
}

impl Quorum {
    /// What is said where there are too few, whoever of them attests.
    pub fn shortage(&self) -> Option<String> {
        let (found, needed) = (self.attesters.len(), self.threshold);
        (found < needed as usize).then(|| {
            let policy = self.policy;
            format!("attester policy {policy} asks for {needed}, and names {found} active attesters that take no part")
        })
    }
}

impl Asked {
    /// Those who have neither signed nor refused.
    pub fn waits_for(&self, given: &[Attestation]) -> Vec<EntityId> {
        let open = |id: &EntityId| !self.refused.contains(id) && given.iter().all(|one| one.attester != *id);
        self.quorum.attesters.iter().map(|one| one.entity).filter(open).collect()
    }

    fn is_met(&self, given: &[Attestation]) -> bool {
        given.len() >= self.quorum.threshold as usize
    }
}

impl Flow {
    fn asked(&self) -> Option<&Asked> {
        match &self.side {
            Side::Builder { asked, .. } => asked.as_ref(),
            _ => None,
        }
    }

    /// Attesters that were asked, where this node built the transaction.
    pub fn attesters(&self) -> Vec<EntityId> {
        self.asked().map_or_else(Vec::new, |asked| {
            asked.quorum.attesters.iter().map(|candidate| candidate.entity).collect()
        })
    }

    /// Takes over an attestation: this node's own, or one more of those that were asked.
    pub(super) fn take_attestation(&mut self, attestation: &Attestation) {
        let mut all = self.signatures.attestations.to_vec();
        all.push(attestation.clone());
        all.sort_by_key(|one| one.attester);
        self.signatures.attestations = List::new(all).expect("no more are taken than a request holds");
        self.phase = match self.asked() {
            Some(asked) if asked.is_met(&self.signatures.attestations) => Phase::Publishing,
            Some(_) => Phase::Attesting,
            None => Phase::Waiting,
        };
    }

    pub(super) fn take_refusal(&mut self, attester: EntityId) {
        if let Side::Builder { asked: Some(asked), .. } = &mut self.side {
            asked.refused.insert(attester);
        }
    }
}

fn missing(said: impl std::fmt::Display) -> Entry {
    Entry::Ended(Ended::new(Code::AttestationMissing, said, false))
}

/// Who is to be asked is known.
pub fn ask(flow: &Flow, quorum: Quorum) -> Option<Entry> {
    // Asked once: another answer of the ledger changes nothing.
    if flow.asked().is_some() {
        return None;
    }
    Some(match quorum.shortage() {
        Some(said) => missing(said),
        None => Entry::Quorum(quorum),
    })
}

/// An attester answered.
pub fn attested_by(flow: &Flow, from: EntityId, signatures: &Signatures) -> Option<Entry> {
    let (asked, policy) = (flow.asked()?, policy_of(&flow.whole)?);
    if !asked.waits_for(&flow.signatures.attestations).contains(&from) {
        return None;
    }
    let keys = &asked.quorum.attesters.iter().find(|candidate| candidate.entity == from)?.keys;
    let message = message_of(&flow.whole, policy);
    let is_good = |one: &&Attestation| {
        one.attester == from && keys.contains(&one.key) && one.key.verify(&message.0, &one.signature)
    };
    Some(match signatures.attestations.iter().find(is_good) {
        Some(attestation) => Entry::AttestedBy(attestation.clone()),
        None => refused(flow, asked, from, Code::BadSignature, "its attestation is wrong"),
    })
}

/// An attester refuses.
pub fn refused_by(flow: &Flow, from: EntityId, reject: &Reject) -> Option<Entry> {
    let asked = flow.asked()?;
    if !asked.waits_for(&flow.signatures.attestations).contains(&from) {
        return None;
    }
    Some(refused(flow, asked, from, code_of(reject), &reject.text))
}

/// The flow goes on while enough others are left.
fn refused(flow: &Flow, asked: &Asked, attester: EntityId, code: Code, text: &str) -> Entry {
    let given = &flow.signatures.attestations;
    let ended = Ended::new(code, format!("{attester} does not attest: {text}"), true);
    let left = asked.waits_for(given).len() - 1;
    if given.len() + left < asked.quorum.threshold as usize {
        Entry::Ended(ended)
    } else {
        Entry::Unattested(Unattested { attester, ended })
    }
}

/// At an attester: the signatures of those who take part, by which it can judge.
pub fn shown(flow: &Flow, from: EntityId, signatures: Signatures) -> Option<Entry> {
    let Side::Attester { from: builder } = flow.side else { return None };
    if from != builder || flow.has_all_signatures {
        return None;
    }
    let chain_id = &flow.whole.body.body.header.0.chain_id;
    Some(match signing::check(&signatures, chain_id, &flow.tx_id) {
        Ok(()) => Entry::Told(Box::new(Signatures { attestations: List::default(), ..signatures })),
        Err(refusal) => Entry::Ended(Ended::new(refusal.code, &refusal.text, false)),
    })
}

#[cfg(test)]
mod tests {
    use stateset_ledger_types::keys::Signature;
    use stateset_peer::message::{FlowId, RejectCode};

    use super::super::tests::{phase, put, whole};
    use super::super::{Built, Effect, Input, Received};
    use super::*;

    const BUILDER: EntityId = EntityId([9; 20]);
    const POLICY: u32 = 7;

    fn key(n: u8) -> ves::SigningKey {
        ves::SigningKey::from_seed([n; 32])
    }

    fn public(n: u8) -> PublicKey {
        PublicKey::ed25519(ves::Signer::public_key(&key(n)))
    }

    fn attested() -> Whole {
        let mut whole = whole();
        whole.mode = Mode::Attested;
        whole.body.body.header.0.attester_policy = Some(POLICY);
        whole
    }

    fn none() -> Signatures {
        let whole = attested();
        signing::none(FlowId([1; 16]), whole.body.tx_id(whole.mode))
    }

    /// By attester `n`, with the key of `by`.
    fn attestation(n: u8, by: u8) -> Attestation {
        let signature = Signature(key(by).sign(&message_of(&attested(), POLICY).0));
        Attestation { attester: EntityId([n; 20]), key: public(by), signature }
    }

    fn answer(n: u8, by: u8) -> Input {
        let attestations = List::new([attestation(n, by)]).unwrap();
        Input::Signatures(EntityId([n; 20]), Box::new(Signatures { attestations, ..none() }))
    }

    fn quorum(threshold: u32, attesters: &[u8]) -> Quorum {
        let candidate =
            |n: &u8| Candidate { entity: EntityId([*n; 20]), keys: Set::new([public(*n)]).unwrap() };
        let attesters = List::new(attesters.iter().map(candidate).collect::<Vec<_>>()).unwrap();
        Quorum { policy: POLICY, threshold, attesters }
    }

    fn builder() -> Vec<Entry> {
        vec![Entry::Built(Box::new(Built {
            flow_id: FlowId([1; 16]),
            whole: attested(),
            seals: List::default(),
            signers: Set::default(),
            informed: Set::default(),
            own: none(),
        }))]
    }

    fn asking(threshold: u32, attesters: &[u8]) -> Vec<Entry> {
        let mut journal = builder();
        let effects = put(&mut journal, Input::Quorum(quorum(threshold, attesters)));
        let asked: Vec<_> = attesters.iter().map(|n| Effect::Attest(EntityId([*n; 20]))).collect();
        assert_eq!(effects, asked);
        journal
    }

    #[test]
    fn a_quorum_that_takes_part_itself_ends_the_flow() {
        let mut journal = builder();
        assert_eq!(phase(&journal), Phase::Attesting);
        put(&mut journal, Input::Quorum(quorum(2, &[1])));
        assert_eq!(Flow::replay(&journal).unwrap().ended().unwrap().code, Code::AttestationMissing);
    }

    #[test]
    fn enough_attestations_are_kept_in_order_and_no_more() {
        let mut journal = asking(2, &[1, 2, 3]);
        assert_eq!(put(&mut journal, answer(3, 3)), []);
        assert_eq!(put(&mut journal, answer(3, 3)), [], "once");
        assert_eq!(put(&mut journal, answer(4, 4)), [], "it was not asked");
        assert_eq!(phase(&journal), Phase::Attesting);
        assert_eq!(put(&mut journal, answer(1, 1)), [Effect::Publish(())]);
        assert_eq!(put(&mut journal, answer(2, 2)), [], "no more are needed");
        let flow = Flow::replay(&journal).unwrap();
        let given: Vec<_> = flow.signatures.attestations.iter().map(|one| one.attester.0[0]).collect();
        assert_eq!(given, [1, 3], "the ledger wants them in order");
    }

    #[test]
    fn the_flow_goes_on_while_enough_attesters_are_left() {
        let refusal =
            |n: u8| Input::Reject(EntityId([n; 20]), Reject::new(RejectCode::Invalid, "INVARIANT: no"));
        let mut journal = asking(1, &[1, 2, 3]);
        put(&mut journal, refusal(1));
        // One that signs for another, or with a key that is not its own, has refused too.
        put(&mut journal, answer(2, 1));
        assert_eq!(phase(&journal), Phase::Attesting);
        assert_eq!(Flow::replay(&journal).unwrap().waits_for(), [EntityId([3; 20])]);
        assert_eq!(put(&mut journal, answer(1, 1)), [], "it has refused");
        let asked: Vec<_> = [1, 2, 3].map(|n| Effect::Reject(EntityId([n; 20]))).to_vec();
        assert_eq!(put(&mut journal, refusal(3)), asked, "all are told that nothing comes of it");
        let flow = Flow::replay(&journal).unwrap();
        assert_eq!((flow.phase, flow.ended().unwrap().code), (Phase::Ended, Code::Invariant));
    }

    #[test]
    fn an_attester_judges_once_it_has_the_signatures_and_signs_once() {
        let received = Received {
            flow_id: FlowId([1; 16]),
            from: BUILDER,
            role: stateset_ledger_types::codec::Text::new(ATTESTER).unwrap(),
            whole: attested(),
        };
        let entry = Entry::Received(Box::new(received));
        let flow = Flow::begin(&entry).unwrap();
        assert_eq!(super::super::follow(&flow, &entry), [Effect::Await(())], "it can't judge yet");
        let mut journal = vec![entry];
        let shown = |from| Input::Signatures(from, Box::new(none()));
        assert_eq!(put(&mut journal, shown(EntityId([1; 20]))), [], "of another");
        assert_eq!(put(&mut journal, shown(BUILDER)), [Effect::Judge(())]);
        assert_eq!(put(&mut journal, shown(BUILDER)), [], "once");
        let attested = Input::Attested(attestation(1, 1));
        assert_eq!(put(&mut journal, attested.clone()), [Effect::Answer(BUILDER), Effect::Await(())]);
        assert_eq!(put(&mut journal, attested), []);
        let reject = Reject::new(RejectCode::Declined, "never mind");
        assert_eq!(put(&mut journal, Input::Reject(BUILDER, reject)), []);
        assert_eq!(phase(&journal), Phase::Waiting);
    }
}
