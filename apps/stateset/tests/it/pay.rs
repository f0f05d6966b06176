//! A newcomer sees a 402 answered, paid, settled and sequenced.
#![allow(clippy::print_stderr)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
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

/// A seller that makes the offer of another, and never delivers.
fn silent_seller(offer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/page", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 8192]);
            let length = stream.read(&mut request).unwrap();
            let is_paid =
                String::from_utf8_lossy(&request[..length]).to_lowercase().contains("payment-signature");
            let head = match is_paid {
                true => "503 Service Unavailable\r\n".to_owned(),
                false => format!("402 Payment Required\r\npayment-required: {offer}\r\n"),
            };
            let answer = format!("HTTP/1.1 {head}content-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

/// It was said that nobody knows, and not how to find out.
#[test]
fn who_gets_no_answer_to_a_payment_is_told_how_to_ask_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(up) = up(at) else { return };
    let text = |member: &str| up.started[member].as_str().unwrap().to_owned();
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let asked = agent.get(text("paid_demo")).call().unwrap();
    let offer = asked.headers()["payment-required"].to_str().unwrap().to_owned();
    let url = silent_seller(offer);
    let key_file = text("paid_demo_key_file");
    let pay = ["pay", &url, "--key-file", &key_file, "--yes", "--max-amount", "10000", "--wait", "1"];
    let (status, _, error) = run(at, &pay);
    assert!(status == 1 && error.contains("it is not known whether the payment was taken"), "{error}");
    assert!(error.contains("it can be taken until 20") && error.contains("and never after"), "{error}");

    let (_, question) = error.split_once("-d '").unwrap_or_else(|| panic!("{error}"));
    let question: Value = serde_json::from_str(question.trim().trim_end_matches('\'')).unwrap();
    let rpc_url = up.started["chain"]["rpc_url"].as_str().unwrap();
    let mut answer = ureq::post(rpc_url).send_json(&question).unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    assert_eq!(answer["result"], format!("0x{:064}", 0), "it was not taken: {answer}");
}
