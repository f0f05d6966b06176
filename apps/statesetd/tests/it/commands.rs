//! What the program says without a network.

use std::process::{Command, Output};

use base64ct::{Base64, Encoding as _};
use stateset_ledger_store::Store;
use stateset_ledger_types::Genesis;
use stateset_ledger_types::x509::{Root, check_node};

fn statesetd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_statesetd"))
        .args(args)
        .env_clear()
        .env("PATH", "/nowhere")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_cometbft_the_cure_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    let output = statesetd(&["testnet", "--dir", dir.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let cure = "go install github.com/cometbft/cometbft/cmd/cometbft@v0.38.";
    assert!(said(&output).contains(cure), "{}", said(&output));
    assert!(!dir.exists());
}

#[test]
fn a_home_is_made_once_and_others_join_by_its_genesis() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let first = statesetd(&["init", "--home", &place("first"), "--chain-id", "test-1", "--json"]);
    assert!(first.status.success(), "{}", said(&first));
    let made = String::from_utf8(first.stdout).unwrap();
    let again = statesetd(&["init", "--home", &place("first")]);
    assert_eq!(again.status.code(), Some(2));
    assert!(said(&again).contains("is a home already"), "{}", said(&again));

    let genesis = place("first/genesis.json");
    let second = statesetd(&["init", "--home", &place("second"), "--genesis", &genesis, "--json"]);
    assert!(second.status.success(), "{}", said(&second));
    let joined = String::from_utf8(second.stdout).unwrap();
    let field = |text: &str, name: &str| {
        let at = text.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 4;
        text[at..].split('"').next().unwrap().to_owned()
    };
    assert_eq!(field(&made, "genesis_hash"), field(&joined, "genesis_hash"));
    assert_eq!(field(&joined, "chain_id"), "test-1");
    assert_ne!(field(&made, "node_id"), field(&joined, "node_id"));

    let wrong = statesetd(&["init", "--home", &place("third"), "--peer", "someone"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said(&wrong).contains("--peer someone"), "{}", said(&wrong));
}

#[test]
fn a_new_chain_has_a_root_and_its_founders_certificates_lead_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let text = |name: &str| std::fs::read_to_string(place(name)).unwrap();
    for (args, homes) in [
        (vec!["init", "--engine", "solo", "--name", "Müller, Söhne & Co", "--home"], vec!["one"]),
        (
            vec!["testnet", "--no-start", "--validators", "2", "--dir"],
            vec!["net/validator-1", "net/validator-2"],
        ),
    ] {
        let folder = if homes.len() == 1 { "one" } else { "net" };
        let output = statesetd(&[args, vec![place(folder).to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", said(&output));
        let genesis = Genesis::from_json(text(&format!("{}/genesis.json", homes[0])).as_bytes()).unwrap();
        let roots: Vec<Root> = genesis.roots.iter().map(|der| Root::parse(der).unwrap()).collect();
        for (home, entity) in homes.iter().zip(genesis.entities.iter()) {
            let chain = certificates(&text(&format!("{home}/node.pem")));
            let node = check_node(&chain, &roots, genesis.genesis_time).unwrap();
            assert_eq!(node.speaks_for(entity, genesis.genesis_time), Ok(()));
            assert_eq!(certificates(&text(&format!("{home}/root.pem"))), [genesis.roots[0].to_vec()]);
        }
        assert_eq!(genesis.validators[0].entity, genesis.entities[0].entity_id);
    }
    assert_ne!(text("one/root.seed"), text("net/root.seed"));
}

/// DER of the certificates in a PEM file.
fn certificates(pem: &str) -> Vec<Vec<u8>> {
    let body = |part: &str| part.split("-----END").next().unwrap().replace('\n', "");
    let parts = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    parts.map(|part| Base64::decode_vec(&body(part)).unwrap()).collect()
}

#[test]
fn a_node_that_does_not_run_is_named() {
    let output = statesetd(&["status", "--node", "http://127.0.0.1:1", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("NODE_UNREACHABLE") && said(&output).contains("--node"),
        "{}",
        said(&output)
    );
    let output = statesetd(&["start", "--home", "/nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("statesetd init"), "{}", said(&output));
}

#[test]
fn a_new_genesis_names_who_gets_the_fees() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let genesis = |name: &str| {
        let text = std::fs::read(folder.path().join(name).join("validator-1/genesis.json")).unwrap();
        Genesis::from_json(&text).unwrap()
    };
    let testnet = |name: &str, more: &[&str]| {
        let dir = place(name);
        let args = ["testnet", "--no-start", "--validators", "3", "--dir", &dir];
        statesetd(&[&args[..], more].concat())
    };
    assert!(testnet("first", &[]).status.success());
    let first = genesis("first");
    assert_eq!(first.fee_collector, Some(first.entities[0].entity_id.account()));
    assert_eq!(first.params.default_fee_bps, 0, "until somebody says so");
    let more = ["--fee-collector", "company-3", "--param", "default_fee_bps=25"];
    assert!(testnet("other", &more).status.success());
    let other = genesis("other");
    assert_eq!(other.fee_collector, Some(other.entities[2].entity_id.account()));
    assert_eq!(other.params.default_fee_bps, 25);
    let unknown = testnet("none", &["--fee-collector", "acme"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(said(&unknown).contains("company-1, company-2, company-3"), "{}", said(&unknown));
}

#[test]
fn what_is_wrong_with_a_new_chain_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home").to_str().unwrap().to_owned();
    for (option, value, part) in [
        ("--denom", "usd:19", "at most 18 places"),
        ("--param", "voting_blocks=0", "voting_blocks"),
        ("--fee-collector", "local", "no such founder; there is company-1"),
    ] {
        let refused = statesetd(&["init", "--engine", "solo", "--home", &home, option, value]);
        assert_eq!(refused.status.code(), Some(2), "{option} {value}");
        assert!(said(&refused).contains(part), "{}", said(&refused));
        assert_eq!(std::fs::read_dir(&home).map_or(0, Iterator::count), 0, "{option} {value}");
    }
    assert!(statesetd(&["init", "--engine", "solo", "--home", &home, "--denom", "usd:18"]).status.success());
}

#[test]
fn a_home_in_use_is_said_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home").to_str().unwrap().to_owned();
    assert!(statesetd(&["init", "--engine", "solo", "--home", &home]).status.success());
    let _open = Store::open(&folder.path().join("home/state.redb")).unwrap();
    let refused = statesetd(&["start", "--home", &home]);
    assert_eq!(refused.status.code(), Some(1));
    for part in ["HOME_IN_USE", &home, "stop it first"] {
        assert!(said(&refused).contains(part), "{}", said(&refused));
    }
}
