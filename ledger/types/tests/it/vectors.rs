//! C2: the worked values of section 17, and `testing/vectors/ledger`, which other implementations can read.
//! `UPDATE_GOLDEN=1 cargo test -p stateset-ledger-types` takes a change over.

use std::path::Path;

use serde_json::{Value, json};
use stateset_ledger_types::codec::Encode;
use stateset_ledger_types::ids::{LinearId, StateRef, TxId};
use stateset_ledger_types::keys::{
    PublicKey, Purpose, Scheme, attest_message, blob_message, business_message,
};
use stateset_ledger_types::policy::{self, Policy, spend_message};
use stateset_ledger_types::tearoff::TearOff;
use stateset_ledger_types::tree::{GROUPS, Group, Mode, Salt, core_id, group_hash, leaf, pad, tree, tx_id};
use ves::Digest;
use ves::hex::encode;

use crate::build;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testing/vectors/ledger");

fn salt() -> Salt {
    Salt(std::array::from_fn(|i| i as u8))
}

/// Section 17, row by row: name, what we compute, what the specification says.
fn worked_values() -> Vec<(&'static str, String, &'static str)> {
    let salt = salt();
    let hello = b"hello-state".as_slice();
    let header = build::header().to_sce();
    let none: [&[u8]; 0] = [];
    let groups: [Digest; GROUPS] = std::array::from_fn(|g| match Group::ALL[g] {
        group @ Group::Outputs => group_hash(group, &salt, &[hello]),
        group @ Group::Header => group_hash(group, &salt, &[&header]),
        group => group_hash(group, &salt, &none),
    });
    let id = tx_id(&build::chain(), Mode::Private, &groups);
    let nonce = salt.nonce(Group::Outputs, 0);
    let policy = Policy::new(1, [PublicKey::new(Scheme::Ed25519, &[7; 32]).unwrap()]).unwrap();
    let blind = policy::blind(&StateRef { tx_id: id, index: 0 }, &nonce);
    let nullifier = policy::nullifier(&blind, &policy.hash());
    let three: Vec<Digest> = (0..3u8)
        .map(|i| leaf(Group::Outputs, i.into(), &salt.nonce(Group::Outputs, i.into()), &[i]))
        .collect();
    vec![
        ("nonce(1,0)", nonce.to_string(), "73e212591afa0084d3af6c56eea2659ef7d974ff392e29c4a677f3c0efd23fc2"),
        (
            "leaf(1,0)",
            leaf(Group::Outputs, 0, &nonce, hello).to_string(),
            "a51014f761fbb491d068baf14843232ec20fa77ec74d8d03c84905ff07ba4a9c",
        ),
        ("PAD", pad().to_string(), "c82af77ed4471a3a85ddbf8f3422576ab11db60e471b2367b398f7c880c757ce"),
        (
            "group(0)",
            groups[0].to_string(),
            "239c7819718cf1d016d136da76adbbd536528e7cd18f9b3d65d0afcb49191adf",
        ),
        (
            "group(1)",
            groups[1].to_string(),
            "893eef9e99282f489a9a2d8b5137c8c0541eb8b71d7469d59b39ef240ebc0521",
        ),
        (
            "group(6)",
            groups[6].to_string(),
            "a73d4bdf52e45a2a0ef73503025d518f13ab1604066a92a8520e185d5a42c5be",
        ),
        ("tx_id", id.to_string(), "9be702da7c5e067c817596038bf2e788926ea5cacd53a1878a112c5a83e734a8"),
        (
            "policy_hash",
            policy.hash().to_string(),
            "75cd55ca5bec3d53296f6282a6343838c9183d0e46efa17405fde862cb899b6c",
        ),
        (
            "seed",
            policy::seed(&nonce).to_string(),
            "91ed1786e1a485b9b2d8a1aef78815f9d5d022bc4790bf94580e78e92957cbeb",
        ),
        ("blind", blind.to_string(), "e07292ba509f5a91262852efec76d265392455492fe38bed91f1f6989e27c5a9"),
        (
            "nullifier",
            nullifier.to_string(),
            "84a66a54c67146de763ed1bbb78b8c59790814dda69f770afee35aa5834703e1",
        ),
        (
            "spent_key",
            nullifier.spent_key().to_string(),
            "e91432418f3521ebb302a5750009d408c459ac4d41b150f2d64d47b56a03c179",
        ),
        (
            "spend_msg",
            spend_message(&build::chain(), &id).to_string(),
            "afd06b542b3c4fdde225b5a6ae3cd5c5145a0d3d1b3309542415164423f43b75",
        ),
        (
            "tree of leaf(1,0..2)",
            tree(&three).to_string(),
            "42dfd877f3580214ebe01e93a548d6b109af8f22c66c5851a4d831530be44795",
        ),
    ]
}

