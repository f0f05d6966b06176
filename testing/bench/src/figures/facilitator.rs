//! Verifying payments of the public protocol over HTTP, with a chain that answers at once, beside bare recoveries of signers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use set_registry::devnet::ACCOUNT_KEYS;
use set_registry::fees::Fees;
use set_registry::{Address, B256, Bytes, ChainKey, Log, Receipt, U256};
use stateset_x402::batch::check_signature;
use stateset_x402::{
    Authorization, Chain, ChainError, ChainFacts, ChainSetup, ChainTable, Domain, Facilitator, Later,
    Message, NoLog, Offer, Records, Token,
};

use crate::events::post;
use crate::figures::batch::middle;
use crate::load::{self, Round};
use crate::report::{Goal, Row, progress};
use crate::run::Bench;

/// Payments that are verified at once.
const CLIENTS: [u64; 2] = [16, 64];
const CHAIN_ID: u64 = 84_532;
const PRICE: u64 = 10_000;
/// Seconds that a payment is valid: longer than any run.
const VALID_S: u64 = 3_600;

pub fn measure(bench: &mut Bench) -> Result<()> {
    progress("verifying payments without a chain");
    let address = serve(bench)?;
    let mut nonce = 0;
    let each = bench.count(400, 10);
    send(bench, address, CLIENTS[1], 20, &mut nonce)?;
    let floor_us = recovery_us(bench.count(2_000, 50));
    for clients in CLIENTS {
        let mut rounds = Vec::new();
        for _ in 0..bench.count(5, 1) {
            rounds.push(send(bench, address, clients, each, &mut nonce)?);
        }
        let at = |percent: usize| move |round: &Round| percentile_us(round, percent);
        let name = |what: &str| format!("facilitator, {clients} at once: verify, {what}");
        bench.rows.extend([
            Row::new(name("p99"), middle(&rounds, at(99)) / 1_000.0, "ms").goal(Goal::AtMost(5.0)),
            Row::new(name("p50"), middle(&rounds, at(50)) / 1_000.0, "ms"),
            Row::new(
                name("cores' time each / bare recovery of the signer"),
                cost_us(&rounds, bench.cores),
                "us",
            )
            .floor(floor_us),
        ]);
    }
    Ok(())
}

/// Microseconds of all cores for one answer, the load's own work included: both are one process here.
fn cost_us(rounds: &[Round], cores: usize) -> f64 {
    middle(rounds, |round| cores as f64 * 1e6 / round.per_second())
}

fn percentile_us(round: &Round, percent: usize) -> f64 {
    let mut latencies = round.latencies_us.clone();
    latencies.sort_by(f64::total_cmp);
    latencies.get(latencies.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0.0)
}

fn send(bench: &mut Bench, address: SocketAddr, clients: u64, each: u64, nonce: &mut u64) -> Result<Round> {
    let mut of_client = || -> Vec<Box<[u8]>> {
        let of_one = (0..each).map(|n| request(*nonce + n)).collect();
        *nonce += each;
        of_one
    };
    let requests = (0..clients).map(|_| of_client()).collect();
    let round = load::run(address, std::process::id(), requests, is_valid)?;
    ensure!(round.answers > 0, "nothing was answered");
    let _ = bench;
    Ok(round)
}

fn is_valid(status: u16, body: &[u8]) -> bool {
    status == 200 && body.windows(14).any(|text| text == br#""isValid":true"#)
}

/// The facilitator's routes on a port, until the program ends.
fn serve(bench: &Bench) -> Result<SocketAddr> {
    let token = Token { address: token(), name: "USDC".to_owned(), version: "2".to_owned() };
    let setup = ChainSetup { chain: Arc::new(Instantly), signer: key(2), tokens: vec![token] };
    let records = Records::open(&bench.folder.join("payments-taken"), now_s())?;
    let facilitator =
        Facilitator::new(vec![setup], ChainTable::default(), records, Arc::new(NoLog), Arc::new(now_s))?;
    let app = stateset_x402::router(Arc::new(facilitator));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            tell.send(listener.local_addr()?).context("nobody waits for the address")?;
            Ok(axum::serve(listener, app).await?)
        })
    });
    told.recv_timeout(Duration::from_secs(10)).context("the facilitator does not start")
}

/// One signer taken from one signature, on one core, in microseconds.
fn recovery_us(rounds: u64) -> f64 {
    let signed: Vec<_> = (0..rounds).map(authorization).collect();
    let domain = domain().separator();
    let started = Instant::now();
    for (authorization, signature) in &signed {
        check_signature(authorization, signature, domain).expect("a sound signature");
    }
    started.elapsed().as_secs_f64() * 1e6 / rounds as f64
}

