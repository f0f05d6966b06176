//! Section 3.8: fields, codes and rights of the payment routes.

use serde_json::{Value, json};
use stateset_event_log::MemoryDisk;
use stateset_fixtures::{Agent, NOW, stream};
use stateset_sequencer_api::{ApiConfig, AuthMode};
use ves::StreamKey;
use ves::x402::{Asset, Binding, Network, Terms, TokenTable};

use crate::world::World;

pub const PAYMENTS: &str = "/api/v1/x402/payments";
const BATCHES: &str = "/api/v1/x402/batches";

fn now_s() -> u64 {
    (NOW.0 / 1000) as u64
}

fn terms(payer: &Agent, amount: u64, nonce: u64) -> Terms {
    Terms {
        payer: ves::hex::encode_0x(&payer.public_key()),
        payee: format!("0x{}", "b2".repeat(32)),
        amount,
        asset: Asset::Usdc,
        network: Network::Base,
        valid_until_s: now_s() + 600,
        nonce,
    }
}

fn body(payer: &Agent, stream: &StreamKey, terms: &Terms, hash: ves::Digest) -> Value {
    json!({
        "tenant_id": stream.tenant_id, "store_id": stream.store_id, "agent_id": payer.agent_id,
        "payer_address": terms.payer, "payee_address": terms.payee, "amount": terms.amount,
        "asset": terms.asset, "network": terms.network, "valid_until": terms.valid_until_s, "nonce": terms.nonce,
        "signing_hash": hash.to_0x(),
        "payer_signature": ves::hex::encode_0x(&payer.signing_key().sign(&hash.0)),
        "payer_public_key": ves::hex::encode(&payer.public_key()),
    })
}

/// A request in the second form.
pub fn intent(payer: &Agent, stream: &StreamKey, amount: u64, nonce: u64) -> Value {
    let terms = terms(payer, amount, nonce);
    let token = TokenTable::default().get(terms.network, terms.asset).expect("known");
    let binding = Binding { stream: *stream, token, resource_uri: None, order_id: None };
    body(payer, stream, &terms, terms.signing_hash_v2(&binding).expect("sound addresses"))
}

fn batch_of(stream: &StreamKey) -> Value {
    json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "network": "base"})
}

#[tokio::test]
async fn an_intent_goes_from_its_number_to_its_receipt() {
    let (world, agent, stream) = World::with_agent().await;
    let sent = world.post(PAYMENTS, intent(&agent, &stream, 1_500, 1)).await.ok();
    let id = sent["intent_id"].as_str().expect("an id").to_owned();
    assert_eq!((&sent["status"], &sent["sequence_number"]), (&json!("sequenced"), &json!(1)));
    assert_eq!(sent["batch_id"], Value::Null);
    let place = format!("{PAYMENTS}/{id}");
    assert_eq!(world.get(&place).await.ok(), sent, "the same shape");
    world.get(&format!("{place}/receipt")).await.refused(404, "RESOURCE_NOT_FOUND");
    world.post(PAYMENTS, intent(&agent, &stream, 2_500, 2)).await.ok();

    let made = world.post(BATCHES, batch_of(&stream)).await.ok();
    assert_eq!((&made["status"], &made["payment_count"]), (&json!("committed"), &json!(2)));
    assert_eq!(made["sequence_range"], json!([1, 2]));
    world.post(BATCHES, batch_of(&stream)).await.refused(400, "INVALID_FIELD_VALUE");
    let batch_id = made["batch_id"].as_str().expect("an id");
    let batch = world.get(&format!("{BATCHES}/{batch_id}")).await.ok()["batch"].clone();
    assert_eq!(
        batch["total_amounts"],
        json!([{"asset": "usdc", "total_amount": "4000", "payment_count": 2}])
    );
    assert_eq!(batch["intent_ids"][0], json!(id));
    let receipt = world.get(&format!("{place}/receipt")).await.ok()["receipt"].clone();
    assert_eq!((&receipt["merkle_root"], &receipt["total_leaves"]), (&made["merkle_root"], &json!(2)));
    assert!(receipt["inclusion_proof"][0].as_str().is_some_and(|hash| hash.starts_with("0x")));

    let tx = format!("0x{}", "17".repeat(32));
    let settle = |more: Value| {
        let mut body = json!({"batch_id": batch_id});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let path = format!("{BATCHES}/settle");
    world.post(&path, settle(json!({}))).await.refused(400, "MISSING_REQUIRED_FIELD");
    let settled = world.post(&path, settle(json!({"tx_hash": tx, "block_number": 5}))).await.ok();
    assert_eq!((&settled["status"], &settled["tx_hash"]), (&json!("submitted"), &json!(tx)));
    assert!(settled["message"].as_str().unwrap().contains("no chain is joined"), "{settled}");
    let other = settle(json!({"tx_hash": "18".repeat(32)}));
    world.post(&path, other).await.refused(400, "INVALID_FIELD_VALUE");
    let unknown = json!({"batch_id": id, "tx_hash": tx});
    world.post(&path, unknown).await.refused(404, "BATCH_NOT_FOUND");

    let query = format!("{PAYMENTS}?tenant_id={}&batch_id={batch_id}&status=batched", stream.tenant_id);
    let listed = world.get(&query).await.ok();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "a bare array");
    assert_eq!((&listed[0]["x402_version"], &listed[0]["amount"]), (&json!(2), &json!(1_500)));
    world.stop().await;
}

