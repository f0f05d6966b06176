//! What an offer, a verification and a settlement take, on anvil with instant blocks: `cargo bench -p stateset-x402`.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256, keccak256};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use set_registry::ChainKey;
use set_registry::abi::TestDollar::mintCall;
use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, DEVNET_CHAIN_ID, Wallet};
use stateset_x402::verify::{check_signature, check_terms};
use stateset_x402::{
    Bill, Buyer, ChainSetup, ChainTable, Choice, Claim, Facilitator, GateSettings, NoLog, Offer, Price,
    PriceTable, Records, RpcChain, Token, Version, X402Gate, header,
};
use tower::ServiceExt as _;

const ROUNDS: u64 = 400;
const SALES: u64 = 100;
const AT_ONCE: u64 = 16;

fn key(at: usize) -> ChainKey {
    ChainKey::from_hex(ACCOUNT_KEYS[at]).expect("a key of anvil")
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
    println!("{what:<34} p50 {:>8.3} ms  p99 {:>8.3} ms  ({} times)", at(50), at(99), times.len());
}

struct Shop {
    offer: Offer,
    facilitator: Arc<Facilitator>,
    app: Router,
}

fn shop(anvil: &Anvil, folder: &std::path::Path) -> Shop {
    let deployer = Wallet::new(anvil.node(), key(0)).expect("a chain");
    let dollar = deployer.deploy(Contract::TestDollar).expect("a dollar");
    let mint = mintCall { to: key(1).address(), value: U256::from(1_000_000_000_u64) };
    deployer.call(dollar, &mint).expect("some dollars");
    let token = Token { address: dollar, name: "USDC".to_owned(), version: "2".to_owned() };
    let offer = Offer {
        chain_id: DEVNET_CHAIN_ID,
        token: token.clone(),
        amount: U256::from(10_000),
        pay_to: Address::repeat_byte(0xcc),
        timeout_s: 60,
    };
    let chain = RpcChain::connect(anvil.node(), None, key(2).address()).expect("a chain");
    let setup = ChainSetup { chain: Arc::new(chain), signer: key(2), tokens: vec![token] };
    let records = Records::open(&folder.join("payments"), now_s()).expect("a file");
    let facilitator =
        Facilitator::new(vec![setup], ChainTable::default(), records, Arc::new(NoLog), Arc::new(now_s));
    let facilitator = Arc::new(facilitator.expect("a facilitator"));
    let price = Price {
        offers: vec![offer.clone()],
        description: "a word".to_owned(),
        mime_type: "text/plain".to_owned(),
        needs_identifier: false,
    };
    let mut prices = PriceTable::default();
    prices.put("/paid", price);
    let gate = X402Gate::new(facilitator.clone(), GateSettings { prices, public_url: None }).expect("a gate");
    let app = Arc::new(gate).guard(Router::new().route("/paid", get(|| async { "word" })));
    Shop { offer, facilitator, app }
}

impl Shop {
    async fn ask(&self, payment: Option<&(&'static str, String)>) -> axum::response::Response {
        let mut request = Request::get("/paid").header("host", "shop.example");
        if let Some((name, value)) = payment {
            request = request.header(*name, value);
        }
        self.app.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer")
    }

    async fn bill(&self) -> Bill {
        let answer = self.ask(None).await;
        let offer = answer.headers().get(header::PAYMENT_REQUIRED).expect("an offer").as_bytes().to_vec();
        let choice = Choice { amount_max: self.offer.amount, chain_id: None, token: None };
        Buyer::new(&key(1), ChainTable::default()).bill(Some(&offer), b"", &choice).expect("a bill")
    }
}

fn payments(bill: &Bill, count: u64, salt: u8) -> Vec<(&'static str, String)> {
    let nonce = |n: u64| B256::from(keccak256([&[salt][..], &n.to_be_bytes()].concat()));
    let signer = key(1);
    let buyer = Buyer::new(&signer, ChainTable::default());
    (0..count).map(|n| buyer.pay(bill, now_s(), nonce(n))).collect()
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let (anvil, shop) = tokio::task::block_in_place(|| {
        let anvil =
            Anvil::start(&AnvilSettings::default()).expect("anvil: cargo xtask contracts installs it");
        let shop = shop(&anvil, folder.path());
        (anvil, shop)
    });
    let bill = shop.bill().await;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        assert_eq!(shop.ask(None).await.status(), StatusCode::PAYMENT_REQUIRED);
        times.push(started.elapsed());
    }
    report("402 with both offers", times);

    let claims = payments(&bill, ROUNDS, 1);
    let read = |value: &str| Claim::read(Version::Two, value.as_bytes()).expect("a claim");
    let (mut pure, mut whole) = (Vec::new(), Vec::new());
    for (_, value) in &claims {
        let started = Instant::now();
        let claim = read(value);
        check_terms(&claim, &shop.offer, shop.facilitator.names(), now_s()).expect("sound terms");
        check_signature(&claim, &shop.offer).expect("a sound signature");
        pure.push(started.elapsed());
        let started = Instant::now();
        shop.facilitator.verify(&claim, &shop.offer).await.expect("a sound payment");
        whole.push(started.elapsed());
    }
    report("verify without the chain", pure);
    report("verify", whole);

    let mut times = Vec::new();
    for payment in payments(&bill, SALES, 2) {
        let started = Instant::now();
        assert_eq!(shop.ask(Some(&payment)).await.status(), StatusCode::OK);
        times.push(started.elapsed());
    }
    report("verify, settle and deliver", times);

    let shop = Arc::new(shop);
    let started = Instant::now();
    let buyers: Vec<_> = payments(&bill, AT_ONCE, 3)
        .into_iter()
        .map(|payment| {
            let shop = shop.clone();
            tokio::spawn(async move { shop.ask(Some(&payment)).await.status() })
        })
        .collect();
    for buyer in buyers {
        assert_eq!(buyer.await.expect("an answer"), StatusCode::OK);
    }
    println!(
        "{AT_ONCE} payments at once               {:>8.3} ms",
        started.elapsed().as_secs_f64() * 1_000.0
    );
    drop(anvil);
}