fn key(at: usize) -> ChainKey {
    ChainKey::from_hex(ACCOUNT_KEYS[at]).expect("a key of anvil")
}

fn token() -> Address {
    Address::repeat_byte(0x70)
}

fn domain() -> Domain<'static> {
    Domain { name: "USDC", version: "2", chain_id: CHAIN_ID, token: token() }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn authorization(nonce: u64) -> (Authorization, [u8; 65]) {
    let signer = key(1);
    let authorization = Authorization {
        from: signer.address(),
        to: Address::repeat_byte(0xcc),
        value: U256::from(PRICE),
        valid_after: U256::ZERO,
        valid_before: U256::from(now_s() + VALID_S),
        nonce: B256::from(U256::from(nonce + 1)),
    };
    let signature = signer.sign(&authorization.digest(&domain())).as_bytes();
    (authorization, signature)
}

fn request(nonce: u64) -> Box<[u8]> {
    let (authorization, signature) = authorization(nonce);
    let offer = Offer {
        chain_id: CHAIN_ID,
        token: Token { address: token(), name: "USDC".to_owned(), version: "2".to_owned() },
        amount: authorization.value,
        pay_to: authorization.to,
        timeout_s: 60,
    };
    let requirements = offer.requirements();
    let body = json!({
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2, "accepted": requirements,
            "payload": {
                "signature": Bytes::from(signature.to_vec()),
                "authorization": {
                    "from": authorization.from, "to": authorization.to, "value": authorization.value.to_string(),
                    "validAfter": "0", "validBefore": authorization.valid_before.to_string(), "nonce": authorization.nonce,
                },
            },
        },
        "paymentRequirements": requirements,
    });
    post("/verify", body.to_string().as_bytes())
}

/// A chain that says yes at once: what is left is the facilitator's own work.
struct Instantly;

fn at_once<T: Send + 'static>(answer: T) -> Later<'static, Result<T, ChainError>> {
    Box::pin(async move { Ok(answer) })
}

impl ChainFacts for Instantly {
    fn authorization_used(&self, _: Address, _: Address, _: B256) -> Later<'_, Result<bool, ChainError>> {
        at_once(false)
    }
    fn balance(&self, _: Address, _: Address) -> Later<'_, Result<U256, ChainError>> {
        at_once(U256::MAX)
    }
    fn code(&self, _: Address) -> Later<'_, Result<Bytes, ChainError>> {
        at_once(Bytes::new())
    }
    fn takes_signature(&self, _: Address, _: B256, _: Bytes) -> Later<'_, Result<bool, ChainError>> {
        at_once(false)
    }
    fn simulate(&self, _: Message) -> Later<'_, Result<Result<(), String>, ChainError>> {
        at_once(Ok(()))
    }
}

impl Chain for Instantly {
    fn chain_id(&self) -> u64 {
        CHAIN_ID
    }
    fn domain_separator(&self, _: Address) -> Later<'_, Result<B256, ChainError>> {
        at_once(domain().separator())
    }
    fn head(&self) -> Later<'_, Result<u64, ChainError>> {
        at_once(1)
    }
    fn block_time(&self, _: u64) -> Later<'_, Result<u64, ChainError>> {
        at_once(now_s())
    }
    fn block_hash(&self, _: u64) -> Later<'_, Result<Option<B256>, ChainError>> {
        at_once(None)
    }
    fn account_nonce(&self, _: Address, _: bool) -> Later<'_, Result<u64, ChainError>> {
        at_once(0)
    }
    fn fees(&self) -> Later<'_, Result<Fees, ChainError>> {
        at_once(Fees { max_fee: 1, priority_fee: 1 })
    }
    fn send(&self, _: Bytes) -> Later<'_, Result<(), ChainError>> {
        Box::pin(async { Err(ChainError::Refused("nothing is settled here".to_owned())) })
    }
    fn knows(&self, _: B256) -> Later<'_, Result<bool, ChainError>> {
        at_once(false)
    }
    fn receipt(&self, _: B256) -> Later<'_, Result<Option<Receipt>, ChainError>> {
        at_once(None)
    }
    fn logs(&self, _: Address, _: Vec<B256>, _: u64) -> Later<'_, Result<Vec<Log>, ChainError>> {
        at_once(Vec::new())
    }
}
