//! The legacy stream, x402 payments, compliance and validity inputs, encryption at rest.

use std::collections::BTreeMap;

use ves::at_rest::{self, Keyring, Mode, ProofRecord};
use ves::compliance::{self, Bindings, EventFacts, Policy};
use ves::ed25519::SigningKey;
use ves::hex::Format;
use ves::x402::{self, Asset, Network, SequencedIntent, Terms};
use ves::{Commitment, Digest, PublicKey, StreamKey, TimestampMs, legacy, validity};

use super::support::Entry;

/// Roots and proofs of the tree that section 15 and section 16.2 share.
fn bare_trees(entry: &Entry<'_>, leaves: &[Digest], check: impl Fn(&Entry<'_>, &Digest)) {
    for tree in entry.list("trees") {
        let count: usize = tree.get("leaf_count");
        let leaves = &leaves[..count];
        let root = legacy::root(leaves);
        assert_eq!(root, tree.digest("root"), "{tree}");
        check(&tree, &root);
        for (index, path) in tree.get::<Vec<Vec<Digest>>>("proofs").into_iter().enumerate() {
            assert_eq!(legacy::inclusion_path(leaves, index), Some(path.clone()), "{tree} leaf {index}");
            let verify = |leaf| legacy::verify_inclusion(leaf, &root, count as u64, index as u64, &path);
            assert_eq!(verify(&leaves[index]), Ok(()), "{tree} leaf {index}");
            assert!(verify(&Digest::ZERO).is_err(), "{tree} leaf {index}: another leaf is accepted");
        }
    }
}

/// Section 15.
pub fn legacy(entry: &Entry<'_>) {
    let stream = entry.stream();
    let mut leaves = Vec::new();
    for leaf in entry.list("leaves") {
        let (entity_type, entity_id) = (leaf.text("entity_type"), leaf.text("entity_id"));
        let number = leaf.get("sequence_number");
        let hash = legacy::leaf_hash(&stream, number, &leaf.digest("payload_hash"), &entity_type, &entity_id);
        assert_eq!(hash, leaf.digest("leaf_hash"), "{leaf}");
        leaves.push(hash);
    }
    bare_trees(entry, &leaves, |_, _| {});
    let entities: Vec<(String, String, i64)> = entry.get("entities");
    let versions: BTreeMap<_, _> =
        entities.iter().map(|(kind, id, version)| ((kind.as_str(), id.as_str()), *version)).collect();
    assert_eq!(legacy::state_root(&stream, &versions), entry.digest("state_root"));
}

/// Section 16.
pub fn x402(entry: &Entry<'_>) {
    let stream = entry.stream();
    let batch_id = entry.get("batch_id");
    let signer = SigningKey::from_seed(entry.bytes("payer_secret_seed"));
    assert_eq!(signer.public_key(), entry.bytes("payer_public_key"));
    let key = PublicKey::from_bytes(&signer.public_key()).unwrap();
    let leaves: Vec<Digest> =
        entry.list("intents").iter().map(|intent| intent_leaf(intent, &signer, &key)).collect();
    bare_trees(entry, &leaves, |tree, root| {
        assert_eq!(x402::batch_state_root(&stream, &batch_id, root), tree.digest("new_state_root"), "{tree}");
    });
}

fn intent_leaf(intent: &Entry<'_>, signer: &SigningKey, key: &PublicKey) -> Digest {
    let terms = Terms {
        payer: intent.text("payer_address"),
        payee: intent.text("payee_address"),
        amount: intent.get("amount"),
        asset: Asset::from_text(&intent.text("asset")).expect("asset"),
        network: Network::from_text(&intent.text("network")).expect("network"),
        valid_until_s: intent.get("valid_until"),
        nonce: intent.u64("nonce"),
    };
    assert_eq!(terms.network.chain_id(), intent.get::<u64>("chain_id"), "{intent}");
    let hash = terms.signing_hash();
    let signature = intent.bytes("payer_signature");
    assert_eq!(hash, intent.digest("signing_hash"), "{intent}");
    assert_eq!(signer.sign(&hash.0), signature, "{intent}");
    assert_eq!(terms.check(terms.valid_until_s, Format::Strict), Ok(()), "{intent}");
    assert_eq!(terms.check_consent(&hash, key, &signature), Ok(()), "{intent}");
    let changed = Terms { amount: terms.amount + 1, ..terms.clone() };
    assert!(changed.check_consent(&hash, key, &signature).is_err(), "{intent}: another amount is accepted");
    assert!(changed.check_consent(&changed.signing_hash(), key, &signature).is_err(), "{intent}");
    let sequence_number = intent.get("sequence_number");
    let leaf = SequencedIntent {
        intent_id: intent.get("intent_id"),
        sequence_number,
        terms,
        signing_hash: hash,
        payer_signature: signature,
    };
    assert_eq!(leaf.leaf_hash(), intent.digest("leaf_hash"), "{intent}");
    leaf.leaf_hash()
}

/// Section 17.1.
pub fn policy_hash(entry: &Entry<'_>) {
    let policy = Policy::new(&entry.text("policy_id"), Some(entry.json("policy_params"))).unwrap();
    assert_eq!(policy.canonical(), entry.text("canonical"));
    assert_eq!(policy.hash(), entry.digest("policy_hash"));
}

/// The event that camelCase inputs name.
fn facts(inputs: &Entry<'_>) -> EventFacts {
    EventFacts {
        event_id: inputs.get("eventId"),
        stream: StreamKey { tenant_id: inputs.get("tenantId"), store_id: inputs.get("storeId") },
        sequence_number: inputs.get("sequenceNumber"),
        payload_kind: inputs.get("payloadKind"),
        payload_plain_hash: inputs.digest("payloadPlainHash"),
        payload_cipher_hash: inputs.digest("payloadCipherHash"),
        event_signing_hash: inputs.digest("eventSigningHash"),
    }
}

