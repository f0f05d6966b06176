//! Recovery (8.5): a vault made anew from the chain, the capsules and this node's keys. The same way a node learns of
//! transactions that it was never told of.

use serde::Serialize;
use stateset_ledger_types::ids::{EntityId, TxId};
use stateset_ledger_types::notary::{CapsuleEntry, CapsulePlace, NotaryRecord};
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::message::Whole;

use crate::capsule;
use crate::error::{ChainError, NodeError};
use crate::node::Node;
use crate::resolve::signed;
use crate::vault::entities;

/// How far the chain was searched for capsules.
const SEARCHED: &str = "searched";

/// What a recovery found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Capsules that were looked at.
    pub capsules: u64,
    /// Transactions that were opened, found valid and kept.
    pub recorded: Vec<TxId>,
    /// Transactions that were opened and not kept, with the reason.
    pub refused: Vec<(TxId, String)>,
    /// Unspent states at the end.
    pub unspent: usize,
    /// Height up to which the chain was searched.
    pub height: u64,
}

impl Node {
    /// Searches the chain from where the last search ended, in a new vault from its beginning, keeps what is this
    /// entity's, and asks of every unspent state whether it still is one, with a proof of absence.
    ///
    /// # Errors
    /// [`NodeError::Chain`]: search again later, it goes on.
    pub fn recover(&self) -> Result<Recovery, NodeError> {
        let _turn = self.take_turn();
        let tip = self.ports.chain.tip()?;
        let mut found = Recovery { height: tip.height, ..Recovery::default() };
        let searched = self.vault().number(SEARCHED)?;
        let height = searched.map_or(0, |height| height + 1);
        let mut next = (height <= tip.height).then_some(CapsulePlace { height, index: 0, n: 0 });
        while let Some(from) = next {
            let page = self.ports.chain.capsules(&from)?;
            for entry in page.entries.iter() {
                found.capsules += 1;
                if capsule::may_be_mine(self.keys.view_secret(), &entry.lookup) {
                    self.take(entry, tip.height, &mut found)?;
                }
            }
            next = page.next.filter(|next| *next > from && next.height <= tip.height);
            // What is searched is searched once, and after a stop it goes on there.
            let searched = next.map_or(tip.height, |next| next.height.saturating_sub(1));
            self.vault().set_number(SEARCHED, searched)?;
        }
        found.unspent = self.drop_consumed(tip.height)?;
        Ok(found)
    }

    /// Opens one capsule and keeps its transaction, if it is this entity's and holds.
    fn take(&self, entry: &CapsuleEntry, height: u64, found: &mut Recovery) -> Result<(), NodeError> {
        if self.vault().transaction(&entry.tx_id)?.is_some() {
            return Ok(());
        }
        let record = self.ledger().notarised(&entry.tx_id, height)?;
        let missing =
            || ChainError::NotProven(format!("a capsule names {}, which has no record", entry.tx_id));
        let record = record.ok_or_else(missing)?;
        // Above the searched height: found again when it is searched.
        if record.height > height {
            return Ok(());
        }
        match self.open_capsule(entry, &record) {
            Ok(None) => Ok(()),
            Ok(Some(whole)) => match self.keep(&entry.tx_id, &record, &whole) {
                Ok(()) => {
                    found.recorded.push(entry.tx_id);
                    Ok(())
                }
                Err(NodeError::Refused(refusal)) => {
                    found.refused.push((entry.tx_id, refusal.to_string()));
                    Ok(())
                }
                // What is behind a notarised transaction is notarised before it, or the transaction is none.
                Err(NodeError::Chain(behind @ ChainError::NotNotarised(_))) => {
                    found.refused.push((entry.tx_id, behind.to_string()));
                    Ok(())
                }
                Err(other) => Err(other),
            },
            Err(NodeError::Refused(refusal)) => {
                found.refused.push((entry.tx_id, refusal.to_string()));
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    /// `None`: sealed to another, whose view tag is the same by chance.
    fn open_capsule(&self, entry: &CapsuleEntry, record: &NotaryRecord) -> Result<Option<Whole>, NodeError> {
        let content = self.request_of(&entry.tx_id, record)?.content;
        let Some(ciphertext) = self.ports.capsules.get(&entry.ciphertext_hash)? else {
            let said = format!("capsule {} is not stored anywhere that was asked", entry.ciphertext_hash);
            return Err(Refusal::new(Code::CapsuleMissing, said).into());
        };
        let capsules: Vec<_> = content.capsules.iter().map(|shown| shown.component.clone()).collect();
        let (chain_id, secret) = (&self.config.chain_id, self.keys.view_secret());
        let groups = content.group_hashes();
        match capsule::open(chain_id, secret, &entry.lookup, &groups, &capsules, &ciphertext) {
            Ok(whole) => Ok(Some(whole)),
            Err(capsule::CapsuleError::NotMine) => Ok(None),
            Err(other) => Err(Refusal::from(other).into()),
        }
    }

    fn keep(&self, tx_id: &TxId, record: &NotaryRecord, whole: &Whole) -> Result<(), NodeError> {
        let none = || {
            let said = "its signatures lie nowhere that was asked";
            Refusal::new(Code::NotAuthorised, said)
        };
        let signatures = match crate::signing::command_keys(whole).is_empty() {
            true => crate::signing::none(stateset_peer::message::FlowId([0; 16]), *tx_id),
            false => self.stored_signatures(tx_id)?.ok_or_else(none)?,
        };
        // What is behind it and was never this entity's is asked of those who take part.
        let others: Vec<EntityId> = {
            let outputs = whole.body.body.outputs.iter().flat_map(entities);
            outputs.filter(|entity| *entity != self.entity()).collect()
        };
        self.resolve(whole, &others)?;
        let certificate = self.ports.chain.certificate(tx_id)?;
        let transaction = signed(whole, &signatures, certificate);
        let recorded = self.judge_notarised(tx_id, record, &transaction)?;
        self.vault().record(recorded)
    }

    /// Marks what the ledger says was consumed. Returns how many states are left.
    pub(crate) fn drop_consumed(&self, height: u64) -> Result<usize, NodeError> {
        let unspent = self.vault().unspent_keys()?;
        let mut left = unspent.len();
        for (place, spent) in unspent {
            if let Some(consumer) = self.ledger().consumer(&spent, height)? {
                self.vault().consumed(&place, &consumer)?;
                left -= 1;
            }
        }
        Ok(left)
    }
}
