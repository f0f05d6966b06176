//! Resolution (8.3): a transaction is accepted when every one behind it is notarised and valid, to the issuance or to one that
//! attesters vouch for whom this node trusts ([`trust`](crate::trust)). Each is judged as of the block that notarised it; those
//! found valid are kept and never judged again.

use std::collections::{BTreeMap, BTreeSet};

use stateset_contracts::Resolved;
use stateset_ledger_types::codec::{Encode, List, Set};
use stateset_ledger_types::ids::{EntityId, TxId};
use stateset_ledger_types::notary::{CertificateRecord, NotaryRecord};
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::message::{
    Answer, Content, GetTx, Question, Reject, RejectCode, Signatures, SignedTransaction, TRANSACTIONS_MAX,
    Tx, Whole,
};

use crate::error::{ChainError, NodeError};
use crate::node::Node;
use crate::ports::Tip;
use crate::signing;
use crate::vault::{Recorded, members};

/// The whole body of a transaction in the vault or from a peer.
///
/// # Errors
/// UNSUPPORTED for a tear-off: it is no ground to accept an output on.
pub fn whole_of(signed: &SignedTransaction) -> Result<&Whole, Refusal> {
    match &signed.content {
        Content::Whole(whole) => Ok(whole),
        Content::TearOff(_) => Err(Refusal::new(Code::Unsupported, "a tear-off is no whole transaction")),
    }
}

/// A transaction with its signatures, as it is kept and served.
pub fn signed(
    whole: &Whole,
    signatures: &Signatures,
    certificate: Option<CertificateRecord>,
) -> SignedTransaction {
    SignedTransaction {
        content: Content::Whole(Box::new(whole.clone())),
        signatures: signatures.business.clone(),
        spend: signatures.spend.clone(),
        bindings: signatures.bindings.clone(),
        attestations: signatures.attestations.clone(),
        certificate,
    }
}

pub(crate) fn signatures_of(signed: &SignedTransaction, tx_id: TxId) -> Signatures {
    Signatures {
        business: signed.signatures.clone(),
        spend: signed.spend.clone(),
        bindings: signed.bindings.clone(),
        attestations: signed.attestations.clone(),
        ..signing::none(stateset_peer::message::FlowId([0; 16]), tx_id)
    }
}

/// What was found behind a transaction.
enum Found {
    /// To be judged.
    Signed(Box<SignedTransaction>),
    /// Attesters vouch for it.
    Vouched(Box<Recorded>),
}

impl Node {
    /// The inputs of `whole`, from transactions that are in the vault.
    ///
    /// # Errors
    /// NOT_FOUND for an input of a transaction that is not, or beyond its outputs.
    pub(crate) fn inputs(&self, whole: &Whole) -> Result<Vec<Resolved>, NodeError> {
        let vault = self.vault();
        let mut inputs = Vec::new();
        for place in whole.body.body.inputs.iter() {
            let missing = || {
                let said = format!("input {}/{} is not resolved", place.tx_id, place.index);
                Refusal::new(Code::NotFound, said)
            };
            let transaction = vault.transaction(&place.tx_id)?.ok_or_else(missing)?;
            let made = whole_of(&transaction)?;
            inputs.push(Resolved::of(&made.body, &place.tx_id, place.index).ok_or_else(missing)?);
        }
        Ok(inputs)
    }

    /// The references of `whole`, among the states of the vault.
    ///
    /// # Errors
    /// NOT_FOUND for a state of others.
    pub(crate) fn references(&self, whole: &Whole) -> Result<Vec<Resolved>, NodeError> {
        let vault = self.vault();
        let mut references = Vec::new();
        for (index, tag) in whole.body.body.references.iter().enumerate() {
            let missing =
                || Refusal::new(Code::NotFound, format!("reference {index} is to no state of this vault"));
            let place = vault.place_of(tag)?.ok_or_else(missing)?;
            let transaction = vault.transaction(&place.tx_id)?.ok_or_else(missing)?;
            let made = whole_of(&transaction)?;
            references.push(Resolved::of(&made.body, &place.tx_id, place.index).ok_or_else(missing)?);
        }
        Ok(references)
    }

