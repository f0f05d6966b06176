//! Cases about what a sequencer claims: receipts, batches, the log of the whole stream.

use serde_json::{Value, json};
use ves::checkpoint::Checkpoint;
use ves::ids::{SequencerId, StoreId, StreamKey, TenantId};
use ves::log::{self, LogTree};
use ves::tiles::NoTiles;
use ves::{Digest, SigningKey};

use crate::cases::{bad, case, good, with};

pub fn all(core: &Value) -> Vec<Value> {
    [receipts(core), leaves(core), inclusion(core), commitments(core), logs()].concat()
}

fn receipts(core: &Value) -> Vec<Value> {
    let (entry, event) = (&core["receipts"][0], &core["plain_events"][0]["event"]);
    let receipt = json!({
        "sequencerId": "00000000-0000-4000-8000-0000000000aa",
        "eventId": entry["event_id"],
        "sequenceNumber": entry["sequence_number"],
        "sequencedAt": "2026-01-02T03:04:06.000Z",
        "receiptHash": entry["receipt_hash"],
        "signatureAlg": "ed25519",
        "sequencerSignature": entry["sequencer_signature"],
        "sequencerKeyVersion": 1,
    });
    let base =
        json!({ "event": event, "receipt": receipt, "sequencer_public_key": entry["sequencer_public_key"] });
    let changed = |changes: Value| with(&base, json!({ "receipt": with(&receipt, changes) }));
    let unsigned = json!({ "signatureAlg": "none", "sequencerSignature": "" });
    let forged = SigningKey::from_seed([7; 32]).sign(&hex_bytes(&entry["receipt_hash"]));
    let other_event = &core["plain_events"][1]["event"];
    vec![
        good("verify_receipt", "receipt_0", base.clone(), json!({})),
        bad(
            "verify_receipt",
            "of_another_place",
            changed(json!({ "sequenceNumber": 200_434 })),
            "receipt_of_other_event",
        ),
        bad(
            "verify_receipt",
            "of_another_event",
            with(&base, json!({ "event": other_event })),
            "receipt_of_other_event",
        ),
        bad(
            "verify_receipt",
            "of_the_same_event_changed",
            with(&base, json!({ "event": with(event, json!({ "entity_id": "ID-1" })) })),
            "receipt_of_other_event",
        ),
        bad("verify_receipt", "unsigned", changed(unsigned), "receipt_unsigned"),
        bad(
            "verify_receipt",
            "signed_by_another",
            changed(json!({ "sequencerSignature": ves::hex::encode(&forged) })),
            "receipt_invalid_signature",
        ),
        bad(
            "verify_receipt",
            "key_of_small_order",
            with(&base, json!({ "sequencer_public_key": "00".repeat(32) })),
            "unusable_key",
        ),
    ]
}

fn hex_bytes(text: &Value) -> Vec<u8> {
    ves::hex::decode_vec(text.as_str().expect("hex text")).expect("hex")
}

fn leaves(core: &Value) -> Vec<Value> {
    let numbers = [1u64, 200_433, 9_007_199_254_740_991];
    let pick = |n: usize| if n == 2 { &core["encrypted_events"][0] } else { &core["plain_events"][n] };
    let one = |n: usize| {
        let entry = pick(n);
        let input = json!({ "event": entry["event"], "sequence_number": numbers[n] });
        let stream = StreamKey {
            tenant_id: serde_json::from_value(entry["event"]["tenant_id"].clone()).unwrap(),
            store_id: serde_json::from_value(entry["event"]["store_id"].clone()).unwrap(),
        };
        let signature: [u8; 64] = hex_bytes(&entry["agent_signature"]).try_into().unwrap();
        let hash: Digest = serde_json::from_value(entry["event_signing_hash"].clone()).unwrap();
        let leaf = ves::merkle::leaf_hash(&stream, ves::SequenceNumber(numbers[n]), &hash, &signature);
        good("leaf_hash", &format!("at_{}", numbers[n]), input, json!({ "leaf_hash": leaf }))
    };
    (0..numbers.len()).map(one).collect()
}