#[test]
fn worked_values_are_those_of_the_specification() {
    for (name, computed, said) in worked_values() {
        assert_eq!(computed, said, "{name}");
    }
}

fn golden(name: &str, value: &Value) {
    let file = Path::new(FOLDER).join(name);
    let computed = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &computed).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == computed, "{name}: run UPDATE_GOLDEN=1 cargo test -p stateset-ledger-types");
}

#[test]
fn the_vectors_are_what_this_crate_computes() {
    let rows: Vec<Value> =
        worked_values().into_iter().map(|(name, value, _)| json!({"name": name, "hex": value})).collect();
    golden(
        "worked_values.json",
        &json!({
            "title": "Worked values of the network specification, section 17",
            "generator": "ledger/types/tests/it/vectors.rs",
            "salt": encode(&salt().0), "chain_id": "ssn-test-1", "mode": 0,
            "values": rows,
        }),
    );
    golden("transactions.json", &transactions());
    golden("messages.json", &messages());
}

fn transactions() -> Value {
    let cases = [(0, 0), (1, 1), (2, 3), (3, 8), (5, 9)].map(|(inputs, n)| {
        let whole = build::body(inputs, n);
        let hashes = whole.group_hashes();
        let odd = TearOff::of(&whole, Mode::Private, |_, i| i % 2 == 1, |group| group.code() < 5);
        json!({
            "body": encode(&whole.to_sce()),
            "groups": hashes.map(|hash| encode(&hash.0)),
            "tx_ids_by_mode": Mode::ALL.iter().map(|mode| whole.tx_id(*mode)).collect::<Vec<_>>(),
            "core_id": core_id(&hashes),
            "tear_off_of_odd_components": encode(&odd.to_sce()),
            "notarise": encode(build::notarise(&whole, inputs).bytes()),
            "public_tx": encode(build::public(&whole, inputs).bytes()),
        })
    });
    json!({
        "title": "Bodies, their ids, a tear-off of each, and signed requests",
        "generator": "ledger/types/tests/it/vectors.rs",
        "keys": "Ed25519 seeds of 32 equal bytes: 1, 2, 3 spend (threshold 2), 4 signs commands, 5 submits",
        "cases": cases,
    })
}

fn messages() -> Value {
    let (chain, id, key) = (build::chain(), TxId([9; 32]), build::public_key(1));
    let one = Digest([1; 32]);
    json!({
        "title": "Messages that are signed",
        "generator": "ledger/types/tests/it/vectors.rs",
        "chain_id": chain, "tx_id": id, "key": key, "hash": one,
        "business_purpose_1": business_message(&chain, &id, Purpose::LedgerSigning, &key),
        "submit_seq_7": stateset_ledger_types::keys::submit_message(&chain, &id, 7, &one),
        "attest_policy_3": attest_message(&chain, &id, 3, &one),
        "blob": blob_message(&chain, &one),
        "vote_of_bytes_010203_seq_7": stateset_ledger_types::keys::vote_message(&chain, &[1, 2, 3], 7),
        "payment_reference_version_2":
            stateset_ledger_types::bank::payment_reference(&LinearId([4; 16]), 2, &one),
    })
}
