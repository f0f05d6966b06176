//! A newcomer sees a 402 answered, paid, settled and sequenced.
#![allow(clippy::print_stderr)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// The program, which finds anvil on its path.
pub fn with_anvil(folder: &Path) -> Option<Command> {
    let mut command = stateset(folder);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", anvil_folder()?.display()));
    Some(command)
}

pub fn up(folder: &Path) -> Option<Up> {
    Some(Up::start_by(with_anvil(folder)?, &["--paid-demo"]))
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

/// A seller that makes this offer, and gives who pays the answer that `answer` makes of the payment's header.
fn seller(offer: String, answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/page", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 8192]);
            let length = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let payment = request.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("payment-signature").then_some(value)
            });
            let head = match payment {
                Some(payment) => answer(payment),
                None => format!("402 Payment Required\r\npayment-required: {offer}\r\n"),
            };
            let answer = format!("HTTP/1.1 {head}content-length: 4\r\nconnection: close\r\n\r\npage");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().new_agent()
}

/// What a page asks for.
fn offer_of(url: &str) -> String {
    agent().get(url).call().unwrap().headers()["payment-required"].to_str().unwrap().to_owned()
}

fn header(value: &Value) -> String {
    use base64ct::{Base64, Encoding as _};
    Base64::encode_string(value.to_string().as_bytes())
}

/// An offer on a chain that nobody here knows.
fn some_offer() -> String {
    some_offer_on("eip155:84532")
}

fn some_offer_on(network: &str) -> String {
    header(&serde_json::json!({
        "x402Version": 2, "resource": {"url": "http://seller/page"},
        "accepts": [{
            "scheme": "exact", "network": network, "amount": "10000", "maxTimeoutSeconds": 60,
            "asset": format!("0x{:040}", 3), "payTo": format!("0x{:040}", 4),
            "extra": {"name": "USDC", "version": "2"},
        }],
    }))
}

/// What [`some_offer`] is paid in.
const NAMED: [&str; 4] = ["--chain", "84532", "--token", "0x0000000000000000000000000000000000000003"];

/// A limit of 10000 was one of whatever the seller named: cents of a dollar or whole coins.
#[test]
fn nothing_is_signed_unasked_for_a_token_that_the_buyer_has_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "07".repeat(32)).unwrap();
    // The chain's id is that of a local chain, and of a public one.
    let local = some_offer_on("eip155:84532001");
    let url = seller(local, |_| panic!("nothing is paid"));
    let pay = ["pay", &url, "--key-file", key_file.to_str().unwrap(), "--yes", "--max-amount", "10000"];
    let (status, _, error) = run(folder.path(), &pay);
    assert!(status == 2 && error.contains("the test dollar of the local chain alone"), "{error}");
    let url = seller(some_offer(), |_| panic!("nothing is paid"));
    let pay = ["pay", &url, "--key-file", key_file.to_str().unwrap(), "--yes", "--max-amount", "10000"];
    for named in [&NAMED[..0], &NAMED[..2], &NAMED[2..]] {
        let (status, _, error) = run(folder.path(), &[&pay, named].concat());
        assert!(
            status == 2 && error.contains("on chain 84532, and --yes without --chain and --token"),
            "{error}"
        );
    }
}

/// Each of these was told as refused, or as served; and the seller held an authorization that he could still take.
#[test]
fn whatever_a_seller_answers_a_signed_payment_is_unknown_until_the_token_says() {
    let refused = header(&serde_json::json!({
        "success": false, "transaction": "", "network": "eip155:84532", "errorReason": "insufficient_funds",
    }));
    let answers = [
        ("402 Payment Required\r\n".to_owned(), "status 402, without PAYMENT-RESPONSE"),
        (format!("402 Payment Required\r\npayment-response: {refused}\r\n"), "insufficient_funds"),
        (
            "302 Found\r\nlocation: http://other/page\r\n".to_owned(),
            "status 302, sending to http://other/page",
        ),
        ("400 Bad Request\r\n".to_owned(), "status 400"),
        ("200 OK\r\n".to_owned(), "status 200, without PAYMENT-RESPONSE"),
        ("200 OK\r\npayment-response: !!\r\n".to_owned(), "a PAYMENT-RESPONSE that can't be read"),
        (format!("200 OK\r\npayment-response: {refused}\r\n"), "status 200, refusing the payment"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "07".repeat(32)).unwrap();
    for (answer, says) in answers {
        let is_delivered = answer.starts_with("200");
        let url = seller(some_offer(), move |_| answer.clone());
        let key_file = key_file.to_str().unwrap();
        let pay = ["pay", &url, "--key-file", key_file, "--yes", "--max-amount", "10000", "--json"];
        let (status, out, error) = run(folder.path(), &[&pay[..], &NAMED].concat());
        let error: Value = serde_json::from_str(&error).unwrap_or_else(|_| panic!("{error}"));
        assert_eq!((status, &error["error"]["code"]), (1, &Value::from("PAYMENT_UNKNOWN")), "{error}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{says:?}: {message}");
        assert!(
            message.contains("it can be taken until 20") && message.contains("and never after"),
            "{message}"
        );
        assert!(message.contains("the token was not asked: no endpoint of the chain is named"), "{message}");
        // What was delivered is shown for all that.
        assert_eq!(out.contains("page"), is_delivered, "{out}");
    }
}

#[test]
fn a_payment_that_the_seller_says_is_settled_and_does_not_serve_is_paid() {
    let settled = header(&serde_json::json!({
        "success": true, "transaction": format!("0x{:064}", 7), "network": "eip155:84532",
    }));
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "07".repeat(32)).unwrap();
    for head in ["404 Not Found\r\n", "303 See Other\r\nlocation: /there\r\n", "500 Error\r\n"] {
        let answer = format!("{head}payment-response: {settled}\r\n");
        let url = seller(some_offer(), move |_| answer.clone());
        let key_file = key_file.to_str().unwrap();
        let pay =
            ["pay", &url, "--key-file", key_file, "--yes", "--max-amount", "10000", "--wait", "1", "--json"];
        let (status, _, error) = run(folder.path(), &[&pay[..], &NAMED].concat());
        assert!(status == 1 && error.contains("PAID_NOT_SERVED") && error.contains("00007"), "{error}");
        assert_eq!(head.starts_with("303"), error.contains("sending to /there"), "{error}");
    }
}

