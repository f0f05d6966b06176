//! Settings of payments, as `up` takes them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::service::Up;
use crate::{pay, stateset};

fn token(digit: &str) -> String {
    format!("set_chain:usdc=0x{}", digit.repeat(40))
}

/// What the service tells payers.
fn networks(up: &Up, folder: &Path) -> Value {
    let text = |member: &str| up.started[member].as_str().unwrap().to_owned();
    let api_key = fs::read_to_string(folder.join(text("admin_api_key_file"))).unwrap();
    let url = format!("{}/api/v1/x402/networks", text("url"));
    let mut answer = ureq::get(url).header("x-api-key", api_key.trim()).call().unwrap();
    answer.body_mut().read_json().unwrap()
}

/// The contract of the dollar of Set Chain.
fn dollar(networks: &Value) -> Option<&str> {
    let mut all = networks["networks"].as_array()?.iter();
    let set_chain = all.find(|network| network["network"] == "set_chain")?;
    let usdc = set_chain["assets"].as_array()?.iter().find(|asset| asset["asset"] == "usdc")?;
    usdc["token_address"].as_str()
}

/// They did nothing here, without a word: a batch was never sent, and nobody knew why.
#[test]
fn up_takes_the_settings_of_payments() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = stateset(folder.path());
    // The local end of nothing: the start looks whether the chain is there, and says that it is not.
    let settings = [
        ("X402_TOKENS", token("1")),
        ("X402_SETTLEMENT_RPC_URL", "http://127.0.0.1:1".to_owned()),
        ("X402_SETTLEMENT_CONTRACT", format!("0x{}", "2".repeat(40))),
        ("X402_SETTLEMENT_KEY", "07".repeat(32)),
        ("X402_SETLEMENT_CONFIRMATIONS", "1".to_owned()),
    ];
    let log = fs::File::create(folder.path().join("log")).unwrap();
    command.envs(settings).stderr(Stdio::from(log));
    let up = Up::start_by(command, &["--no-ledger"]);
    let networks = networks(&up, folder.path());
    assert_eq!(dollar(&networks), Some(format!("0x{}", "1".repeat(40)).as_str()), "{networks}");
    assert_eq!((&networks["settles"], &networks["settles_authorized"]), (&true.into(), &true.into()));
    assert_eq!(up.signal("-TERM").0, 0);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("did you mean X402_SETTLEMENT_CONFIRMATIONS?"), "{log}");
    assert!(!log.contains(&"07".repeat(32)), "a key is in the log");
}

/// Starts `up` in vain: exit status and stderr.
fn refused(mut command: Command, more: &[&str]) -> (Option<i32>, String) {
    let up = command.args(["up", "--listen", "127.0.0.1:0", "--no-ledger"]).args(more).output().unwrap();
    (up.status.code(), String::from_utf8_lossy(&up.stderr).into_owned())
}

#[test]
fn a_setting_of_payments_that_can_not_be_is_named_before_anything_is_made() {
    for (name, value) in [
        ("X402_TOKENS", "base:gold=0x1"),
        ("X402_BATCH_NETWORKS", "mars"),
        ("X402_SETTLEMENT_CONFIRMATIONS", "many"),
        // It goes with an endpoint.
        ("X402_SETTLEMENT_KEY", "0707070707070707070707070707070707070707070707070707070707070707"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = stateset(folder.path());
        command.env(name, value);
        let (status, said) = refused(command, &[]);
        assert_eq!(status, Some(2), "{name}: {said}");
        assert!(said.contains("X402_") && said.contains("code: CONFIGURATION"), "{name}: {said}");
        assert!(!folder.path().join("stateset-data").exists(), "{name}");
    }
}

/// One contract for an asset: the sale's would have taken the place of the operator's.
#[test]
fn the_paid_demo_takes_no_other_dollar_s_place() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut command) = pay::with_anvil(folder.path()) else { return };
    command.env("X402_TOKENS", token("1"));
    let (status, said) = refused(command, &["--paid-demo"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("X402_TOKENS") && said.contains("--paid-demo"), "{said}");
}