    /// Fetches what is missing behind `whole` from `peers`, judges it in the order of the ledger, and keeps it.
    ///
    /// # Errors
    /// BACKCHAIN_LIMIT, NOT_FOUND, and whatever refuses one of them; [`NodeError::Chain`], [`NodeError::Peer`].
    pub(crate) fn resolve(&self, whole: &Whole, peers: &[EntityId]) -> Result<Vec<Resolved>, NodeError> {
        let fetched = self.fetch_behind(whole, peers)?;
        let tip = self.ports.chain.tip()?;
        let mut order = Vec::new();
        for (tx_id, found) in fetched {
            match found {
                Found::Vouched(recorded) => self.keep_of_others(*recorded)?,
                Found::Signed(signed) => {
                    let record = self.ledger().notarised(&tx_id, tip.height)?;
                    order.push((record.ok_or(ChainError::NotNotarised(tx_id))?, tx_id, signed));
                }
            }
        }
        order.sort_by_key(|(record, ..)| (record.height, record.index));
        for (record, tx_id, signed) in order {
            let recorded = self.judge_notarised(&tx_id, &record, &signed)?;
            self.keep_of_others(recorded)?;
        }
        self.inputs(whole)
    }

    /// Keeps what is behind a transaction; with the notaries too, where no capsule brings it back.
    fn keep_of_others(&self, recorded: Recorded) -> Result<(), NodeError> {
        if !recorded.members.contains(&self.entity()) {
            self.back_up(&recorded.tx_id, &recorded.signed)?;
        }
        self.vault().record(recorded)
    }

    /// Breadth first, layer by layer, within the limits.
    fn fetch_behind(&self, whole: &Whole, peers: &[EntityId]) -> Result<BTreeMap<TxId, Found>, NodeError> {
        let (mut fetched, mut bytes) = (BTreeMap::new(), 0usize);
        let mut layer = self.unknown(whole, &mut fetched)?;
        let limit = |said: String| NodeError::from(Refusal::new(Code::BackchainLimit, said));
        while !layer.is_empty() {
            if fetched.len() + layer.len() > self.config.backchain_depth_max {
                let max = self.config.backchain_depth_max;
                return Err(limit(format!("more than {max} transactions are behind this one")));
            }
            let mut next = BTreeSet::new();
            for (tx_id, signed) in self.ask_for(&layer, peers)? {
                bytes += signed.to_sce().len();
                if bytes > self.config.backchain_bytes_max {
                    let max = self.config.backchain_bytes_max;
                    return Err(limit(format!(
                        "the transactions behind this one have more than {max} bytes"
                    )));
                }
                if let Some(recorded) = self.vouched(&tx_id, &signed)? {
                    fetched.insert(tx_id, Found::Vouched(Box::new(recorded)));
                    continue;
                }
                next.extend(self.unknown(whole_of(&signed)?, &mut fetched)?);
                fetched.insert(tx_id, Found::Signed(Box::new(signed)));
            }
            layer = next.into_iter().filter(|tx_id| !fetched.contains_key(tx_id)).collect();
        }
        Ok(fetched)
    }

    /// What is to be asked for behind `whole`. What the vault took on attesters' word, and may not any more, is put into
    /// `fetched`, to be judged with what is behind it.
    fn unknown(
        &self,
        whole: &Whole,
        fetched: &mut BTreeMap<TxId, Found>,
    ) -> Result<BTreeSet<TxId>, NodeError> {
        let mut unknown = BTreeSet::new();
        let mut looked: Vec<TxId> = whole.body.body.inputs.iter().map(|input| input.tx_id).collect();
        while let Some(tx_id) = looked.pop() {
            if fetched.contains_key(&tx_id) || unknown.contains(&tx_id) {
                continue;
            }
            if self.vault().transaction(&tx_id)?.is_none() {
                unknown.insert(tx_id);
                continue;
            }
            let vouched = self.vault().vouched_behind(&tx_id)?;
            for vouched in vouched {
                if fetched.contains_key(&vouched) {
                    continue;
                }
                let signed = self.vault().transaction(&vouched)?;
                let signed = signed.ok_or_else(|| Refusal::new(Code::NotFound, "it was there just now"))?;
                let behind = whole_of(&signed)?;
                if !self.may_stay_vouched(behind) {
                    looked.extend(behind.body.body.inputs.iter().map(|input| input.tx_id));
                    fetched.insert(vouched, Found::Signed(Box::new(signed)));
                }
            }
        }
        Ok(unknown)
    }