/// Sections 17.2 and 18.
pub fn public_inputs(entry: &Entry<'_>) {
    let inputs = &entry.list("inputs")[0];
    let hash = entry.digest("public_inputs_hash");
    assert_eq!(ves::json::canonicalize(entry.json("inputs")).unwrap(), entry.text("canonical"));
    assert_eq!(compliance::public_inputs_hash(entry.json("inputs")), Ok(hash));
    if inputs.has("batchId") {
        let made = validity::PublicInputs::of(&batch(inputs)).unwrap();
        assert_eq!(made.canonical(), entry.text("canonical"));
        assert_eq!(made.hash(), hash);
        let wrong = Commitment { leaf_count: 1000, ..batch(inputs) };
        assert!(validity::PublicInputs::of(&wrong).is_err(), "a wrong leaf count is accepted");
        return;
    }
    let policy = Policy::new(&inputs.text("policyId"), Some(inputs.json("policyParams"))).unwrap();
    assert_eq!(policy.hash(), inputs.digest("policyHash"));
    let bindings = Bindings {
        amount_binding_hash: inputs.has("amountBindingHash").then(|| inputs.digest("amountBindingHash")),
        authorization_receipt_hash: inputs
            .has("authorizationReceiptHash")
            .then(|| inputs.digest("authorizationReceiptHash")),
    };
    let own = facts(inputs).public_inputs(&policy, &bindings);
    assert_eq!(own, entry.text("canonical"));
    assert_eq!(compliance::check_public_inputs(entry.json("inputs"), &own), Ok(()));
    let other = own.replace("\"payloadKind\":", "\"payloadKind\":1");
    assert!(compliance::check_public_inputs(&other, &own).is_err(), "other inputs are accepted");
}

fn batch(inputs: &Entry<'_>) -> Commitment {
    assert!(inputs.get::<bool>("allCompliant"));
    assert_eq!((inputs.digest("policyHash"), inputs.get::<u64>("policyLimit")), (Digest::ZERO, 0));
    Commitment {
        batch_id: inputs.get("batchId"),
        stream: StreamKey { tenant_id: inputs.get("tenantId"), store_id: inputs.get("storeId") },
        ves_version: inputs.get("vesVersion"),
        tree_depth: inputs.get("treeDepth"),
        leaf_count: inputs.get("leafCount"),
        padded_leaf_count: inputs.get("paddedLeafCount"),
        merkle_root: inputs.digest("merkleRoot"),
        prev_state_root: inputs.digest("prevStateRoot"),
        new_state_root: inputs.digest("newStateRoot"),
        sequence_start: inputs.get("sequenceStart"),
        sequence_end: inputs.get("sequenceEnd"),
        committed_at: TimestampMs(0),
    }
}

/// Section 17.3.
pub fn amount_binding(entry: &Entry<'_>) {
    let facts = facts(&entry.list("inputs")[0]);
    let amount: u64 = entry.get("amount");
    assert_eq!(facts.amount_binding(amount), entry.digest("binding_hash"));
    assert_ne!(facts.amount_binding(amount + 1), entry.digest("binding_hash"));
}

/// Sections 17.4 and 18.
pub fn proof_hashes(entry: &Entry<'_>) {
    let proof = entry.hex("proof");
    assert_eq!(compliance::proof_hash(&proof), entry.digest("compliance"));
    assert_eq!(validity::proof_hash(&proof), entry.digest("validity"));
}

/// Section 19.
pub fn at_rest(entry: &Entry<'_>) {
    let (stream, event_id) = (entry.stream(), entry.get("event_id"));
    let aad = at_rest::payload_aad(
        &stream,
        &event_id,
        entry.get("sequence_number"),
        &entry.text("entity_type"),
        &entry.text("entity_id"),
        &entry.text("event_type"),
    );
    assert_eq!(aad, entry.digest("aad"));
    let (keys, plaintext, blob) =
        (Keyring::new(entry.bytes("key"), &[]), entry.hex("plaintext"), entry.hex("blob"));
    assert_eq!(at_rest::seal(&keys, entry.bytes("nonce"), &aad, &plaintext).as_ref(), Ok(&blob));
    assert_eq!(at_rest::open(&keys, Mode::Required, &aad, &blob).unwrap().as_ref(), plaintext);
    assert!(at_rest::open(&keys, Mode::Optional, &Digest::ZERO, &blob).is_err(), "opens in another place");
    proof_aads(entry, &stream);
}

/// The two proof contexts of section 19; the proof they hold is that of the section `proof_hashes`.
fn proof_aads(entry: &Entry<'_>, stream: &StreamKey) {
    let (proof_type, proofs) = (entry.text("proof_type"), entry.section("proof_hashes"));
    let record = |proof_hash| ProofRecord {
        proof_id: entry.get("proof_id"),
        proof_type: &proof_type,
        proof_version: entry.get("proof_version"),
        proof_hash,
    };
    let aad = at_rest::validity_aad(stream, &entry.get("batch_id"), &record(proofs.digest("validity")));
    assert_eq!(aad, entry.digest("validity_aad"), "validity_aad");
    let (event_id, policy_hash) = (entry.get("event_id"), entry.digest("policy_hash"));
    let aad = at_rest::compliance_aad(stream, &event_id, &policy_hash, &record(proofs.digest("compliance")));
    assert_eq!(aad, entry.digest("compliance_aad"), "compliance_aad");
}
