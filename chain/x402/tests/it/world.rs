//! A shop with one paid route on a local chain, and a payer with a hundred dollars.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_sol_types::SolCall as _;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use set_registry::abi::TestDollar;
use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, DEVNET_CHAIN_ID, Wallet, find_anvil};
use set_registry::{BlockAt, ChainKey, Node};
use stateset_x402::{
    Bill, Buyer, ChainSetup, ChainTable, Choice, Facilitator, GateSettings, Later, LogReceipt, Offer,
    PaymentKey, PaymentLog, PaymentLogError, Price, PriceTable, Records, RpcChain, Sale, SettledPayment,
    Token, X402Gate, header, settlement_of,
};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::shaky::Shaky;

/// What public clients know as the dollar of Base Sepolia.
pub const KNOWN_DOLLAR: Address = address!("036cbd53842c5426634e7929541ec2318f3dcf7e");
pub const BASE_SEPOLIA: u64 = 84_532;
pub const SET_CHAIN: u64 = DEVNET_CHAIN_ID;
pub const MERCHANT: Address = address!("00000000000000000000000000000000000c0ffe");
pub const PRICE: u64 = 10_000;
pub const FUNDS: u64 = 100_000_000;
/// Whose keys of anvil's accounts: 0 deploys, 1 pays, 2 settles, 3 is a stranger.
pub const PAYER: usize = 1;
pub const SETTLER: usize = 2;
pub const STRANGER: usize = 3;

/// A history of payments in memory.
#[derive(Default)]
pub struct MemoryLog {
    pub told: Mutex<Vec<SettledPayment>>,
    pub lost: Mutex<Vec<PaymentKey>>,
    pub is_away: AtomicBool,
    /// Whether it refuses everything.
    pub refuses: AtomicBool,
    pub asked: AtomicU64,
    /// Nonces of authorizations that intents carry.
    pub promised: Mutex<Vec<B256>>,
    /// Of intents that come right after the next question.
    pub promised_next: Mutex<Vec<B256>>,
    /// Whether it does not say what is promised.
    pub is_silent: AtomicBool,
    /// Whether it says no more after the next question.
    pub is_silent_next: AtomicBool,
    /// Whose sale an authorization is kept for.
    pub holds: Mutex<BTreeMap<PaymentKey, Uuid>>,
}

impl MemoryLog {
    /// How often it was told anything.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl PaymentLog for MemoryLog {
    fn record<'a>(
        &'a self,
        payment: &'a SettledPayment,
    ) -> Later<'a, Result<Option<LogReceipt>, PaymentLogError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            return Box::pin(async { Err(PaymentLogError::Refused("refused by the test".to_owned())) });
        }
        let answer = match self.is_away.load(Ordering::SeqCst) {
            true => Err(PaymentLogError::Unavailable("away".to_owned())),
            false => {
                let mut told = self.told.lock().unwrap();
                let key = |payment: &SettledPayment| {
                    (payment.token, payment.authorization.from, payment.authorization.nonce)
                };
                let place = told.iter().position(|held| key(held) == key(payment)).unwrap_or_else(|| {
                    told.push(payment.clone());
                    told.len() - 1
                });
                // The chain may have put it elsewhere.
                told[place] = payment.clone();
                let sequence_number = place as u64 + 1;
                Ok(Some(LogReceipt { intent_id: Uuid::from_u128(sequence_number.into()), sequence_number }))
            }
        };
        Box::pin(async move { answer })
    }

    fn is_promised<'a>(&'a self, key: &'a PaymentKey) -> Later<'a, Result<bool, PaymentLogError>> {
        let mut promised = self.promised.lock().unwrap();
        let answer = match self.is_silent.load(Ordering::SeqCst) {
            true => Err(PaymentLogError::Unavailable("silent".to_owned())),
            false => Ok(promised.contains(&key.nonce)),
        };
        promised.append(&mut self.promised_next.lock().unwrap());
        drop(promised);
        if self.is_silent_next.swap(false, Ordering::SeqCst) {
            self.is_silent.store(true, Ordering::SeqCst);
        }
        Box::pin(async move { answer })
    }

    fn hold<'a>(&'a self, key: &'a PaymentKey, sale: Sale) -> Later<'a, Result<bool, PaymentLogError>> {
        Box::pin(async move {
            if self.is_promised(key).await? {
                return Ok(false);
            }
            Ok(*self.holds.lock().unwrap().entry(*key).or_insert(sale.id) == sale.id)
        })
    }

    fn lost<'a>(&'a self, key: &'a PaymentKey) -> Later<'a, Result<(), PaymentLogError>> {
        Box::pin(async move {
            if self.is_away.load(Ordering::SeqCst) {
                return Err(PaymentLogError::Unavailable("away".to_owned()));
            }
            self.lost.lock().unwrap().push(*key);
            Ok(())
        })
    }

    fn release<'a>(&'a self, key: &'a PaymentKey, sale: Uuid) -> Later<'a, Result<(), PaymentLogError>> {
        Box::pin(async move {
            if self.is_away.load(Ordering::SeqCst) {
                return Err(PaymentLogError::Unavailable("away".to_owned()));
            }
            self.holds.lock().unwrap().retain(|held, by| (*held, *by) != (*key, sale));
            Ok(())
        })
    }
}

