//! The contract that batches are written to: one slot for each batch, or one for a root over many.

use set_registry::{
    Address, BatchFate, BatchRecord, Bytes, Node, PublishedRoot, Receipt, Registry, ViewError,
};

use crate::flight::{BatchKey, key_of};
use crate::history::History;
use crate::plan::BATCHES_MAX;
use crate::trouble::Trouble;

/// Where a service writes.
pub(crate) enum Ledger {
    /// `SetRegistry`: it keeps each batch, and refuses what does not continue its stream.
    Each(Registry),
    /// `StateSetAnchor`: it keeps a root over many batches; what continues is read from its history.
    Together(Box<History>),
}

impl Ledger {
    pub fn node(&self) -> &Node {
        match self {
            Self::Each(registry) => registry.node(),
            Self::Together(history) => history.roots().node(),
        }
    }

    pub fn address(&self) -> Address {
        match self {
            Self::Each(registry) => registry.address(),
            Self::Together(history) => history.roots().address(),
        }
    }

    pub fn check_interface(&self) -> Result<(), ViewError> {
        match self {
            Self::Each(registry) => registry.check_interface(),
            Self::Together(history) => history.roots().check_interface(),
        }
    }

    pub fn is_paused(&self) -> Result<bool, ViewError> {
        match self {
            Self::Each(registry) => registry.is_paused(),
            Self::Together(history) => history.roots().is_paused(),
        }
    }

    /// Batches in one transaction.
    pub fn batches_max(&self) -> usize {
        match self {
            Self::Each(_) => BATCHES_MAX,
            Self::Together(_) => set_registry::ROOT_BATCHES_MAX,
        }
    }

    /// Input of the transaction that anchors the batches; the same for the same batches.
    ///
    /// # Panics
    /// Where batches overlap or are more than [`Ledger::batches_max`], which no plan has.
    pub fn input(&self, batches: &[BatchRecord]) -> Bytes {
        match self {
            Self::Each(_) => Registry::commit_input(batches),
            Self::Together(_) => PublishedRoot::new(batches).expect("a plan has distinct batches").input(),
        }
    }

    /// Which of its batches a transaction anchored. Its status does not tell: what is anchored already is passed over.
    pub fn anchored(&self, receipt: &Receipt, account: Address, batches: &[BatchRecord]) -> Vec<BatchKey> {
        match self {
            Self::Each(registry) => {
                let fates = registry.fates(receipt, account, batches);
                let committed = batches.iter().zip(fates).filter(|(_, fate)| *fate == BatchFate::Committed);
                committed.map(|(batch, _)| key_of(batch)).collect()
            }
            Self::Together(history) => {
                let root = PublishedRoot::new(batches).map(|published| published.root());
                let is_anchored = |root| history.roots().has_anchored(receipt, account, &root);
                match root.is_some_and(is_anchored) {
                    true => batches.iter().map(key_of).collect(),
                    false => Vec::new(),
                }
            }
        }
    }

    /// Batches that the registry passed over for what they are, and its words. Other reasons are seen in the chain's state.
    pub fn refused(
        &self,
        receipt: &Receipt,
        account: Address,
        batches: &[BatchRecord],
    ) -> Vec<(BatchKey, String)> {
        let Self::Each(registry) = self else { return Vec::new() };
        let fates = batches.iter().zip(registry.fates(receipt, account, batches));
        let of_batch = |(batch, fate)| match fate {
            BatchFate::Refused(refusal) if refusal.is_of_batch() => {
                Some((key_of(batch), refusal.to_string()))
            }
            _ => None,
        };
        fates.filter_map(of_batch).collect()
    }

    /// That the contract is not there.
    pub fn missing(&self, problem: String) -> Trouble {
        let address = self.address();
        match self {
            Self::Each(_) => Trouble::NoRegistry { address, problem },
            Self::Together(_) => Trouble::NoAnchor { address, problem },
        }
    }
}
