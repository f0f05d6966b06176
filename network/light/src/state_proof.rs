//! ICS-23 proofs of the two-level tree (network.md 6.1).

use ics23::commitment_proof::Proof;
use ics23::{CommitmentProof, HashOp, HostFunctionsManager, InnerSpec, LeafOp, LengthOp, ProofSpec};

use stateset_ledger_types::StateKey;

/// The ICS-23 spec of both levels, as network.md 6.1 writes it.
pub fn tree_spec() -> ProofSpec {
    ProofSpec {
        leaf_spec: Some(LeafOp {
            hash: HashOp::Sha256.into(),
            prehash_key: HashOp::Sha256.into(),
            prehash_value: HashOp::Sha256.into(),
            length: LengthOp::NoPrefix.into(),
            prefix: b"JMT::LeafNode".to_vec(),
        }),
        inner_spec: Some(InnerSpec {
            child_order: vec![0, 1],
            child_size: 32,
            min_prefix_length: 16,
            max_prefix_length: 16,
            empty_child: b"SPARSE_MERKLE_PLACEHOLDER_HASH__".to_vec(),
            hash: HashOp::Sha256.into(),
        }),
        max_depth: 64,
        min_depth: 0,
        prehash_key_before_comparison: true,
    }
}

/// Whether the two proofs lead from `key` with `value`, or its absence, to `app_hash`.
pub(crate) fn leads(
    key: &StateKey,
    value: Option<&[u8]>,
    key_proof: &CommitmentProof,
    substore_proof: &CommitmentProof,
    app_hash: &[u8],
) -> bool {
    let spec = tree_spec();
    let Some(Proof::Exist(substore)) = &substore_proof.proof else { return false };
    let root = &substore.value;
    let name = key.substore.name().as_bytes();
    let of_key = match (value, &key_proof.proof) {
        (Some(value), Some(Proof::Exist(_))) => {
            ics23::verify_membership::<HostFunctionsManager>(key_proof, &spec, root, &key.path, value)
        }
        // The library does not look at the key that a proof of absence names.
        (None, Some(Proof::Nonexist(absent))) if absent.key == key.path => {
            ics23::verify_non_membership::<HostFunctionsManager>(key_proof, &spec, root, &key.path)
        }
        // Batches and compressed proofs are never made of this tree.
        _ => false,
    };
    let app_hash = app_hash.to_vec();
    root.len() == 32
        && of_key
        && ics23::verify_membership::<HostFunctionsManager>(substore_proof, &spec, &app_hash, name, root)
}
