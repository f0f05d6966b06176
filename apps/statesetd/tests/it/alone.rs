//! A founder alone: a member admitted once, money moved for a fee, and the state read as what it says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use stateset_ledger_types::Envelope;
use stateset_ledger_types::bank::{BANK, BankCommand, Mint, Transfer};
use stateset_ledger_types::codec::{Encode as _, List, Text};
use stateset_ledger_types::envelope::Request;
use stateset_ledger_types::governance::{Action, GovernanceMessage, Submit, TextAction};
use stateset_ledger_types::ids::{Amount, Denom, EntityId, Units};
use statesetd_app::{LocalHome, Rpc};

use crate::admission::request;
use crate::networks::{Program, ask, height, until};

pub struct Alone {
    pub folder: tempfile::TempDir,
    pub home: String,
    pub url: String,
    node: Program,
}

impl Alone {
    pub fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("ledger").to_str().unwrap().to_owned();
        let rpc = format!("127.0.0.1:{}", stateset_fixtures::free_port());
        let init = ["init", "--engine", "solo", "--home", &home, "--rpc", &rpc, "--capsules", "127.0.0.1:0"];
        let (code, made) = ask(&[&init[..], more].concat());
        assert_eq!(code, Some(0), "{made}");
        let (node, _) = Program::start(&["start", "--home", &home], Path::new("/nowhere"));
        Self { folder, home, url: format!("http://{rpc}"), node }
    }

    fn restart(&mut self) {
        self.node.terminate();
        (self.node, _) = Program::start(&["start", "--home", &self.home], Path::new("/nowhere"));
    }

    fn query(&self, path: &str, more: &[&str]) -> (Option<i32>, Value) {
        ask(&[&["query", path, "--node", &self.url][..], more].concat())
    }

    pub fn decoded(&self, path: &str) -> Value {
        let (code, mut said) = self.query(path, &[]);
        assert_eq!(code, Some(0), "{path}: {said}");
        said["decoded"].take()
    }

    pub fn founder(&self) -> EntityId {
        LocalHome::at(Path::new(&self.home)).unwrap().founder().unwrap().entity
    }
}

#[test]
fn an_admission_that_is_open_is_not_proposed_again_and_a_fee_goes_to_its_collector() {
    let alone = Alone::start(&["--denom", "usd:2", "--param", "default_fee_bps=100"]);
    let file = |name: &str| alone.folder.path().join(name).to_str().unwrap().to_owned();
    let (asks, admission) = (file("request.json"), file("admission.json"));
    request(Path::new(&asks));
    let admit = ["org", "admit", &asks, "--home", &alone.home, "-o", &admission, "--wait", "0"];
    let (code, said) = ask(&admit);
    assert_eq!((code, &said["error"]["code"]), (Some(1), &Value::from("NOT_ADMITTED")), "{said}");
    let (code, said) = ask(&admit);
    assert_eq!((code, &said["error"]["code"]), (Some(2), &Value::from("PROPOSAL_OPEN")), "{said}");
    assert!(said["error"]["message"].as_str().unwrap().contains("statesetd vote 1"), "{said}");
    assert_eq!(alone.decoded("/ssn/gov/proposals").as_array().unwrap().len(), 1);

    let written: Value = serde_json::from_slice(&std::fs::read(&admission).unwrap()).unwrap();
    let member = written["entity_id"].as_str().unwrap().to_owned();
    until("the member", || {
        ask(&["vote", "1", "--home", &alone.home]);
        (alone.query(&format!("/ssn/entities/{member}"), &[]).0 == Some(0)).then_some(())
    });
    assert_eq!(ask(&admit).1["error"]["code"], "ENTITY_EXISTS");

    let founder = alone.founder();
    let mint = ["mint", &founder.to_string(), "1000000", "usd", "--home", &alone.home];
    assert_eq!(ask(&mint).0, Some(0));
    let transfer = BankCommand::Transfer(Transfer {
        payer: founder,
        payee: member.parse::<EntityId>().unwrap().account(),
        amount: Amount { denom: Denom::new("usd").unwrap(), units: Units(10_000) },
        reference: None,
    });
    let signs = LocalHome::at(Path::new(&alone.home)).unwrap().founder().unwrap();
    signs.public(BANK, &[(transfer.tag(), transfer.to_sce()[2..].to_vec())]).unwrap();
    // The founder collects what it pays here: 9,900 of 10,000 have left.
    assert_eq!(alone.decoded(&format!("/ssn/bank/{member}/usd")), "9900");
    assert_eq!(alone.decoded(&format!("/ssn/bank/{founder}/usd")), "990100");
    let audit = alone.decoded("/ssn/bank/audit");
    assert_eq!(
        (&audit[0]["supply"], &audit[0]["balances"]),
        (&"1000000".into(), &"1000000".into()),
        "{audit}"
    );
}

