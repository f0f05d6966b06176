//! Unmodified public clients from npm (testing/x402/js) pay, and ask the facilitator.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use set_registry::devnet::ACCOUNT_KEYS;
use stateset_x402::header;

use crate::world::{BASE_SEPOLIA, PAYER, SET_CHAIN, World, is_left_out};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/x402/js")
}

/// Whether the clients are there, which continuous integration asks for.
fn are_installed() -> bool {
    let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    (has_node && folder().join("node_modules/x402-fetch").is_dir())
        || !is_left_out(
            "the public clients are missing: node, and `npm ci --ignore-scripts` in testing/x402/js",
        )
}

async fn node(script: &'static str, args: Vec<String>, input: String) -> Value {
    let run = move || {
        use std::io::Write as _;
        let mut command = Command::new("node");
        command.current_dir(folder()).arg(script).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}: {problem}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{script}: {error}: {problem}"))
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn buy(world: &World, version: &str, count: u64, more: Vec<String>) -> Vec<Value> {
    let url = format!("{}/paid", world.serve().await);
    let args = [version.to_owned(), url, ACCOUNT_KEYS[PAYER].to_owned(), count.to_string()];
    let answers = node("client.mjs", [args.to_vec(), more].concat(), String::new()).await;
    let answers = answers.as_array().unwrap().clone();
    for answer in &answers {
        assert_eq!(
            (&answer["status"], &answer["settlement"]["success"]),
            (&json!(200), &json!(true)),
            "{answer}"
        );
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_of_version_2_pays_a_token_that_it_knows() {
    if !are_installed() {
        return;
    }
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let answers = buy(&world, "v2", 4, Vec::new()).await;
    assert_eq!(answers[0]["settlement"]["network"], "eip155:84532");
    assert_eq!(world.sold(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_of_version_1_pays() {
    if !are_installed() {
        return;
    }
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let answers = buy(&world, "v1", 2, Vec::new()).await;
    assert_eq!(answers[0]["settlement"]["network"], "base-sepolia");
    assert_eq!(world.sold(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_of_version_2_pays_on_set_chain_once_it_allows_the_token() {
    if !are_installed() {
        return;
    }
    let Some(world) = World::open(SET_CHAIN).await else { return };
    let more = vec![format!("eip155:{SET_CHAIN}"), world.dollar.to_string()];
    buy(&world, "v2", 2, more).await;
    assert_eq!(world.sold(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_public_client_of_facilitators_verifies_and_settles_with_ours() {
    if !are_installed() {
        return;
    }
    let Some(world) = World::open(BASE_SEPOLIA).await else { return };
    let (_, value) = world.payment().await;
    let payload: Value = header::read(value.as_bytes()).unwrap();
    let input = json!({"payload": payload, "requirements": world.offer().requirements()}).to_string();
    let url = world.serve().await;
    let answer = node("facilitator.mjs", vec![url.clone()], input.clone()).await;
    assert_eq!(answer["verified"]["isValid"], true, "{answer}");
    assert_eq!(answer["settled"]["success"], true, "{answer}");
    assert_eq!(answer["supported"]["kinds"][0]["network"], "eip155:84532");
    assert_eq!(world.sold(), 1);
    // Asked again, it gives the first outcome.
    let again = node("facilitator.mjs", vec![url], input).await;
    assert_eq!(again["verified"]["isValid"], false, "{again}");
    assert_eq!(again["settled"]["transaction"], answer["settled"]["transaction"]);
    assert_eq!(world.sold(), 1);
}