pub struct World {
    pub anvil: Anvil,
    pub chain_id: u64,
    pub dollar: Address,
    pub log: Arc<MemoryLog>,
    /// `None` while it is restarted.
    shop: Option<Shop>,
    /// Requests that the paid route has answered.
    pub served: Arc<AtomicU64>,
    /// Seconds by which the shop's clock is ahead.
    pub ahead_s: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

/// One process: what a restart begins anew.
struct Shop {
    chain: Arc<Shaky>,
    facilitator: Arc<Facilitator>,
    routes: Router,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(|value| value.as_bytes())
    }
    /// Why it was not settled.
    pub fn reason(&self) -> Option<String> {
        let told =
            self.header(header::PAYMENT_RESPONSE).or_else(|| self.header(header::X_PAYMENT_RESPONSE))?;
        settlement_of(told).expect("a settlement").error_reason
    }
}

pub fn key(at: usize) -> ChainKey {
    ChainKey::from_hex(ACCOUNT_KEYS[at]).unwrap()
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A nonce that no other has.
pub fn nonce() -> B256 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    keccak256(COUNT.fetch_add(1, Ordering::SeqCst).to_be_bytes())
}

/// Whether what is missing may be missing.
pub fn is_left_out(missing: &str) -> bool {
    let in_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(!in_ci, "{missing}");
    eprintln!("not tested here: {missing}");
    true
}

impl World {
    /// `None` where anvil is not installed, which continuous integration does not allow.
    pub async fn open(chain_id: u64) -> Option<Self> {
        if find_anvil().is_none() {
            is_left_out("anvil is missing: cargo xtask contracts installs it by npm");
            return None;
        }
        let (anvil, dollar) = tokio::task::block_in_place(|| devnet(chain_id));
        let folder = tempfile::tempdir().unwrap();
        let served = Arc::default();
        let log = Arc::<MemoryLog>::default();
        let ahead_s = Arc::default();
        let shop = Some(start(&anvil.node(), dollar, folder.path(), &log, (&served, &ahead_s)));
        Some(Self { anvil, chain_id, dollar, log, shop, served, ahead_s, folder })
    }

    /// As after the process was killed: nothing but the file of records is left.
    pub fn restart(&mut self) {
        self.shop = None;
        self.shop = Some(start(
            &self.anvil.node(),
            self.dollar,
            self.folder.path(),
            &self.log,
            (&self.served, &self.ahead_s),
        ));
    }

    fn shop(&self) -> &Shop {
        self.shop.as_ref().expect("it is open but while it restarts")
    }

    pub fn chain(&self) -> &Shaky {
        &self.shop().chain
    }

    pub fn shaky(&self) -> Arc<Shaky> {
        self.shop().chain.clone()
    }

    pub fn facilitator(&self) -> &Arc<Facilitator> {
        &self.shop().facilitator
    }

    pub fn offer(&self) -> Offer {
        offer(self.chain_id, self.dollar)
    }

    pub async fn ask(&self, path: &str, headers: &[(&str, String)]) -> Answer {
        let mut request = Request::get(path).header("host", "shop.example");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.shop().routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body: body.into() }
    }

    pub async fn bill(&self) -> Bill {
        let answer = self.ask("/paid", &[]).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
        let choice = Choice { amount_max: U256::from(PRICE), chain_id: None, token: None };
        let signer = key(PAYER);
        let offer = answer.header(header::PAYMENT_REQUIRED);
        Buyer::new(&signer, ChainTable::default()).bill(offer, &answer.body, &choice).unwrap()
    }

    /// A header that pays the route.
    pub async fn payment(&self) -> (&'static str, String) {
        self.payment_at(now_s()).await
    }

    /// One that is signed then, in Unix seconds, and valid from ten minutes before.
    pub async fn payment_at(&self, signed_s: u64) -> (&'static str, String) {
        let (bill, signer) = (self.bill().await, key(PAYER));
        Buyer::new(&signer, ChainTable::default()).pay(&bill, signed_s, nonce())
    }

    pub fn balance(&self, owner: Address) -> u64 {
        let (node, dollar) = (self.anvil.node(), self.dollar);
        let call = TestDollar::balanceOfCall { account: owner };
        tokio::task::block_in_place(|| node.view(dollar, &call, BlockAt::Latest)).unwrap().to()
    }

    /// How often the price was paid; what the payer lacks is what the merchant has.
    pub fn sold(&self) -> u64 {
        let balances = || (self.balance(key(PAYER).address()), self.balance(MERCHANT));
        // A block may come between two reads.
        let (mut seen, mut again) = (balances(), balances());
        while seen != again {
            (seen, again) = (again, balances());
        }
        let (payer, merchant) = seen;
        assert_eq!((payer + merchant, merchant % PRICE), (FUNDS, 0));
        merchant / PRICE
    }

    /// Waits until the price was paid so often: a transaction that nobody waits for is mined a little later.
    pub async fn becomes_sold(&self, times: u64) {
        for _ in 0..600 {
            if self.sold() == times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} sold, and not {times}", self.sold());
    }

    pub fn ether(&self, owner: Address) -> U256 {
        let node = self.anvil.node();
        tokio::task::block_in_place(|| node.balance(owner, BlockAt::Latest)).unwrap()
    }

    /// The shop on a port, until the end of the test.
    pub async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = self.shop().routes.clone().merge(stateset_x402::router(self.facilitator().clone()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }
}

