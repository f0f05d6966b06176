//! One payment intent a request beside one event a request, in the same run: what numbering a payment costs more.
//!
//! The worker runs as in the product, so what it tells of each intent is part of the price.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rayon::prelude::*;
use serde_json::json;
use ves::StreamKey;
use ves::x402::{Asset, Binding, Network, Terms, TokenTable};

use crate::events::{Plan, STREAMS, Writer, post, writers};
use crate::figures::batch::{cpu_us_per_event, middle};
use crate::load::{self, Round};
use crate::report::{Goal, Row, progress};
use crate::run::Bench;
use crate::server::{Server, Serves};

const IN_FLIGHT: u64 = 64;
/// Seconds that an intent is valid: longer than any run.
const VALID_S: u64 = 7_200;

pub fn measure(bench: &mut Bench) -> Result<()> {
    progress("1 payment intent a request");
    let server = Server::start(&Serves::Events(bench.folder.join("payments")))?;
    let requests = bench.count(600, 20);
    let plan = |requests_per_client| Plan {
        clients: IN_FLIGHT,
        first_stream: 1,
        streams: STREAMS,
        requests_per_client,
        events_per_request: 1,
    };
    bench.round(&server, plan(40))?;
    let warm = intents(bench, 40)?;
    bench.send(&server, warm, load::answered)?;
    let (mut events, mut payments) = (Vec::new(), Vec::new());
    for _ in 0..bench.count(5, 1) {
        events.push(bench.round(&server, plan(requests))?);
        let sent = intents(bench, requests)?;
        payments.push(bench.send(&server, sent, load::answered)?);
    }
    server.stop()?;
    let rate = |rounds: &[Round]| middle(rounds, Round::per_second);
    let cost = |rounds: &[Round]| middle(rounds, |round| cpu_us_per_event(round, 1));
    bench.rows.extend([
        Row::new("1 a request, 64 in flight: payment intents / events", rate(&payments), "intents/s")
            .floor(rate(&events))
            .goal(Goal::AtLeast(0.7)),
        Row::new("1 a request, 64 in flight: server CPU a payment intent", cost(&payments), "us"),
        Row::new("1 a request, 64 in flight: server CPU an event, in the same run", cost(&events), "us"),
    ]);
    Ok(())
}

/// Requests of each client; no nonce is used twice.
fn intents(bench: &mut Bench, requests: u64) -> Result<Vec<Vec<Box<[u8]>>>> {
    let first = bench.next;
    bench.next += IN_FLIGHT * requests;
    let now_s =
        SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?.as_secs();
    let groups: Vec<_> = (1..=STREAMS).map(|n| writers(n, STREAMS)).collect();
    let of_client = |client: u64| {
        let (stream, writers) = &groups[(client % STREAMS) as usize];
        let writer = &writers[(client / STREAMS) as usize % writers.len()];
        let numbers = (0..requests).into_par_iter();
        numbers.map(|n| intent(writer, stream, first + client * requests + n, now_s + VALID_S)).collect()
    };
    Ok((0..IN_FLIGHT).map(of_client).collect())
}

fn intent(writer: &Writer, stream: &StreamKey, n: u64, valid_until_s: u64) -> Box<[u8]> {
    let terms = Terms {
        payer: ves::hex::encode_0x(&writer.agent.public_key()),
        payee: format!("0x{}", "b2".repeat(20)),
        amount: 1 + n % 100_000,
        asset: Asset::Usdc,
        network: Network::Base,
        valid_until_s,
        nonce: n,
    };
    let token = TokenTable::default().get(terms.network, terms.asset).expect("a known token");
    let binding = Binding { stream: *stream, token, resource_uri: None, order_id: None };
    let hash = terms.signing_hash_v2(&binding).expect("sound addresses");
    let body = json!({
        "tenant_id": stream.tenant_id, "store_id": stream.store_id, "agent_id": writer.agent.agent_id,
        "payer_address": terms.payer, "payee_address": terms.payee, "amount": terms.amount,
        "asset": terms.asset, "network": terms.network, "valid_until": valid_until_s, "nonce": n,
        "signing_hash": hash.to_0x(), "payer_signature": ves::hex::encode_0x(&writer.sign(&hash.0)),
        "idempotency_key": format!("bench-{n}"),
    });
    post("/api/v1/x402/payments", body.to_string().as_bytes())
}
