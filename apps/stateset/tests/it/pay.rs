//! A newcomer sees a 402 answered, paid, settled and sequenced.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::service::Up;
use crate::{json, run, stateset};

/// Where npm has put anvil; `None` where it is not installed, which continuous integration does not allow.
fn anvil_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../chain/contracts/node_modules/@foundry-rs");
    let packages = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let found = packages.map(|package| package.path().join("bin")).find(|bin| bin.join("anvil").is_file());
    if found.is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        assert!(!in_ci, "anvil is missing: cargo xtask contracts installs it by npm");
        eprintln!("not tested here: anvil is not installed (cargo xtask contracts installs it by npm)");
    }
    found
}

fn up(folder: &Path) -> Option<Up> {
    let mut command = stateset(folder);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", anvil_folder()?.display()));
    Some(Up::start_by(command, &["--paid-demo"]))
}

#[test]
fn a_page_is_paid_for_on_a_chain_and_the_payment_is_sequenced() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(up) = up(at) else { return };
    let text =
        |member: &str| up.started[member].as_str().unwrap_or_else(|| panic!("{}", up.started)).to_owned();
    let (url, key_file) = (text("paid_demo"), text("paid_demo_key_file"));

    let (status, _, error) = run(at, &["pay", &url]);
    assert!(status == 2 && error.contains("STATESET_PAY_KEY"), "{error}");
    let (status, shown, error) = run(at, &["pay", &url, "--key-file", &key_file]);
    assert!(status == 2 && error.contains("--yes") && shown.contains("asks for 10000"), "{shown}{error}");
    let little = ["pay", &url, "--key-file", &key_file, "--yes", "--max-amount", "9999"];
    let (status, _, error) = run(at, &little);
    assert!(status == 1 && error.contains("you pay at most 9999"), "{error}");

    let enough = ["pay", &url, "--key-file", &key_file, "--yes", "--max-amount", "10000"];
    let (status, bought) = json(at, &enough);
    assert_eq!(status, 0, "{bought}");
    assert_eq!(bought["paid"]["amount"], "10000", "{bought}");
    assert_eq!(bought["body"]["transaction"], bought["paid"]["transaction"]);
    assert_eq!(bought["paid"]["sequence_number"], 1);
    assert_eq!(json(at, &enough).1["paid"]["sequence_number"], 2, "each is a payment of its own");

    let api_key = std::fs::read_to_string(at.join(text("admin_api_key_file")));
    let payment = format!("{}/api/v1/x402/payments", text("url"));
    let profile = &up.started["profile"];
    let asked = ureq::get(payment)
        .query("tenant_id", profile["tenant_id"].as_str().unwrap())
        .header("x-api-key", api_key.unwrap().trim())
        .call();
    let listed: Value = asked.unwrap().body_mut().read_json().unwrap();
    let first = &listed[0];
    assert_eq!(
        (&first["intent_id"], &first["status"]),
        (&bought["paid"]["intent_id"], &Value::from("settled"))
    );
    assert_eq!(first["tx_hash"], bought["paid"]["transaction"]);
    assert_eq!(first["network"], "set_chain");
    assert_eq!(up.signal("-TERM").0, 0);
}