fn inclusion(core: &Value) -> Vec<Value> {
    let mut cases = Vec::new();
    for tree in core["merkle"]["trees"].as_array().unwrap() {
        for proof in tree["proofs"].as_array().unwrap() {
            let name = format!("leaf_{}_of_{}", proof["leaf_index"], tree["leaf_count"]);
            let input = json!({
                "leaf_hash": proof["leaf_hash"], "leaf_index": proof["leaf_index"], "leaf_count": tree["leaf_count"],
                "proof_path": proof["proof_path"], "merkle_root": tree["root"],
            });
            cases.push(good("verify_inclusion", &name, input, json!({})));
        }
    }
    let base = cases.last().unwrap()["input"].clone();
    for entry in core["merkle_rejects"].as_array().unwrap() {
        let input = json!({
            "leaf_hash": entry["leaf_hash"], "leaf_index": entry["leaf_index"], "leaf_count": entry["leaf_count"],
            "proof_path": entry["proof_path"], "merkle_root": entry["root"],
        });
        let case = case("verify_inclusion", entry["name"].as_str().unwrap(), input);
        assert!(case.get("error").is_some(), "{case}");
        cases.push(case);
    }
    let mut long = base["proof_path"].as_array().unwrap().clone();
    long.push(long[0].clone());
    let many = vec![long[0].clone(); 65];
    for (name, changes, code) in [
        ("path_too_long", json!({ "proof_path": long }), "proof_wrong_length"),
        ("path_of_65", json!({ "proof_path": many }), "proof_wrong_length"),
        ("no_path", json!({ "proof_path": [] }), "proof_wrong_length"),
        ("no_leaves", json!({ "leaf_count": 0 }), "proof_index_out_of_range"),
        ("index_is_the_count", json!({ "leaf_index": 8 }), "proof_index_out_of_range"),
        ("another_root", json!({ "merkle_root": "00".repeat(32) }), "proof_root_mismatch"),
    ] {
        cases.push(bad("verify_inclusion", name, with(&base, changes), code));
    }
    cases
}

fn commitments(core: &Value) -> Vec<Value> {
    let chain = &core["state_chain"];
    let mut cases = Vec::new();
    for (n, batch) in chain["batches"].as_array().unwrap().iter().enumerate() {
        let count = batch["leaf_count"].as_u64().unwrap();
        let commitment = with(
            batch,
            json!({
                "tenant_id": chain["tenant_id"], "store_id": chain["store_id"], "ves_version": 1,
                "padded_leaf_count": ves::merkle::padded_count(count), "tree_depth": ves::merkle::depth(count),
            }),
        );
        cases.push(good(
            "check_commitment",
            &format!("batch_{n}"),
            json!({ "commitment": commitment }),
            json!({}),
        ));
    }
    let base = cases[0]["input"]["commitment"].clone();
    for (name, changes, code) in [
        ("another_version", json!({ "ves_version": 2 }), "unsupported_version"),
        ("range_of_another_length", json!({ "sequence_end": 4 }), "commitment_wrong_range"),
        ("empty_range", json!({ "leaf_count": 0, "sequence_end": 0 }), "commitment_wrong_range"),
        ("another_depth", json!({ "tree_depth": 3 }), "commitment_wrong_shape"),
        ("another_history", json!({ "prev_state_root": "11".repeat(32) }), "commitment_wrong_state_root"),
        ("another_stream", json!({ "store_id": chain["tenant_id"] }), "commitment_wrong_state_root"),
    ] {
        cases.push(bad("check_commitment", name, json!({ "commitment": with(&base, changes) }), code));
    }
    cases
}

fn logs() -> Vec<Value> {
    let stream =
        StreamKey { tenant_id: TenantId::from_bytes([0x11; 16]), store_id: StoreId::from_bytes([0x22; 16]) };
    let leaves: Vec<Digest> = (0..13u8).map(|n| Digest([n; 32])).collect();
    let trees: Vec<LogTree> = (0..=leaves.len())
        .map(|size| {
            let mut tree = LogTree::new();
            leaves[..size].iter().for_each(|leaf| drop(tree.push(leaf)));
            tree
        })
        .collect();
    [checkpoints(&stream, &trees[13]), log_inclusion(&leaves, &trees), consistency(&trees)].concat()
}

