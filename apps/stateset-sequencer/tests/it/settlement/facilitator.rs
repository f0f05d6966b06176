//! The facilitator of the program: shops verify and settle by HTTP, in both versions, and each payment becomes an intent.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use set_registry::abi::TestDollar::balanceOfCall;
use set_registry::devnet::{ACCOUNT_KEYS, AnvilSettings};
use set_registry::{B256, BlockAt, U256};
use stateset_x402::{Authorization, ChainTable, Offer, Resource, Token};

use super::chain::{MERCHANT, PAYER, POOR, PRICE, World, key, now_s};
use crate::running::Running;

/// Base Sepolia, which version 1 has a name for.
const CHAIN: u64 = 84_532;
const TOKEN: &str = "a-token-for-the-shops-of-this-operator";
const TENANT: &str = "00000000-0000-4000-8000-000000000001";
const STREAM: &str = "00000000-0000-4000-8000-000000000001/00000000-0000-4000-8000-000000000002";

fn world() -> Option<World> {
    World::open_on(&AnvilSettings { chain_id: Some(CHAIN), ..AnvilSettings::default() })
}

fn start(world: &World, rpc_url: &str) -> Running {
    let dollar = format!("base_sepolia:usdc={}", world.dollar);
    Running::start(
        world.folder.path(),
        &[
            ("GRPC_DISABLED", "true"),
            ("X402_TOKENS", &dollar),
            ("X402_FACILITATOR_LISTEN", "127.0.0.1:0"),
            ("X402_FACILITATOR_RPC_URL", rpc_url),
            ("X402_FACILITATOR_KEY", ACCOUNT_KEYS[POOR]),
            ("X402_FACILITATOR_STREAM", STREAM),
            ("X402_FACILITATOR_TOKEN", TOKEN),
        ],
    )
}