pub fn token(address: Address) -> Token {
    Token { address, name: "USDC".to_owned(), version: "2".to_owned() }
}

fn offer(chain_id: u64, dollar: Address) -> Offer {
    Offer { chain_id, token: token(dollar), amount: U256::from(PRICE), pay_to: MERCHANT, timeout_s: 60 }
}

/// A chain with the dollar on it; on the chain that clients know, at the address that they know.
fn devnet(chain_id: u64) -> (Anvil, Address) {
    let is_known = chain_id == BASE_SEPOLIA;
    // A dollar that was made on another chain works out its domain anew, wherever its code is put.
    let made_on = if is_known { 31_337 } else { chain_id };
    let anvil = Anvil::start(&AnvilSettings { chain_id: Some(made_on), ..AnvilSettings::default() }).unwrap();
    let node = anvil.node();
    let deployed = Wallet::new(node.clone(), key(0)).unwrap().deploy(Contract::TestDollar).unwrap();
    let dollar = match is_known {
        true => {
            let code = node.code(deployed, BlockAt::Latest).unwrap();
            node.request::<Value>("anvil_setChainId", &json!([chain_id])).unwrap();
            node.request::<Value>("anvil_setCode", &json!([KNOWN_DOLLAR, code])).unwrap();
            KNOWN_DOLLAR
        }
        false => deployed,
    };
    let mint = TestDollar::mintCall { to: key(PAYER).address(), value: U256::from(FUNDS) };
    Wallet::new(node, key(0)).unwrap().send(Some(dollar), mint.abi_encode().into(), U256::ZERO).unwrap();
    (anvil, dollar)
}

fn start(
    node: &Node,
    dollar: Address,
    folder: &Path,
    log: &Arc<MemoryLog>,
    (served, ahead_s): (&Arc<AtomicU64>, &Arc<AtomicU64>),
) -> Shop {
    let ahead_s = ahead_s.clone();
    let clock = move || now_s() + ahead_s.load(Ordering::SeqCst);
    let settler = key(SETTLER);
    let chain =
        tokio::task::block_in_place(|| RpcChain::connect(node.clone(), None, settler.address())).unwrap();
    let shaky = Shaky::new(chain);
    let setup = ChainSetup { chain: shaky.clone(), signer: settler, tokens: vec![token(dollar)] };
    let records = Records::open(&folder.join("payments"), now_s()).unwrap();
    let facilitator =
        Facilitator::new(vec![setup], ChainTable::default(), records, log.clone(), Arc::new(clock)).unwrap();
    let facilitator = Arc::new(facilitator);
    let chain_id = stateset_x402::Chain::chain_id(shaky.as_ref());
    let price = Price {
        offers: vec![offer(chain_id, dollar)],
        description: "a number that nobody had before".to_owned(),
        mime_type: "application/json".to_owned(),
        needs_identifier: false,
    };
    let mut prices = PriceTable::default();
    prices.put("/paid", price.clone());
    prices.put("/other", price.clone());
    prices.put("/named", Price { needs_identifier: true, ..price });
    let gate = X402Gate::new(facilitator.clone(), GateSettings { prices, public_url: None }).unwrap();
    let served = served.clone();
    let count = move || {
        let number = served.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Json(json!({"number": number})) }
    };
    let routes = Router::new()
        .route("/paid", get(count.clone()))
        .route("/other", get(count.clone()))
        .route("/named", get(count))
        .route("/free", get(|| async { "free" }));
    Shop { chain: shaky, facilitator, routes: Arc::new(gate).guard(routes) }
}