/// Each takes the sequence that it finds; who is overtaken signs again, and nothing is made twice.
#[test]
fn commands_of_one_member_at_once_all_come_into_blocks() {
    let alone = Alone::start(&["--denom", "usd:2"]);
    let founder = alone.founder().to_string();
    let mint = ["mint", &founder, "100", "usd", "--home", &alone.home];
    std::thread::scope(|threads| {
        let commands: Vec<_> = (0..6).map(|_| threads.spawn(|| ask(&mint))).collect();
        for command in commands {
            let (code, said) = command.join().unwrap();
            assert_eq!(code, Some(0), "{said}");
        }
    });
    assert_eq!(alone.decoded(&format!("/ssn/bank/{founder}/usd")), "600");
}

/// A command that was told of no block made its payment minutes later, and its repetition another.
#[test]
fn what_a_command_signs_is_dead_after_a_hundred_blocks() {
    let alone = Alone::start(&["--denom", "usd:2"]);
    let founder = alone.founder().to_string();
    let (code, said) = ask(&["mint", &founder, "100", "usd", "--home", &alone.home]);
    assert_eq!(code, Some(0), "{said}");
    let asked = serde_json::json!({"query": "tx.height > 0", "order_by": "desc"});
    let found = Rpc::new(&alone.url).call("tx_search", &asked).unwrap();
    let bytes = Base64::decode_vec(found["txs"][0]["tx"].as_str().unwrap()).unwrap();
    let height: u64 = found["txs"][0]["height"].as_str().unwrap().parse().unwrap();
    let envelope = Envelope::from_bytes(bytes).unwrap();
    let Request::PublicTx(request) = envelope.request() else { panic!("{envelope:?}") };
    let expires = request.content.body.header.0.expires_height;
    assert!((height..height + 100).contains(&expires), "{expires}, in block {height}");
}

/// A node whose index does not know the transaction yet, as one that lags behind.
fn without_index(target: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let target = Rpc::new(target);
    // It ends with the process.
    std::thread::spawn(move || {
        for caller in listener.incoming().flatten() {
            let target = target.clone();
            std::thread::spawn(move || answer_without_index(&caller, &target));
        }
    });
    url
}

fn answer_without_index(caller: &TcpStream, target: &Rpc) {
    let mut reader = BufReader::new(caller);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let answer = match asked["method"].as_str().unwrap() {
            "tx" => json!({"error": {"code": -32603, "message": "Internal error", "data": "tx not found"}}),
            method => json!({"result": target.call(method, &asked["params"]).unwrap()}),
        };
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        (&mut &*caller).write_all(format!("{head}{answer}").as_bytes()).unwrap();
    }
}