/// A redirect was shown as an empty page that costs nothing.
#[test]
fn a_redirect_before_anything_is_paid_says_where_it_goes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/page", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 8192]);
        let answer = "HTTP/1.1 301 Moved\r\nlocation: http://other/page\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes());
    });
    let folder = tempfile::tempdir().unwrap();
    let (status, _, error) = run(folder.path(), &["pay", &url]);
    assert!(status == 1 && error.contains("nothing was paid"), "{error}");
    assert!(error.contains("it sends to http://other/page"), "{error}");
}

/// It was said that nobody knows, and not how to find out; and that nothing was moved where it was.
#[test]
fn the_token_is_asked_what_became_of_a_payment_that_the_seller_says_nothing_of() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(up) = up(at) else { return };
    let text = |member: &str| up.started[member].as_str().unwrap().to_owned();
    let page = text("paid_demo");
    // It is given from another folder too.
    let key_file = at.join(text("paid_demo_key_file")).display().to_string();
    let rpc_url = up.started["chain"]["rpc_url"].as_str().unwrap();
    let offer = offer_of(&page);
    let asked: Value = {
        use base64ct::{Base64, Encoding as _};
        serde_json::from_slice(&Base64::decode_vec(&offer).unwrap()).unwrap()
    };
    let named = ["--chain", "84532001", "--token", asked["accepts"][0]["asset"].as_str().unwrap()];

    let url = seller(offer.clone(), |_| "503 Service Unavailable\r\n".to_owned());
    let pay = ["pay", &url, "--key-file", &key_file, "--yes", "--max-amount", "10000", "--wait", "1"];
    let (status, _, error) = run(at, &pay);
    assert!(status == 1 && error.contains("it is not known whether the payment was taken"), "{error}");
    assert!(error.contains("it can be taken until 20") && error.contains("and never after"), "{error}");
    assert!(error.contains("the token says that it was not taken up to block "), "{error}");
    let (_, question) = error.split_once("-d '").unwrap_or_else(|| panic!("{error}"));
    let question: Value = serde_json::from_str(question.trim().trim_end_matches('\'')).unwrap();
    let mut answer = ureq::post(rpc_url).send_json(&question).unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    assert_eq!(answer["result"], format!("0x{:064}", 0), "it was not taken: {answer}");

    // This one takes the money, and says otherwise.
    let taking = |head: &'static str| {
        let page = page.clone();
        seller(offer.clone(), move |payment| {
            let paid = agent().get(&page).header("payment-signature", payment).call().unwrap();
            assert_eq!(paid.status(), 200);
            head.to_owned()
        })
    };
    let elsewhere = tempfile::tempdir().unwrap();
    for head in ["402 Payment Required\r\n", "302 Found\r\nlocation: /x\r\n"] {
        let url = taking(head);
        let pay = ["pay", &url, "--key-file", &key_file, "--yes", "--max-amount", "10000", "--json"];
        let (status, _, error) = run(at, &pay);
        assert!(status == 1 && error.contains("PAID_NOT_SERVED"), "{error}");
        assert!(error.contains("the token says in block"), "{error}");
        // Without the local chain's record the endpoint is named.
        let (_, _, error) = run(elsewhere.path(), &[&pay[..], &named, &["--rpc-url", rpc_url]].concat());
        assert!(error.contains("PAID_NOT_SERVED"), "{error}");
        let (_, _, error) = run(elsewhere.path(), &[&pay[..], &named].concat());
        assert!(error.contains("PAYMENT_UNKNOWN"), "{error}");
    }
    let url = taking("200 OK\r\n");
    let (status, bought) =
        json(at, &["pay", &url, "--key-file", &key_file, "--yes", "--max-amount", "10000"]);
    assert_eq!((status, &bought["body"]), (0, &Value::from("page")), "{bought}");
    assert_eq!(bought["paid"]["transaction"], Value::Null);
    assert_eq!(bought["paid"]["authorization"].as_str().map(str::len), Some(66));

    // An endpoint of another chain is found out before anything is signed.
    let url = seller(some_offer(), |_| panic!("nothing is paid"));
    let pay = ["pay", &url, "--key-file", &key_file, "--yes", "--max-amount", "10000", "--rpc-url", rpc_url];
    let (status, _, error) = run(at, &[&pay[..], &NAMED].concat());
    assert!(status == 2 && error.contains("of chain 84532001, and it is paid on chain 84532"), "{error}");
    assert_eq!(up.signal("-TERM").0, 0);
}