fn checkpoints(stream: &StreamKey, tree: &LogTree) -> Vec<Value> {
    let (signer, sequencer) = (SigningKey::from_seed([3; 32]), SequencerId::from_bytes([0x33; 16]));
    let says = Checkpoint::for_stream(stream, 13, tree.root());
    let text = says.sign(&sequencer, &signer).unwrap();
    let base = json!({
        "text": text, "tenant_id": stream.tenant_id, "store_id": stream.store_id, "sequencer_id": sequencer,
        "sequencer_public_key": ves::hex::encode(&signer.public_key()),
    });
    let other = SigningKey::from_seed([4; 32]);
    let other_line = says.sign(&sequencer, &other).unwrap();
    let witnessed = format!("{text}{}", other_line.split_once("\n\n").unwrap().1);
    let changed = |from: &str, to: &str| json!({ "text": text.replacen(from, to, 1) });
    let mut cases = vec![
        good("verify_checkpoint", "signed", base.clone(), json!({ "size": 13, "root": tree.root() })),
        good(
            "verify_checkpoint",
            "with_a_witness",
            with(&base, json!({ "text": witnessed })),
            json!({ "size": 13, "root": tree.root() }),
        ),
    ];
    let key = ves::hex::encode(&other.public_key());
    for (name, changes, code) in [
        ("another_size", changed("\n13\n", "\n12\n"), "checkpoint_invalid_signature"),
        ("zero_before_the_size", changed("\n13\n", "\n013\n"), "checkpoint_malformed"),
        ("no_signature", json!({ "text": says.body() }), "checkpoint_malformed"),
        ("no_line_end", json!({ "text": text.trim_end() }), "checkpoint_malformed"),
        ("empty", json!({ "text": "" }), "checkpoint_malformed"),
        ("of_another_stream", json!({ "store_id": stream.tenant_id }), "checkpoint_of_other_stream"),
        ("by_another_sequencer", json!({ "sequencer_id": stream.tenant_id }), "checkpoint_by_other_key"),
        ("by_another_key", json!({ "sequencer_public_key": key }), "checkpoint_by_other_key"),
    ] {
        cases.push(bad("verify_checkpoint", name, with(&base, changes), code));
    }
    cases
}

fn log_inclusion(leaves: &[Digest], trees: &[LogTree]) -> Vec<Value> {
    let mut cases = Vec::new();
    for (number, size) in [(1, 1), (1, 2), (3, 3), (2, 7), (7, 7), (8, 13), (13, 13)] {
        let hashes = log::inclusion_proof(&trees[size], number as u64 - 1, size as u64, &NoTiles).unwrap();
        let input = json!({
            "leaf_hash": leaves[number - 1], "sequence_number": number, "size": size, "root": trees[size].root(), "hashes": hashes,
        });
        cases.push(good("verify_log_inclusion", &format!("event_{number}_of_{size}"), input, json!({})));
    }
    let base = cases[5]["input"].clone();
    let mut long = base["hashes"].as_array().unwrap().clone();
    long.push(long[0].clone());
    for (name, changes, code) in [
        ("another_place", json!({ "sequence_number": 9 }), "proof_root_mismatch"),
        ("beyond_the_log", json!({ "sequence_number": 14 }), "proof_index_out_of_range"),
        ("another_leaf", json!({ "leaf_hash": "ee".repeat(32) }), "proof_root_mismatch"),
        ("one_hash_too_many", json!({ "hashes": long }), "proof_wrong_length"),
        ("no_hashes", json!({ "hashes": [] }), "proof_wrong_length"),
    ] {
        cases.push(bad("verify_log_inclusion", name, with(&base, changes), code));
    }
    cases
}

fn consistency(trees: &[LogTree]) -> Vec<Value> {
    let mut cases = Vec::new();
    for (from, to) in [(0, 0), (0, 5), (1, 2), (2, 5), (3, 7), (4, 8), (6, 13), (8, 13), (13, 13)] {
        let hashes = log::consistency_proof(&trees[to], from as u64, to as u64, &NoTiles).unwrap();
        let input = json!({
            "from": from, "to": to, "from_root": trees[from].root(), "to_root": trees[to].root(), "hashes": hashes,
        });
        cases.push(good("verify_consistency", &format!("from_{from}_to_{to}"), input, json!({})));
    }
    let base = cases[6]["input"].clone();
    let other = "ee".repeat(32);
    let mut long = base["hashes"].as_array().unwrap().clone();
    long.push(long[0].clone());
    for (name, changes, code) in [
        ("another_history", json!({ "from_root": other }), "proof_root_mismatch"),
        ("another_present", json!({ "to_root": other }), "proof_root_mismatch"),
        ("backwards", json!({ "from": 13, "to": 6 }), "proof_index_out_of_range"),
        ("one_hash_too_many", json!({ "hashes": long }), "proof_wrong_length"),
        ("no_hashes", json!({ "hashes": [] }), "proof_wrong_length"),
        ("same_size_two_roots", json!({ "to": 6, "to_root": other, "hashes": [] }), "proof_root_mismatch"),
        ("from_nothing_with_a_root", json!({ "from": 0, "hashes": [] }), "proof_root_mismatch"),
    ] {
        cases.push(bad("verify_consistency", name, with(&base, changes), code));
    }
    cases
}
