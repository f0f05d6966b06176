//! Unmodified public clients pay, and ask the facilitator: those of npm (testing/x402/js) and one in Rust (testing/x402/rust).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use set_registry::devnet::ACCOUNT_KEYS;
use stateset_x402::{Version, header};

use crate::world::{BASE_SEPOLIA, MERCHANT, PAYER, PRICE, SET_CHAIN, World, is_left_out, key};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/x402/js")
}

/// Runs a script of that folder, where the clients are there, which continuous integration asks for.
fn node(script: &str) -> Option<Command> {
    let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_node || !folder().join("node_modules/x402-fetch").is_dir() {
        let missing =
            "the public clients are missing: node, and `npm ci --ignore-scripts` in testing/x402/js";
        is_left_out(missing);
        return None;
    }
    let mut node = Command::new("node");
    node.current_dir(folder()).arg(script);
    Some(node)
}

/// The client in Rust, where `cargo xtask install` builds it: beside what cargo builds for these tests.
fn rust_client() -> Option<Command> {
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(3).expect("a test lies in TARGET/PROFILE/deps");
    let client = target.join("x402/debug/x402-public-client");
    if !client.is_file() {
        is_left_out("the public Rust client of x402 is missing: cargo xtask install builds it");
        return None;
    }
    Some(Command::new(client))
}

/// What a program says of its input.
async fn run(mut command: Command, input: String) -> Value {
    let run = move || {
        use std::io::Write as _;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {problem}");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{command:?}: {error}: {problem}"))
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Buys the route `count` times at once, and looks at what payer, merchant, route and history have of it.
async fn buy(world: &World, mut client: Command, version: Version, count: u64, more: &[String]) {
    let named = format!("v{}", version.number());
    client.args([&named, &format!("{}/paid", world.serve().await), ACCOUNT_KEYS[PAYER], &count.to_string()]);
    client.args(more);
    let payer = key(PAYER).address();
    let gas = world.ether(payer);
    let answers = run(client, String::new()).await;
    let network = match version {
        Version::One => "base-sepolia".to_owned(),
        Version::Two => format!("eip155:{}", world.chain_id),
    };
    let mut numbers = Vec::new();
    for answer in answers.as_array().unwrap() {
        let settlement = &answer["settlement"];
        assert_eq!((&answer["status"], &settlement["success"]), (&json!(200), &json!(true)), "{answer}");
        assert_eq!(settlement["network"], network.as_str());
        let number = settlement["extensions"]["stateset"]["sequenceNumber"].as_u64().unwrap();
        let told = world.log.told.lock().unwrap()[number as usize - 1].clone();
        assert_eq!(settlement["transaction"], told.transaction.to_string(), "of another payment");
        assert_eq!((told.authorization.from, told.authorization.to), (payer, MERCHANT));
        assert_eq!((told.authorization.value.to::<u64>(), told.version), (PRICE, version));
        numbers.push(number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "each has its place in the history");
    assert_eq!((world.sold(), world.ether(payer)), (count, gas));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_of_version_2_pays_a_token_that_it_knows() {
    let Some(client) = node("client.mjs") else { return };
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    buy(&world, client, Version::Two, 4, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_of_version_1_pays() {
    let Some(client) = node("client.mjs") else { return };
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    buy(&world, client, Version::One, 2, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_of_version_2_pays_on_set_chain_once_it_allows_the_token() {
    let Some(client) = node("client.mjs") else { return };
    let Some(world) = World::open(SET_CHAIN).await else { return };
    let more = [format!("eip155:{SET_CHAIN}"), world.dollar.to_string()];
    buy(&world, client, Version::Two, 2, &more).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_in_rust_pays_in_version_2() {
    let Some(client) = rust_client() else { return };
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    buy(&world, client, Version::Two, 4, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_in_rust_pays_in_version_1() {
    let Some(client) = rust_client() else { return };
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    buy(&world, client, Version::One, 2, &[]).await;
}

/// It asks for no leave: its makers know no list of tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_in_rust_pays_on_set_chain() {
    let Some(client) = rust_client() else { return };
    let Some(world) = World::open(SET_CHAIN).await else { return };
    buy(&world, client, Version::Two, 2, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_public_client_of_facilitators_verifies_and_settles_with_ours() {
    let (Some(first), Some(second)) = (node("facilitator.mjs"), node("facilitator.mjs")) else { return };
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (_, value) = world.payment().await;
    let payload: Value = header::read(value.as_bytes()).unwrap();
    let input = json!({"payload": payload, "requirements": world.offer().requirements()}).to_string();
    let url = world.serve().await;
    let ask = |mut client: Command| {
        client.arg(&url);
        run(client, input.clone())
    };
    let answer = ask(first).await;
    assert_eq!(answer["verified"]["isValid"], true, "{answer}");
    assert_eq!(answer["settled"]["success"], true, "{answer}");
    assert_eq!(answer["supported"]["kinds"][0]["network"], "eip155:84532");
    assert_eq!(world.sold(), 1);
    // Asked again, it gives the first outcome.
    let again = ask(second).await;
    assert_eq!(again["verified"]["isValid"], false, "{again}");
    assert_eq!(again["settled"]["transaction"], answer["settled"]["transaction"]);
    assert_eq!(world.sold(), 1);
}
