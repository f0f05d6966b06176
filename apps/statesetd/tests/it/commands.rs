//! What the program says without a network.

use std::process::{Command, Output};

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
