//! A company is admitted to a network of several: one member proposes it, another sponsors and votes.

use std::path::Path;
use std::sync::PoisonError;

use serde_json::Value;
use stateset_fixtures::cometbft;
use stateset_ledger_types::entity::{Role, Roles};
use stateset_ledger_types::keys::PublicKey;
use statesetd_app::{Asks, OrgRequest};

use crate::networks::{Program, TURN, ask, height, until};

pub fn request(file: &Path) {
    let key = |seed| ves::SigningKey::from_seed([seed; 32]);
    let public = |seed| PublicKey::ed25519(key(seed).public_key());
    // A view key is a point of the other curve.
    let view = PublicKey::new(stateset_ledger_types::keys::Scheme::X25519, &[9; 32]).unwrap();
    let asks = Asks {
        name: "Acme, Inc.".to_owned(),
        jurisdiction: "DE".to_owned(),
        registration_no: "HRB 1".to_owned(),
        lei: None,
        roles: Roles::of(&[Role::Member]),
        identity: public(71),
        ledger: public(72),
        view,
    };
    let request = OrgRequest::sign(asks, &key(71)).unwrap();
    std::fs::write(file, serde_json::to_string(&request).unwrap()).unwrap();
}

#[test]
fn several_members_admit_a_company_by_sponsors_and_votes() {
    let Some(cometbft) = cometbft::program() else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let args = ["testnet", "--dir", dir.to_str().unwrap(), "--validators", "2", "--timeout-commit", "100"];
    let params = ["--param", "voting_blocks=40", "--param", "activation_delay_blocks=1"];
    let (mut network, said) = Program::start(&[&args[..], &params].concat(), &cometbft);
    let url = said["validators"][0]["rpc"].as_str().unwrap().to_owned();
    until("the first block", || height(&url).filter(|height| *height > 0));

    let (asks, admission) = (at("request.json"), at("admission.json"));
    request(Path::new(&asks));
    let (one, other) = (at("validator-1"), at("validator-2"));
    let admitted = std::thread::scope(|scope| {
        let admitting = scope.spawn(|| ask(&["org", "admit", &asks, "--home", &one, "-o", &admission]));
        // Two sponsors are needed: the one who proposes is the first.
        let voted = until("the proposal", || {
            let (code, voted) = ask(&["vote", "1", "--home", &other]);
            (code == Some(0)).then_some(voted)
        });
        assert_eq!((&voted["voted"], &voted["status"]), (&Value::Bool(true), &Value::from("VOTING")));
        admitting.join().unwrap()
    });
    assert_eq!(admitted.0, Some(0), "{}", admitted.1);
    let id = admitted.1["entity_id"].as_str().unwrap();
    let path = format!("/ssn/entities/{id}");
    let (genesis, proven) = (at("validator-1/genesis.json"), ["--prove", "--genesis"]);
    let answer = ask(&[&["query", &path, "--node", &url][..], &proven, &[&genesis]].concat());
    assert!(answer.1["value"].is_string(), "{}", answer.1);
    let written: Value = serde_json::from_slice(&std::fs::read(&admission).unwrap()).unwrap();
    assert_eq!(written["notaries"][0]["address"], said["validators"][0]["capsules"]);
    assert_eq!(ask(&["vote", "1", "--home", &other]).0, Some(1), "it is over");
    network.terminate();
}
