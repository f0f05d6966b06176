//! What capsules do not bring back is asked of counterparties (8.5, step 5): each gives what both take part in.

use stateset_ledger_types::codec::{Blob, Decode, Encode, List};
use stateset_ledger_types::ids::{EntityId, TxId};
use stateset_ledger_types::{Code, Refusal};
use stateset_peer::message::{Answer, Question, Recover, RecoverPage, SignedTransaction, TRANSACTIONS_MAX};

use crate::error::{ChainError, NodeError};
use crate::known::{filter, is_known};
use crate::node::Node;
use crate::recover::Recovery;
use crate::resolve::whole_of;
use crate::vault::Shared;

/// Room for the transactions of one page.
const PAGE_BYTES_MAX: usize = 3 << 20;
/// Most pages that are asked for: a peer can't keep a node busy for ever.
const PAGES_MAX: usize = 100_000;

impl Node {
    /// Asks `peer` for all that both take part in and this vault does not hold. Each is judged like any other; the peer is
    /// believed in nothing.
    ///
    /// # Errors
    /// [`NodeError::Peer`], [`NodeError::Chain`]: ask again later.
    pub fn recover_from(&self, peer: &EntityId) -> Result<Recovery, NodeError> {
        let _turn = self.take_turn();
        let tip = self.ports.chain.tip()?;
        let mut found = Recovery { height: tip.height, ..Recovery::default() };
        let known = filter(&self.vault().own_transactions()?);
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let ask = Recover { from_ms: 0, until_ms: None, known: known.clone(), after: after.clone() };
            let answer = self.ports.peers.ask(peer, &Question::Recover(Box::new(ask)))?;
            let Answer::Recover(page) = answer else {
                return Err(Refusal::new(Code::NotFound, format!("{peer} answers no recovery")).into());
            };
            for signed in page.transactions.iter() {
                self.take_back(peer, signed, tip.height, &mut found)?;
            }
            if page.next.is_none() || page.next == after {
                break;
            }
            after = page.next;
        }
        found.unspent = self.drop_consumed(tip.height)?;
        Ok(found)
    }

    fn take_back(
        &self,
        peer: &EntityId,
        signed: &SignedTransaction,
        height: u64,
        found: &mut Recovery,
    ) -> Result<(), NodeError> {
        let tx_id = {
            let Ok(whole) = whole_of(signed) else { return Ok(()) };
            whole.body.tx_id(whole.mode)
        };
        if self.vault().transaction(&tx_id)?.is_some() {
            return Ok(());
        }
        match self.keep_served(peer, &tx_id, signed, height) {
            Ok(()) => found.recorded.push(tx_id),
            Err(NodeError::Refused(refusal)) => found.refused.push((tx_id, refusal.to_string())),
            Err(NodeError::Chain(behind @ ChainError::NotNotarised(_))) => {
                found.refused.push((tx_id, behind.to_string()));
            }
            Err(other) => return Err(other),
        }
        Ok(())
    }

    fn keep_served(
        &self,
        peer: &EntityId,
        tx_id: &TxId,
        signed: &SignedTransaction,
        height: u64,
    ) -> Result<(), NodeError> {
        let record = self.ledger().notarised(tx_id, height)?.ok_or(ChainError::NotNotarised(*tx_id))?;
        self.resolve(whole_of(signed)?, &[*peer])?;
        let recorded = self.judge_notarised(tx_id, &record, signed)?;
        self.vault().record(recorded)
    }

    /// Answers a counterparty that recovers: what it and this entity both take part in.
    pub(crate) fn give_back(&self, from: &EntityId, ask: &Recover) -> Result<Answer, NodeError> {
        let after = ask.after.as_ref().and_then(<(u64, u32)>::from_place);
        let rows = self.vault().shared_with(from, ask.from_ms, ask.until_ms, after.unwrap_or_default())?;
        let (mut transactions, mut bytes, mut next) = (Vec::new(), 0, None);
        let more = rows.len() > TRANSACTIONS_MAX;
        let count = rows.len().min(TRANSACTIONS_MAX);
        for (n, row) in rows.into_iter().take(TRANSACTIONS_MAX).enumerate() {
            let Shared { place, tx_id, signed } = row;
            let size = signed.len();
            if bytes + size > PAGE_BYTES_MAX && !transactions.is_empty() {
                break;
            }
            bytes += size;
            // The place of the last one that was looked at; nothing behind the last row.
            next = (more || n + 1 < count).then(|| place.to_place());
            if !is_known(&ask.known, &tx_id) {
                let read = |problem| NodeError::Damaged { what: "transaction", problem };
                transactions.push(SignedTransaction::from_sce(&signed).map_err(read)?);
            }
        }
        let transactions = List::new(transactions).expect("no more than a page");
        Ok(Answer::Recover(RecoverPage { transactions, next }))
    }
}

/// A place in the order of the chain, as it stands in a page.
trait Place: Sized {
    fn to_place(&self) -> Blob<64>;
    fn from_place(place: &Blob<64>) -> Option<Self>;
}

impl Place for (u64, u32) {
    fn to_place(&self) -> Blob<64> {
        let mut bytes = self.0.to_sce();
        self.1.encode(&mut bytes);
        Blob::new(bytes).expect("twelve bytes")
    }
    fn from_place(place: &Blob<64>) -> Option<Self> {
        let (height, rest) = place.split_first_chunk()?;
        Some((u64::from_be_bytes(*height), u32::from_be_bytes(rest.try_into().ok()?)))
    }
}
