//! Proofs of presence and absence: the key in its substore, then the substore in the app hash (network.md 6.1).

use ics23::CommitmentProof;
use jmt::Sha256Jmt;
use prost::Message;

use crate::error::damaged;
use crate::node::TreeNodes;
use crate::rows::ROOT_TREE;
use stateset_ledger_types::Substore;

use crate::{StoreError, View};

/// The ICS-23 spec of both levels. Client states that track the chain use `[tree_spec(), tree_spec()]`.
pub fn tree_spec() -> ics23::ProofSpec {
    jmt::ics23_spec()
}

/// What a substore holds at a key, at one height, provable against the header of the next.
#[derive(Debug, Clone, PartialEq)]
pub struct StateProof {
    pub substore: Substore,
    pub key: Vec<u8>,
    /// `None`: the proof shows absence.
    pub value: Option<Vec<u8>>,
    /// Height of the state. The app hash it leads to stands in the header of `height + 1`.
    pub height: u64,
    /// The key under the substore's root.
    pub key_proof: CommitmentProof,
    /// The substore's name and root under the app hash.
    pub substore_proof: CommitmentProof,
}

impl StateProof {
    /// The two proofs as protobuf bytes, key first: the order of proof operations in a query response and in IBC.
    pub fn encoded(&self) -> [Vec<u8>; 2] {
        [self.key_proof.encode_to_vec(), self.substore_proof.encode_to_vec()]
    }
}

impl View {
    /// Proves what `substore` holds at `key`. Proofs of absence show both neighbours of the key, with their values.
    ///
    /// # Errors
    /// [`StoreError::EmptyKey`]; [`StoreError::Corrupt`] when nodes or keys are missing.
    pub fn prove(&self, substore: Substore, key: &[u8]) -> Result<StateProof, StoreError> {
        if key.is_empty() {
            return Err(StoreError::EmptyKey { substore });
        }
        let tree = &self.roots.substores[substore as usize];
        let nodes = TreeNodes::new(&self.tables, substore as u8, self.height);
        let (value, key_proof) =
            Sha256Jmt::new(&nodes).get_with_ics23_proof(key.to_vec(), tree.version).map_err(damaged)?;

        let nodes = TreeNodes::new(&self.tables, ROOT_TREE, self.height);
        let (root, substore_proof) = Sha256Jmt::new(&nodes)
            .get_with_ics23_proof(substore.name().into(), self.roots.app.version)
            .map_err(damaged)?;
        if root.as_deref() != Some(&tree.hash) {
            return Err(StoreError::Corrupt(format!(
                "the root tree holds another root of substore {substore}"
            )));
        }
        Ok(StateProof { substore, key: key.to_vec(), value, height: self.height, key_proof, substore_proof })
    }
}
