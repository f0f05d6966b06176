//! Receipts, Merkle trees, the state chain.

use ves::commitment;
use ves::ed25519::SigningKey;
use ves::merkle::{self, InclusionProof};
use ves::receipt;
use ves::{BatchId, Commitment, Digest, PublicKey, Receipt, SequenceNumber, SequencerId, TimestampMs};

use super::support::Entry;

/// Section 12.
pub fn receipt(entry: &Entry<'_>) {
    let (stream, event_id, number) = (entry.stream(), entry.get("event_id"), entry.get("sequence_number"));
    let signing_hash = entry.digest("event_signing_hash");
    let receipt_hash = receipt::receipt_hash(&stream, &event_id, number, &signing_hash);
    assert_eq!(receipt_hash, entry.digest("receipt_hash"));
    let signer = SigningKey::from_seed(entry.bytes("sequencer_secret_seed"));
    assert_eq!(signer.public_key(), entry.bytes("sequencer_public_key"));
    assert_eq!(signer.sign(&receipt_hash.0), entry.bytes("sequencer_signature"));
    let receipt = Receipt {
        sequencer_id: SequencerId::from_bytes([1; 16]),
        stream,
        event_id,
        sequence_number: number,
        sequenced_at: TimestampMs(0),
        receipt_hash,
        signature: Some(entry.bytes("sequencer_signature")),
        key_version: 1,
    };
    let key = PublicKey::from_bytes(&entry.bytes("sequencer_public_key")).unwrap();
    assert_eq!(receipt.verify(&signing_hash, &key), Ok(()));
    assert!(receipt.verify(&Digest([7; 32]), &key).is_err(), "a receipt of another event is accepted");
    let moved = Receipt { sequence_number: SequenceNumber(number.get() + 1), ..receipt };
    assert!(moved.verify(&signing_hash, &key).is_err(), "a receipt for another place is accepted");
}

/// Sections 13.1 to 13.3.
pub fn merkle(entry: &Entry<'_>) {
    assert_eq!(merkle::pad_leaf(), entry.digest("pad_leaf"));
    assert_eq!(merkle::root(&[]), entry.digest("empty_root"));
    let stream = entry.stream();
    let mut leaves = Vec::new();
    for leaf in entry.list("leaves") {
        let signature = leaf.bytes("agent_signature");
        let hash = merkle::leaf_hash(
            &stream,
            leaf.get("sequence_number"),
            &leaf.digest("event_signing_hash"),
            &signature,
        );
        assert_eq!(hash, leaf.digest("leaf_hash"), "{leaf}");
        leaves.push(hash);
    }
    assert_eq!(merkle::node_hash(&leaves[0], &leaves[1]), entry.digest("node_of_two_first_leaves"));
    for tree in entry.list("trees") {
        let count: u64 = tree.get("leaf_count");
        let root = merkle::root(&leaves[..count as usize]);
        assert_eq!(root, tree.digest("root"), "{tree}");
        assert_eq!(merkle::padded_count(count), tree.get::<u64>("padded_leaf_count"), "{tree}");
        assert_eq!(merkle::depth(count), tree.get::<u32>("tree_depth"), "{tree}");
        for item in tree.list("proofs") {
            let proof = InclusionProof { leaf_index: item.get("leaf_index"), path: item.get("proof_path") };
            assert_eq!(leaves[proof.leaf_index as usize], item.digest("leaf_hash"), "{item}");
            assert_eq!(proof.directions(), item.get::<Vec<bool>>("directions"), "{item}");
            assert_eq!(
                merkle::verify_inclusion(&item.digest("leaf_hash"), &root, Some(count), &proof),
                Ok(()),
                "{item}"
            );
        }
    }
}

/// Section 13.3.
pub fn merkle_rejected(entry: &Entry<'_>) {
    let proof = InclusionProof { leaf_index: entry.get("leaf_index"), path: entry.get("proof_path") };
    let count = Some(entry.get("leaf_count"));
    let verdict = merkle::verify_inclusion(&entry.digest("leaf_hash"), &entry.digest("root"), count, &proof);
    assert!(verdict.is_err(), "accepted");
}

/// Section 14.
pub fn state_chain(entry: &Entry<'_>) {
    let stream = entry.stream();
    let stream_id = commitment::stream_id(&stream);
    assert_eq!(stream_id, entry.digest("stream_id"));
    assert_eq!(commitment::stream_lock_key(&stream), entry.parsed::<i64>("stream_lock_key"));
    let mut previous: Option<Commitment> = None;
    for batch in entry.list("batches") {
        let (start, end) = (batch.get("sequence_start"), batch.get("sequence_end"));
        let (prev, root) = (batch.digest("prev_state_root"), batch.digest("merkle_root"));
        let count = batch.get("leaf_count");
        let expected = batch.digest("new_state_root");
        assert_eq!(commitment::state_root(&stream_id, &prev, &root, start, end, count), expected, "{batch}");
        let made =
            Commitment::new(BatchId::from_bytes([9; 16]), stream, prev, start, root, count, TimestampMs(0));
        assert_eq!((made.new_state_root, made.sequence_end), (expected, end), "{batch}");
        assert_eq!(made.check(), Ok(()), "{batch}");
        if let Some(previous) = &previous {
            assert_eq!(made.follows(Some(previous)), Ok(()), "{batch}");
            assert!(made.follows(None).is_err(), "{batch}: accepted as the first batch");
        }
        previous = Some(made);
    }
}