    /// Asks one peer after the other until all of `wanted` are there. Only what hashes to an id is taken for it.
    fn ask_for(
        &self,
        wanted: &BTreeSet<TxId>,
        peers: &[EntityId],
    ) -> Result<BTreeMap<TxId, SignedTransaction>, NodeError> {
        let (mut found, mut failed) = (BTreeMap::new(), None);
        for peer in peers {
            loop {
                let missing: Vec<TxId> =
                    wanted.iter().filter(|id| !found.contains_key(*id)).copied().collect();
                if missing.is_empty() {
                    return Ok(found);
                }
                let ids = Set::new(missing.into_iter().take(TRANSACTIONS_MAX))
                    .expect("no more than a question takes");
                let before = found.len();
                match self.ports.peers.ask(peer, &Question::Transactions(GetTx { ids })) {
                    Ok(Answer::Transactions(answer)) => {
                        for signed in answer.transactions.iter() {
                            let Ok(whole) = whole_of(signed) else { continue };
                            let tx_id = whole.body.tx_id(whole.mode);
                            if wanted.contains(&tx_id) {
                                found.insert(tx_id, signed.clone());
                            }
                        }
                    }
                    Ok(_) => {}
                    Err(error) => failed = Some(error),
                }
                if found.len() == before {
                    break;
                }
            }
        }
        let missing: Vec<TxId> = wanted.iter().filter(|id| !found.contains_key(*id)).copied().collect();
        found.extend(self.backed_up(&missing)?);
        if wanted.iter().all(|id| found.contains_key(id)) {
            return Ok(found);
        }
        // A peer that could not be asked may have it; one that has it not is an answer.
        match failed {
            Some(error) => Err(error.into()),
            None => {
                let id = wanted.iter().find(|id| !found.contains_key(*id)).expect("one is missing");
                Err(Refusal::new(Code::NotFound, format!("nobody who was asked serves {id}")).into())
            }
        }
    }

    /// Whether a notarised transaction is valid as of its block; its inputs are in the vault.
    ///
    /// # Errors
    /// [`NodeError::Refused`] with the code of the rule, NULLIFIER_MISMATCH among them; [`NodeError::Chain`].
    pub(crate) fn judge_notarised(
        &self,
        tx_id: &TxId,
        record: &NotaryRecord,
        signed: &SignedTransaction,
    ) -> Result<Recorded, NodeError> {
        let whole = whole_of(signed)?;
        let (inputs, references) = (self.inputs(whole)?, self.references(whole)?);
        let time_ms = self.ports.chain.block_time(record.height)?;
        let mut signed = signed.clone();
        self.add_attestations(tx_id, record, &mut signed)?;
        let signatures = signatures_of(&signed, *tx_id);
        let at = Tip { height: record.height, time_ms };
        self.ledger().judge(whole, Some(&signatures), &inputs, &references, at)?;
        Ok(Recorded {
            tx_id: *tx_id,
            height: record.height,
            index: record.index,
            time_ms,
            members: members(whole, &inputs),
            whole: whole.clone(),
            signed,
            vouched: false,
        })
    }

    /// Answers a peer from what the vault holds. Answers are made beside the work of flows.
    pub fn answer(&self, from: &EntityId, question: &Question) -> Answer {
        let answered = match question {
            Question::Transactions(get) => self.serve(from, get),
            Question::Recover(ask) => self.give_back(from, ask),
            _ => return Answer::Reject(Reject::new(RejectCode::NotFound, "this node does not serve that")),
        };
        answered.unwrap_or_else(|_| Answer::Reject(Reject::new(RejectCode::Internal, "the node failed")))
    }

    fn serve(&self, from: &EntityId, get: &GetTx) -> Result<Answer, NodeError> {
        /// Room for the transactions of one answer; the rest is asked for again.
        const ANSWER_BYTES_MAX: usize = 3 << 20;
        let vault = self.vault();
        let (mut transactions, mut refused, mut bytes) = (Vec::new(), Vec::new(), 0);
        for tx_id in get.ids.iter() {
            match vault.transaction(tx_id)? {
                Some(signed) if vault.may_see(from, tx_id)? => {
                    bytes += signed.to_sce().len();
                    if bytes > ANSWER_BYTES_MAX && !transactions.is_empty() {
                        break;
                    }
                    transactions.push(signed);
                }
                // Whether it is here is nobody's to know who has no part in it.
                _ => refused.push(*tx_id),
            }
        }
        let transactions = List::new(transactions).expect("no more than were asked for");
        let refused = Set::new(refused).expect("no more than were asked for");
        Ok(Answer::Transactions(Tx { transactions, refused }))
    }
}
