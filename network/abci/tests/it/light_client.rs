//! Judged by others: Tendermint's light client verifier and ICS-23, from what CometBFT's RPC says.

use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use ics23::{CommitmentProof, HostFunctionsManager};
use serde_json::{Value, json};
use stateset_abci::PROOF_TYPE;
use stateset_ledger_store::tree_spec;
use tendermint::block::signed_header::SignedHeader;
use tendermint::{Time, validator};
use tendermint_light_client_verifier::options::Options as Trust;
use tendermint_light_client_verifier::types::{LightBlock, TrustThreshold};
use tendermint_light_client_verifier::{ProdVerifier, Verdict, Verifier as _};

use crate::key_value::KEY_VALUE;
use crate::world::{Validator, World, until};

fn validators(validator: &Validator, height: u64) -> validator::Set {
    let answer = validator.rpc.call("validators", &json!({"height": height.to_string()})).unwrap();
    let infos: Vec<validator::Info> = serde_json::from_value(answer["validators"].clone()).unwrap();
    validator::Set::without_proposer(infos)
}

fn light_block(validator: &Validator, height: u64) -> LightBlock {
    let answer =
        until("the commit", || validator.rpc.call("commit", &json!({"height": height.to_string()})).ok());
    let signed: SignedHeader = serde_json::from_value(answer["signed_header"].clone()).unwrap();
    let provider = tendermint::node::Id::new([0; 20]);
    let (now, next) = (validators(validator, height), validators(validator, height + 1));
    LightBlock::new(signed, now, next, provider)
}

fn verify(trusted: &LightBlock, untrusted: &LightBlock) -> Verdict {
    let trust = Trust {
        trust_threshold: TrustThreshold::TWO_THIRDS,
        trusting_period: Duration::from_secs(3600),
        clock_drift: Duration::from_secs(10),
    };
    ProdVerifier::default().verify_update_header(
        untrusted.as_untrusted_state(),
        trusted.as_trusted_state(),
        &trust,
        Time::now(),
    )
}

/// Whether the two operations lead from what is at `key` to `app_hash`.
fn proves(answer: &Value, key: &[u8], value: Option<&[u8]>, app_hash: &[u8]) -> bool {
    let proofs: Vec<CommitmentProof> = answer["proofOps"]["ops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|op| {
            assert_eq!(op["type"], PROOF_TYPE);
            let data = Base64::decode_vec(op["data"].as_str().unwrap()).unwrap();
            prost::Message::decode(data.as_slice()).unwrap()
        })
        .collect();
    let [of_key, of_substore] = proofs.as_slice() else { panic!("{} operations", proofs.len()) };
    let spec = tree_spec();
    let Ok(root) = ics23::calculate_existence_root::<HostFunctionsManager>(match &of_substore.proof {
        Some(ics23::commitment_proof::Proof::Exist(proof)) => proof,
        _ => panic!("the substore is always there"),
    }) else {
        return false;
    };
    let Some(ics23::commitment_proof::Proof::Exist(substore)) = &of_substore.proof else { return false };
    let substore_root = substore.value.clone();
    let key_holds = match value {
        Some(value) => {
            ics23::verify_membership::<HostFunctionsManager>(of_key, &spec, &substore_root, key, value)
        }
        None => ics23::verify_non_membership::<HostFunctionsManager>(of_key, &spec, &substore_root, key),
    };
    let app_hash = app_hash.to_vec();
    root == app_hash
        && key_holds
        && ics23::verify_membership::<HostFunctionsManager>(
            of_substore,
            &spec,
            &app_hash,
            b"bank",
            &substore_root,
        )
}

#[test]
fn a_light_client_accepts_the_blocks_and_ics23_our_state_through_them() {
    let Some(world) = World::start(KEY_VALUE, 2) else { return };
    let validator = &world.validators[0];
    let trusted = light_block(validator, 1);
    assert_eq!(validator.send("proven=value".as_bytes()), 0);
    until("the value", || validator.get("proven"));
    let answer = validator.query("proven", 0, true);
    let height: u64 = answer["height"].as_str().unwrap().parse().unwrap();
    world.wait_for(&[0], height + 1);
    let block = light_block(validator, height + 1);
    assert_eq!(verify(&trusted, &block), Verdict::Success);
    assert_eq!(block.signed_header.header.version.app, 7, "the version that the application reports");

    let app_hash = block.signed_header.header.app_hash.as_bytes();
    assert!(proves(&answer, b"proven", Some(b"value"), app_hash));
    assert!(!proves(&answer, b"proven", Some(b"other"), app_hash));
    assert!(!proves(&answer, b"other", Some(b"value"), app_hash));
    let absent = validator.query("absent", height, true);
    assert_eq!(absent["height"], answer["height"]);
    assert!(proves(&absent, b"absent", None, app_hash));
    assert!(!proves(&absent, b"proven", None, app_hash));
    // The header of the same height carries the state before it.
    let same_height = light_block(validator, height);
    let older = same_height.signed_header.header.app_hash.as_bytes();
    let written = until("the block that wrote it", || {
        (1..=height).find(|at| !validator.query("proven", *at, false)["value"].is_null())
    });
    if written == height {
        assert!(!proves(&answer, b"proven", Some(b"value"), older));
    }
    let first = light_block(validator, 1);
    assert!(!proves(&answer, b"proven", Some(b"value"), first.signed_header.header.app_hash.as_bytes()));

    // An altered header has another hash than the one that was signed.
    let mut altered = block.clone();
    altered.signed_header.header.app_hash = vec![7; 32].try_into().unwrap();
    assert!(matches!(verify(&trusted, &altered), Verdict::Invalid(_)));

    // Heights that are not there have no answer.
    let future = validator.query("proven", height + 1_000_000, true);
    assert_eq!(future["code"], 26, "{future}");
    assert!(future["log"].as_str().unwrap().contains("in the future"), "{future}");
}