/// Status and body.
fn ask(program: &Running, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(program.text("facilitator").trim_start_matches("http://")).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Asks until it is ready.
fn wait(program: &Running) {
    let started = Instant::now();
    while ask(program, "GET", "/ready", "", "").0 != 200 {
        assert!(started.elapsed() < Duration::from_secs(30), "it is not ready");
        thread::sleep(Duration::from_millis(20));
    }
}

fn offer(world: &World) -> Offer {
    let token = Token { address: world.dollar, name: "USDC".to_owned(), version: "2".to_owned() };
    Offer { chain_id: CHAIN, token, amount: U256::from(PRICE), pay_to: MERCHANT, timeout_s: 60 }
}

/// What a shop sends of one payment: payload and requirements in version 2, and in version 1.
fn payment(world: &World, nonce: u8) -> [Value; 2] {
    let (offer, payer) = (offer(world), key(PAYER));
    let authorization = Authorization {
        from: payer.address(),
        to: MERCHANT,
        value: offer.amount,
        valid_after: U256::ZERO,
        valid_before: U256::from(now_s() + 600),
        nonce: B256::repeat_byte(nonce),
    };
    let signature = payer.sign(&authorization.digest(&offer.domain())).as_bytes();
    let signed = json!({
        "signature": ves::hex::encode_0x(&signature),
        "authorization": {
            "from": authorization.from, "to": authorization.to, "value": authorization.value.to_string(),
            "validAfter": "0", "validBefore": authorization.valid_before.to_string(), "nonce": authorization.nonce,
        },
    });
    let resource = Resource {
        url: "https://shop.example/report".into(),
        description: "r".into(),
        mime_type: "a/b".into(),
    };
    let (second, first) = (offer.requirements(), offer.requirements_v1(&ChainTable::default(), &resource));
    let of_two = json!({"x402Version": 2, "accepted": second, "payload": signed});
    let of_one = json!({"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": signed});
    [
        json!({"x402Version": 2, "paymentPayload": of_two, "paymentRequirements": second}),
        json!({"x402Version": 1, "paymentPayload": of_one, "paymentRequirements": first.unwrap()}),
    ]
}

fn sold(world: &World) -> u64 {
    let node = world.anvil.node();
    node.view(world.dollar, &balanceOfCall { account: MERCHANT }, BlockAt::Latest).unwrap().to()
}

fn intents(program: &Running) -> Vec<Value> {
    program.ask("GET", &format!("/api/v1/x402/payments?tenant_id={TENANT}"), "").as_array().unwrap().clone()
}

#[test]
fn shops_settle_in_both_versions_each_payment_once_and_each_is_an_intent() {
    let Some(world) = world() else { return };
    let program = start(&world, &world.anvil.url());
    wait(&program);
    let (status, answer) = ask(&program, "GET", "/supported", "another-token", "");
    assert_eq!(status, 401, "{answer}");
    let (_, supported) = ask(&program, "GET", "/supported", TOKEN, "");
    let networks: Vec<_> =
        supported["kinds"].as_array().unwrap().iter().map(|kind| &kind["network"]).collect();
    assert_eq!(networks, ["eip155:84532", "base-sepolia"]);
    assert_eq!(supported["signers"]["eip155:*"], json!([key(POOR).address().to_checksum(None)]));

    let [second, _] = payment(&world, 1);
    let [_, first] = payment(&world, 2);
    let mut transactions = Vec::new();
    for asked in [&second, &first] {
        let body = asked.to_string();
        assert_eq!(ask(&program, "POST", "/settle", "", &body).0, 401);
        assert_eq!(ask(&program, "POST", "/verify", TOKEN, &body).1["isValid"], true);
        let (status, settled) = ask(&program, "POST", "/settle", TOKEN, &body);
        assert_eq!((status, &settled["success"]), (200, &json!(true)), "{settled}");
        transactions.push(settled["transaction"].clone());
    }
    let mut spoiled = payment(&world, 3)[0].clone();
    spoiled["paymentPayload"]["payload"]["authorization"]["value"] = json!((PRICE + 1).to_string());
    assert_eq!(ask(&program, "POST", "/verify", TOKEN, &spoiled.to_string()).1["isValid"], false);
    assert_eq!(sold(&world), 2 * PRICE);
    let told = intents(&program);
    let of = |member: &str| told.iter().map(|intent| intent[member].clone()).collect::<Vec<_>>();
    assert_eq!(of("status"), ["settled", "settled"]);
    assert_eq!(of("tx_hash"), transactions);

    // Killed and started again, it gives the first result.
    drop(program);
    let program = start(&world, &world.anvil.url());
    wait(&program);
    let (_, again) = ask(&program, "POST", "/settle", TOKEN, &second.to_string());
    assert_eq!((&again["success"], &again["transaction"]), (&json!(true), &transactions[0]));
    assert_eq!((sold(&world), intents(&program).len()), (2 * PRICE, 2));
    let (status, last) = program.end("-TERM");
    assert!(status == 0 && last.contains("stopped"), "{last}");
}

#[test]
fn the_public_client_of_facilitators_settles_with_the_token_of_the_service() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/x402/js");
    let Some(world) = world() else { return };
    let in_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    if !folder.join("node_modules/@x402").is_dir() {
        assert!(!in_ci, "the public clients are missing: `npm ci --ignore-scripts` in testing/x402/js");
        eprintln!("not tested here: the public clients of x402 are missing");
        return;
    }
    let program = start(&world, &world.anvil.url());
    wait(&program);
    let [asked, _] = payment(&world, 1);
    let mut client = Command::new("node");
    client.current_dir(folder).args(["facilitator.mjs", program.text("facilitator"), TOKEN]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = json!({"payload": asked["paymentPayload"], "requirements": asked["paymentRequirements"]});
    client.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["verified"]["isValid"], &answer["settled"]["success"]), (&json!(true), &json!(true)));
    assert_eq!(sold(&world), PRICE);
    assert_eq!(intents(&program)[0]["tx_hash"], answer["settled"]["transaction"]);
}

/// A chain that is away when the service starts; `is_there` brings it.
fn away(world: &World, is_there: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, chain) = (format!("http://{}", listener.local_addr().unwrap()), world.anvil.url());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let caller = stream.unwrap();
            if !is_there.load(Ordering::Relaxed) {
                continue;
            }
            let node = TcpStream::connect(chain.trim_start_matches("http://")).unwrap();
            for (mut from, mut to) in
                [(caller.try_clone().unwrap(), node.try_clone().unwrap()), (node, caller)]
            {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    url
}

#[test]
fn a_chain_that_comes_later_is_waited_for_beside_the_service() {
    let Some(world) = world() else { return };
    let is_there = Arc::new(AtomicBool::new(false));
    let program = start(&world, &away(&world, is_there.clone()));
    assert!(intents(&program).is_empty(), "the service itself answers");
    let [asked, _] = payment(&world, 1);
    for (method, path) in [("GET", "/ready"), ("GET", "/supported"), ("POST", "/settle")] {
        let (status, answer) = ask(&program, method, path, TOKEN, &asked.to_string());
        assert!(status == 503 && answer["error"].is_string(), "{path}: {status} {answer}");
    }
    is_there.store(true, Ordering::Relaxed);
    wait(&program);
    let (_, settled) = ask(&program, "POST", "/settle", TOKEN, &asked.to_string());
    assert_eq!(settled["success"], true, "{settled}");
    assert_eq!(sold(&world), PRICE);
}