/// It was told as refused, and a proposal was made twice.
#[test]
fn what_stands_in_a_block_is_done_whatever_the_index_knows() {
    let alone = Alone::start(&["--denom", "usd:2"]);
    let mut founder = LocalHome::at(Path::new(&alone.home)).unwrap().founder().unwrap();
    founder.rpc = Rpc::new(&without_index(&alone.url));
    let denom = Denom::new("usd").unwrap();
    let amount = Amount { denom, units: Units(5) };
    let mint = Mint { issuer: founder.entity, to: founder.entity.account(), amount };
    founder.bank(&[BankCommand::Mint(mint)]).unwrap();
    assert_eq!(alone.decoded(&format!("/ssn/bank/{}/usd", founder.entity)), "5");
    let text = Action::Text(TextAction { hash: ves::Digest([7; 32]) });
    let submit = Submit { title: Text::default(), actions: List::new([text]).unwrap(), expedited: false };
    founder.govern(&GovernanceMessage::Submit(Box::new(submit))).unwrap();
    let (_, all) = ask(&["proposals", "--node", &alone.url]);
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
}

/// What readmits it has to come into a block: a validator whose entity is suspended orders on, and stores no capsules.
#[test]
fn a_suspended_notary_orders_on_after_a_restart() {
    let mut alone = Alone::start(&["--param", "empty_block_interval_ms=1000"]);
    let founder = alone.founder().to_string();
    let home = alone.home.clone();
    let suspend = ["propose", "--home", &home, "suspend", &founder, "--reason", "x", "--expedited", "--vote"];
    let (code, said) = ask(&suspend);
    assert_eq!((code, &said["status"]), (Some(0), &"EXECUTED".into()), "{said}");
    alone.restart();
    let before = until("a block", || height(&alone.url).filter(|height| *height > 0));
    // Long after the ledger has proven who is a member.
    until("blocks", || {
        assert_eq!(alone.node.ended(), None);
        height(&alone.url).filter(|height| *height > before + 4)
    });
    assert_eq!(alone.decoded(&format!("/ssn/entities/{founder}"))["status"], "SUSPENDED");
}

/// Five seconds are the pause where members decide nothing.
#[test]
fn empty_blocks_come_with_the_pause_that_members_decided_on() {
    let alone = Alone::start(&["--param", "empty_block_interval_ms=700"]);
    let rpc = Rpc::new(&alone.url);
    until("blocks", || height(&alone.url).filter(|height| *height > 5));
    let time = |height: u64| {
        let block = rpc.call("header", &serde_json::json!({"height": height.to_string()})).unwrap();
        let text = block["header"]["time"].as_str().unwrap();
        tendermint::Time::parse_from_rfc3339(text).unwrap()
    };
    let pause = time(6).duration_since(time(5)).unwrap();
    assert!(pause.as_millis() >= 690 && pause.as_secs() < 5, "{pause:?}");
}

#[test]
fn a_query_shows_what_the_bytes_say() {
    let alone = Alone::start(&["--param", "voting_blocks=77"]);
    assert_eq!(alone.decoded("/ssn/params")["voting_blocks"], 77);
    assert_eq!(alone.decoded("/ssn/params/voting_blocks"), 77);
    assert_eq!(alone.decoded("/ssn/entities")[0]["name"], "company-1");
    assert_eq!(alone.decoded("/ssn/status")["app_version"], 1);
    let key = ves::hex::encode(b"chain");
    let (_, chain) = alone.query("/store/gov/key", &["--data", &key]);
    assert_eq!(chain["decoded"]["chain_id"], "stateset-1", "{chain}");
    let (_, raw) = alone.query("/store/gov/key", &["--data", &key, "--raw"]);
    assert_eq!((&raw["value"], raw.get("decoded")), (&chain["value"], None));
    // Proven, too.
    let genesis = format!("{}/genesis.json", alone.home);
    let proven = until("the header", || {
        let (code, said) = alone.query("/ssn/params", &["--prove", "--genesis", &genesis]);
        (code == Some(0)).then_some(said)
    });
    assert_eq!(
        (&proven["verified"], &proven["decoded"]["voting_blocks"]),
        (&true.into(), &77.into()),
        "{proven}"
    );
    let (code, unknown) = alone.query("/ssn/params/x/y", &[]);
    assert_eq!(code, Some(1));
    let said = unknown["error"]["message"].as_str().unwrap();
    assert!(said.contains("/ssn/gov/proposals/{number}"), "{said}");
}
