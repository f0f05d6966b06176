//! What a node leaves with notaries for its own recovery (8.4, 8.5): capsules with their receipts; and, sealed to itself,
//! the transactions behind its own in which it has no part, so that it can be recovered when its peers are gone.

use std::collections::{BTreeMap, BTreeSet};

use stateset_ledger_types::codec::{Encode, List};
use stateset_ledger_types::hash::Domain;
use stateset_ledger_types::ids::TxId;
use stateset_ledger_types::{Code, Params, Refusal, StateKey};
use stateset_peer::message::{CAPSULE_BYTES_MAX, SignedTransaction, Whole};
use ves::hash::Hasher;

use crate::build::{Receipts, sealed};
use crate::capsule::{self, Seal};
use crate::effects::PIECES_TRIED_MAX;
use crate::error::NodeError;
use crate::flow::SealOf;
use crate::node::Node;

impl Node {
    /// Stores the capsules of `whole`. Returns the receipts, where the ledger asks for them.
    ///
    /// # Errors
    /// TOO_LARGE; [`NodeError::Chain`] where nobody keeps one.
    pub(crate) fn store_capsules(&self, whole: &Whole, seals: &[SealOf]) -> Result<Receipts, NodeError> {
        let mut receipts = Vec::new();
        for sealed in sealed(whole, seals).map_err(Refusal::from)? {
            let bytes = sealed.ciphertext.len();
            if bytes > CAPSULE_BYTES_MAX {
                let said = format!("a capsule of {bytes} bytes; notaries store {CAPSULE_BYTES_MAX} at most");
                return Err(Refusal::new(Code::TooLarge, said).into());
            }
            receipts.extend(self.ports.capsules.put(&sealed.ciphertext)?);
        }
        let height = self.ports.chain.tip()?.height;
        let params: Option<Params> = self.ledger().record(&StateKey::params(), height)?;
        if params.is_none_or(|params| params.capsules_required == 0) {
            return Ok(List::default());
        }
        List::new(receipts).map_err(|problem| Refusal::new(Code::TooLarge, problem).into())
    }

    /// Leaves a transaction of others with the notaries, sealed to this node.
    ///
    /// # Errors
    /// [`NodeError::Chain`] where nobody keeps it.
    pub(crate) fn back_up(&self, tx_id: &TxId, signed: &SignedTransaction) -> Result<(), NodeError> {
        // A certificate is proven anew by whoever needs one.
        let bare = SignedTransaction { certificate: None, ..signed.clone() };
        // Of the content: the same is sealed alike, and lies there once; another never under the same key.
        let content = Hasher::bare().bytes(&bare.to_sce()).finish();
        let ephemeral_secret = self.keys.derive(Domain::Backup, &content.0);
        let seal = Seal { view_key: self.keys.view_key(), ephemeral_secret };
        let sealed = capsule::seal_transaction(&self.config.chain_id, tx_id, &bare, &seal);
        let sealed = sealed.map_err(Refusal::from)?;
        if sealed.len() <= CAPSULE_BYTES_MAX {
            self.ports.capsules.lay_beside(tx_id, &sealed)?;
        }
        Ok(())
    }

    /// What [`back_up`](Self::back_up) left, of `wanted`. It is judged like what a peer serves.
    ///
    /// # Errors
    /// [`NodeError::Chain`].
    pub(crate) fn backed_up<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a TxId>,
    ) -> Result<BTreeMap<TxId, SignedTransaction>, NodeError> {
        let (chain_id, secret) = (&self.config.chain_id, self.keys.view_secret());
        let mut found = BTreeMap::new();
        for tx_id in wanted.into_iter().collect::<BTreeSet<_>>() {
            let pieces = self.ports.capsules.beside(tx_id)?;
            let mut opened = pieces.iter().take(PIECES_TRIED_MAX);
            let opened =
                opened.find_map(|sealed| capsule::open_transaction(chain_id, secret, tx_id, sealed).ok());
            found.extend(opened.map(|signed| (*tx_id, signed)));
        }
        Ok(found)
    }
}