#[tokio::test]
async fn refusals_have_the_codes_of_the_specification() {
    let (world, agent, stream) = World::with_agent().await;
    let plain = || intent(&agent, &stream, 10, 1);
    let with = |member: &str, value: Value| {
        let mut body = plain();
        body[member] = value;
        body
    };
    let said = world.post(PAYMENTS, with("amount", json!(11))).await.refused(400, "INVALID_FIELD_VALUE");
    assert!(said.starts_with("signing_hash"), "{said}");
    let forged = with("payer_signature", json!("00".repeat(64)));
    world.post(PAYMENTS, forged).await.refused(400, "SIGNATURE_VERIFICATION_FAILED");
    let wide = with("payer_signature", json!("00".repeat(65)));
    world.post(PAYMENTS, wide).await.refused(400, "INVALID_FIELD_VALUE");
    for (member, value) in [("asset", "gold"), ("network", "mars"), ("payer_address", "0x12")] {
        let said = world.post(PAYMENTS, with(member, json!(value))).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(said.starts_with(member), "{said}");
    }
    world.post(PAYMENTS, with("amount", json!(1.5))).await.refused(400, "INVALID_FIELD_VALUE");
    let wallet = with("payer_address", json!(format!("0x{}", "a1".repeat(20))));
    let said = world.post(PAYMENTS, wallet).await.refused(400, "INVALID_FIELD_VALUE");
    assert!(said.starts_with("signing_hash"), "its hash is wrong before its key is looked for: {said}");
    world.post(PAYMENTS, plain()).await.ok();
    world.post(PAYMENTS, plain()).await.refused(409, "ALREADY_EXISTS");

    let keyed = |nonce: u64| {
        let mut body = intent(&agent, &stream, 10, nonce);
        body["idempotency_key"] = json!("k");
        body
    };
    let first = world.post(PAYMENTS, keyed(2)).await.ok();
    assert_eq!(world.post(PAYMENTS, keyed(2)).await.ok(), first);
    let said = world.post(PAYMENTS, keyed(3)).await.refused(409, "ALREADY_EXISTS");
    assert!(!said.contains(first["intent_id"].as_str().unwrap()), "{said}");

    let list = |rest: &str| format!("{PAYMENTS}?tenant_id={}{rest}", stream.tenant_id);
    for rest in
        ["&limit=0", "&limit=1001", "&offset=10001", "&status=paid", "&payer_address=0x1", "&from_date=now"]
    {
        world.get(&list(rest)).await.refused(400, "INVALID_FIELD_VALUE");
    }
    let all = world.get(&list("")).await.ok();
    assert_eq!(world.get(&list("&to_date=9999-12-31T23:59:59Z")).await.ok(), all, "for ever is a date");
    assert_ne!(world.get(&list("&from_date=9999-12-31T23:59:59.999Z")).await.ok(), all);
    world.get(PAYMENTS).await.refused(400, "MISSING_REQUIRED_FIELD");
    world.get(&format!("{PAYMENTS}/{}", stream.tenant_id)).await.refused(404, "RESOURCE_NOT_FOUND");
    world.stop().await;
}

