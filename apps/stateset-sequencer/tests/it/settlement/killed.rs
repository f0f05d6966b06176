//! The whole program, killed with its batch on the way.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use set_registry::devnet::ACCOUNT_KEYS;
use stateset_fixtures::{Agent, stream};
use stateset_sequencer::PaymentContent;

use super::chain::{MERCHANT, PAYER, POOR, PRICE, SETTLER, World, authorized_by, unsigned};
use crate::running::Running;

/// A running program; dropping it is `kill -9`.
struct Program(Running);

impl Program {
    fn start(world: &World) -> Self {
        let (token, contract, url) = (world.token_line(), world.contract.to_string(), world.anvil.url());
        Self(Running::start(
            world.folder.path(),
            &[
                ("GRPC_DISABLED", "true"),
                ("X402_TOKENS", &token),
                ("X402_BATCH_INTERVAL_SECS", "1"),
                ("X402_BATCH_MIN_SIZE", "6"),
                ("X402_SETTLEMENT_RPC_URL", &url),
                ("X402_SETTLEMENT_CONTRACT", &contract),
                ("X402_SETTLEMENT_KEY", ACCOUNT_KEYS[SETTLER]),
                ("X402_SETTLEMENT_CONFIRMATIONS", "1"),
            ],
        ))
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        self.0.ask(method, &format!("/api/v1/x402{path}"), body)
    }

    fn payments(&self, tenant: &str) -> Vec<Value> {
        self.ask("GET", &format!("/payments?tenant_id={tenant}"), "").as_array().unwrap().clone()
    }
}

/// As an agent writes it.
fn body(content: &PaymentContent) -> String {
    let authorization = content.authorization.unwrap();
    let hex = ves::hex::encode_0x;
    json!({
        "tenant_id": content.tenant_id, "store_id": content.store_id, "agent_id": content.agent_id,
        "payer_address": content.payer_address, "payee_address": content.payee_address,
        "amount": content.amount, "asset": content.asset, "network": content.network,
        "valid_until": content.valid_until, "nonce": content.nonce,
        "signing_hash": content.signing_hash.to_0x(), "payer_signature": hex(&content.payer_signature),
        "authorization": {
            "from": hex(&authorization.from), "to": hex(&authorization.to), "value": authorization.value,
            "valid_after": 0, "valid_before": authorization.valid_before, "nonce": authorization.nonce.to_0x(),
            "signature": hex(&authorization.signature),
        },
    })
    .to_string()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} does not come");
}

#[test]
fn a_program_that_is_killed_with_its_batch_on_the_way_settles_it_once() {
    let Some(world) = World::open() else { return };
    let (stream, agent) = (stream(1), Agent::new(&stream(1), 1));
    let tenant = stream.tenant_id.to_string();
    world.ask("evm_setAutomine", &json!([false]));
    let program = Program::start(&world);
    for nonce in 1..=6 {
        let wallet = if nonce == 4 { POOR } else { PAYER };
        let content = authorized_by(&agent, &world, unsigned(&agent, &stream, nonce), wallet);
        let answer = program.ask("POST", "/payments", &body(&content));
        assert_eq!(
            (answer["status"].as_str(), answer["sequence_number"].as_u64()),
            (Some("sequenced"), Some(nonce))
        );
    }
    let batch = until("a batch", || program.payments(&tenant)[0]["batch_id"].as_str().map(str::to_owned));
    let path = format!("/batches/{batch}");
    let sent = until("a transaction", || {
        let found = program.ask("GET", &path, "");
        (found["batch"]["status"] == "submitted").then(|| found["batch"]["tx_hash"].clone())
    });
    drop(program);

    let program = Program::start(&world);
    world.ask("evm_mine", &json!([]));
    world.ask("evm_setAutomine", &json!([true]));
    until("the end", || (program.ask("GET", &path, "")["batch"]["status"] == "settled").then_some(()));
    let found = program.ask("GET", &path, "");
    assert_eq!((&found["batch"]["tx_hash"], &found["batch"]["authorized"]), (&sent, &json!(true)));
    let payments = program.payments(&tenant);
    let statuses: Vec<_> = payments.iter().map(|payment| payment["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["settled", "settled", "settled", "failed", "settled", "settled"]);
    // A payer who asks for his own is told why, as a list tells it.
    let failed = program.ask("GET", &format!("/payments/{}", payments[3]["intent_id"].as_str().unwrap()), "");
    assert!(failed["reason"].is_string() && failed["reason"] == payments[3]["reason"], "{failed}");
    for payment in &payments {
        let id = payment["intent_id"].as_str().unwrap();
        let receipt = program.ask("GET", &format!("/payments/{id}/receipt"), "");
        assert_eq!(receipt["receipt"]["tx_hash"], sent, "each receipt names the transaction");
    }
    drop(program);

    // Killed again after the end: nothing is sent any more.
    let program = Program::start(&world);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(program.payments(&tenant).len(), 6);
    let balance = set_registry::abi::TestDollar::balanceOfCall { account: MERCHANT };
    let node = world.anvil.node();
    let paid: u64 = node.view(world.dollar, &balance, set_registry::BlockAt::Latest).unwrap().to();
    assert_eq!((paid, world.sent_by_settler()), (5 * PRICE, 1));
}
