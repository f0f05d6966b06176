//! Our formulas against blocks recorded from a CometBFT 0.38 node: a light client cannot test a builder, since it accepts
//! several wrong fields when they are signed.

use base64ct::{Base64, Encoding};
use serde_json::Value;
use tendermint_proto::v0_38::types::Block;

use super::*;

const RECORDED: &str = include_str!("../../../../testing/vectors/cometbft_blocks.json");

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("a string");
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).expect("hexadecimal") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn array<const N: usize>(text: &Value) -> [u8; N] {
    Base64::decode_vec(text.as_str().expect("a string")).expect("base64").try_into().expect("its length")
}

fn nanos(text: &Value) -> UnixNanos {
    let time: tendermint::Time = text.as_str().expect("a string").parse().expect("RFC 3339");
    UnixNanos(i64::try_from(time.unix_timestamp_nanos()).expect("this century"))
}

/// Builds every block from genesis on from our own rules, with the recorded times and signatures, and finds the same ids;
/// the bytes we would sign are the bytes the validator signed.
#[test]
fn every_recorded_block_is_built_anew_with_its_id() {
    let recorded: Value = serde_json::from_str(RECORDED).expect("JSON");
    let validator = Validator { public_key: array(&recorded["public_key"]), power: 10 };
    let validators = Validators::new(vec![validator]);
    let key = ed25519_dalek::VerifyingKey::from_bytes(&validator.public_key).expect("a key");
    let mut tip = Tip {
        chain_id: recorded["chain_id"].as_str().expect("a string").into(),
        app_version: 1,
        height: 1,
        time: nanos(&recorded["genesis_time"]),
        last_block_id: empty_block_id(),
        last_commit: empty_commit(),
        app_hash: Vec::new(),
        last_results_hash: results_hash(&[]),
        validators: validators.clone(),
        next_validators: validators.clone(),
        limits: Limits { block_bytes_max: 22_020_096, block_gas_max: -1 },
        proposer: validator.address(),
    };
    assert_eq!(validators.hash().to_vec(), unhex(&recorded["validators_hash"]));
    assert_eq!(tip.limits.hash().to_vec(), unhex(&recorded["consensus_hash"]));
    assert_eq!(tip.proposer.to_vec(), unhex(&recorded["proposer_address"]));
    tip.app_hash = unhex(&recorded["app_hash"]);

    let blocks = recorded["blocks"].as_array().expect("a list");
    assert_eq!(blocks.len(), 46);
    for (row, next) in blocks.iter().zip(blocks.iter().skip(1)) {
        assert_eq!(tip.time, nanos(&row["time"]), "height {}", tip.height);
        let block = tip.block(Vec::new());
        let id = block_id(&block);
        assert_eq!(id.hash, unhex(&row["hash"]), "height {}", tip.height);
        let parts = id.part_set_header.clone().expect("parts");
        assert_eq!((parts.total, parts.hash), (1, unhex(&row["parts_hash"])), "height {}", tip.height);

        let voted = nanos(&next["time"]);
        let signature = array(&row["signature"]);
        let signed = vote_bytes(&tip.chain_id, tip.height, &id, voted);
        key.verify_strict(&signed, &ed25519_dalek::Signature::from_bytes(&signature)).expect("its signature");

        // What goes over the wire comes back as it was.
        assert_eq!(Block::decode(block.encode_to_vec().as_slice()).expect("our own bytes"), block);
        tip.last_commit = commit(tip.height, id.clone(), validator.address(), voted, signature);
        tip.last_block_id = id;
        tip.height += 1;
        tip.time = voted;
    }
}

/// The wire form of the first block, whose empty messages decide over its id.
#[test]
fn the_first_block_writes_its_empty_messages() {
    let block = Block {
        header: Some(Header { last_block_id: Some(empty_block_id()), ..Header::default() }),
        data: Some(Data::default()),
        evidence: Some(EvidenceList::default()),
        last_commit: Some(empty_commit()),
    };
    let bytes = block.encode_to_vec();
    assert_eq!(
        bytes,
        [&[0x0a, 4, 0x2a, 2, 0x12, 0][..], &[0x12, 0, 0x1a, 0], &[0x22, 4, 0x1a, 2, 0x12, 0]].concat()
    );
}

#[test]
fn the_results_hash_takes_four_fields_alone() {
    let result =
        ExecTxResult { code: 10, data: vec![1, 2].into(), gas_wanted: 5, gas_used: 4, ..Default::default() };
    let noisy =
        ExecTxResult { log: "why".into(), info: "more".into(), codespace: "ssn".into(), ..result.clone() };
    assert_eq!(results_hash(std::slice::from_ref(&result)), results_hash(&[noisy]));
    // The leaf is the message with these four fields alone.
    let leaf = [0x08, 10, 0x12, 2, 1, 2, 0x28, 5, 0x30, 4];
    assert_eq!(results_hash(&[result]), merkle::root([leaf]));
}

#[test]
fn votes_rise_even_if_the_clock_steps_back() {
    let block = UnixNanos(5_000_000_000);
    assert_eq!(vote_time(UnixNanos(1), block), UnixNanos(5_001_000_000));
    assert_eq!(vote_time(UnixNanos(9_000_000_000), block), UnixNanos(9_000_000_000));
}