#[tokio::test]
async fn amounts_beyond_a_double_are_exact_as_text() {
    let (world, agent, stream) = World::with_agent().await;
    let amount = i64::MAX as u64;
    for (nonce, sent) in [(1, json!(amount)), (2, json!(amount.to_string()))] {
        let mut body = intent(&agent, &stream, amount, nonce);
        body["amount"] = sent;
        body["nonce"] = json!(nonce.to_string());
        world.post(PAYMENTS, body).await.ok();
    }
    let listed = world.get(&format!("{PAYMENTS}?tenant_id={}", stream.tenant_id)).await.ok();
    assert_eq!(listed[0]["amount"], json!(amount.to_string()));
    let made = world.post(BATCHES, batch_of(&stream)).await.ok();
    let batch = world.get(&format!("{BATCHES}/{}", made["batch_id"].as_str().unwrap())).await.ok();
    assert_eq!(
        batch["batch"]["total_amounts"][0]["total_amount"],
        json!((2 * u128::from(amount)).to_string())
    );
    world.stop().await;
}

/// Section 3.12: the JavaScript client signs the first form, calls without a credential, and its payer is its key.
#[tokio::test]
async fn the_javascript_client_pays_where_the_setting_admits_it() {
    let stream = stream(1);
    let payer = Agent::new(&stream, 4);
    let terms = terms(&payer, 100, 1);
    let sent = body(&payer, &stream, &terms, terms.signing_hash());
    let api = || ApiConfig { auth: AuthMode::Disabled, ..ApiConfig::default() };
    let closed = World::configured(MemoryDisk::default(), api(), |_| {}).await;
    let refused = closed.call(None, "POST", PAYMENTS, sent.to_string()).await;
    let said = refused.refused(400, "INVALID_FIELD_VALUE");
    assert!(said.contains("X402_OLD_INTENTS"), "the client shows error.message: {said}");
    closed.stop().await;

    let open =
        World::configured(MemoryDisk::default(), api(), |config| config.payments.old_intents = true).await;
    let answer = open.call(None, "POST", PAYMENTS, sent.to_string()).await.ok();
    assert_eq!(answer["status"], "sequenced");
    let networks = open.get("/api/v1/x402/networks").await.ok();
    assert_eq!(networks["forms"], json!(["X402_PAYMENT_V2", "X402_PAYMENT_V1"]));
    assert_eq!(networks["settles"], false);
    open.stop().await;
}

#[tokio::test]
async fn a_key_of_some_stores_or_of_another_agent_stays_within_them() {
    let (world, agent, stream) = World::with_agent().await;
    let key = world.mint(&agent, json!({"storeIds": [stream.store_id]})).await;
    let list = format!("{PAYMENTS}?tenant_id={}", stream.tenant_id);
    world.call(Some(&key), "GET", &list, "").await.refused(400, "MISSING_REQUIRED_FIELD");
    world.call(Some(&key), "GET", &format!("{list}&store_id={}", stream.store_id), "").await.ok();
    let other = Agent::new(&stream, 2);
    let foreign = intent(&other, &stream, 10, 1).to_string();
    world.call(Some(&key), "POST", PAYMENTS, foreign).await.refused(403, "INSUFFICIENT_PERMISSIONS");
    world.call(Some(&key), "POST", PAYMENTS, intent(&agent, &stream, 10, 1).to_string()).await.ok();
    world.stop().await;
}
