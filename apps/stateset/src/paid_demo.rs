//! A page that costs a cent, on a local chain of anvil: what a newcomer sees of x402. Nothing on that chain is worth anything.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use set_registry::abi::TestDollar;
use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, DEVNET_CHAIN_ID, Wallet};
use set_registry::{Address, ChainKey, U256};
use stateset_sequencer::{Clock as _, SystemClock};
use stateset_sequencer_app::joined::payments::{Present, SequencedPayments};
use stateset_x402::{
    ChainSetup, ChainTable, Facilitator, GateSettings, Offer, Price, PriceTable, Records, RpcChain,
    Settlement, Token, X402Gate,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use ves::StreamKey;
use ves::x402::TokenTable;

use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::files;

/// Of anvil's accounts: who deploys, who is paid, who pays for gas, who buys.
const DEPLOYER: usize = 0;
const SELLER: usize = 1;
const SETTLER: usize = 2;
const BUYER: usize = 3;
/// A cent, in the smallest unit of a token with six decimals.
const PRICE: u64 = 10_000;
/// What the buyer begins with: a thousand dollars.
const FUNDS: u64 = 1_000_000_000;
const PATH: &str = "/demo/paid";
/// File of the buyer's key in the data directory.
const BUYER_FILE: &str = "demo-buyer.key";

/// The chain of the demo, and the dollar on it.
pub struct DemoChain {
    anvil: Anvil,
    pub dollar: Address,
}

/// The page, for sale.
pub struct PaidDemo {
    pub url: String,
    pub buyer_file: String,
    tasks: [JoinHandle<()>; 2],
    // Ended and removed with the demo.
    _chain: DemoChain,
    _records: TempDir,
}

fn failed(problem: impl std::fmt::Display) -> CliError {
    CliError::failure("PAID_DEMO", format!("the paid demo does not start: {problem}"))
}

fn key(at: usize) -> ChainKey {
    ChainKey::from_hex(ACCOUNT_KEYS[at]).expect("a key of anvil is a key")
}

impl DemoChain {
    /// Starts anvil, deploys a test dollar and gives the buyer some. Blocks.
    pub fn start() -> Result<Self, CliError> {
        let anvil = Anvil::start(&AnvilSettings::default()).map_err(failed)?;
        let deployer = Wallet::new(anvil.node(), key(DEPLOYER)).map_err(failed)?;
        let dollar = deployer.deploy(Contract::TestDollar).map_err(failed)?;
        let mint = TestDollar::mintCall { to: key(BUYER).address(), value: U256::from(FUNDS) };
        deployer.call(dollar, &mint).map_err(failed)?;
        Ok(Self { anvil, dollar })
    }

    /// The tokens of the sequencer, with the dollar of this chain.
    pub fn tokens(&self) -> Result<TokenTable, CliError> {
        let mut tokens = TokenTable::default();
        tokens.set(&format!("set_chain:usdc={}", self.dollar)).map_err(failed)?;
        Ok(tokens)
    }

    /// Opens the shop on a free port of this machine. Settled payments go into `stream`.
    pub async fn sell(
        self,
        present: Present,
        stream: StreamKey,
        data: &DataDir,
    ) -> Result<PaidDemo, CliError> {
        let buyer_file = data.path().join(BUYER_FILE);
        files::replace(&buyer_file, format!("{}\n", ACCOUNT_KEYS[BUYER]).as_bytes())
            .map_err(|error| CliError::io("write", &buyer_file, &error))?;
        let records = tempfile::tempdir().map_err(failed)?;
        let facilitator = Arc::new(self.facilitator(&records, present, stream)?);
        let gate = X402Gate::new(facilitator.clone(), self.gate()).map_err(failed)?;
        let routes = Router::new().route(PATH, get(page));
        let app = Arc::new(gate).guard(routes).merge(stateset_x402::router(facilitator.clone()));
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.map_err(failed)?;
        let url = format!("http://{}{PATH}", listener.local_addr().map_err(failed)?);
        let serving = tokio::spawn(async move {
            // It ends with the program.
            let _ = axum::serve(listener, app).await;
        });
        let tasks = [serving, tokio::spawn(facilitator.run())];
        let buyer_file = buyer_file.display().to_string();
        Ok(PaidDemo { url, buyer_file, tasks, _chain: self, _records: records })
    }

    fn facilitator(
        &self,
        records: &TempDir,
        present: Present,
        stream: StreamKey,
    ) -> Result<Facilitator, CliError> {
        let signer = key(SETTLER);
        let connect = || RpcChain::connect(self.anvil.node(), Some(DEVNET_CHAIN_ID), signer.address());
        let chain = tokio::task::block_in_place(connect).map_err(failed)?;
        let setup = ChainSetup { chain: Arc::new(chain), signer, tokens: vec![self.token()] };
        let records = Records::open(&records.path().join("payments"), now_s()).map_err(failed)?;
        let log = Arc::new(SequencedPayments { present, stream });
        Facilitator::new(vec![setup], ChainTable::default(), records, log, Arc::new(now_s)).map_err(failed)
    }

    fn token(&self) -> Token {
        Token { address: self.dollar, name: "USDC".to_owned(), version: "2".to_owned() }
    }

    fn gate(&self) -> GateSettings {
        let offer = Offer {
            chain_id: DEVNET_CHAIN_ID,
            token: self.token(),
            amount: U256::from(PRICE),
            pay_to: key(SELLER).address(),
            timeout_s: 60,
        };
        let mut prices = PriceTable::default();
        let price = Price {
            offers: vec![offer],
            description: "a page that costs a cent".to_owned(),
            mime_type: "application/json".to_owned(),
            needs_identifier: false,
        };
        prices.put(PATH, price);
        GateSettings { prices, public_url: None }
    }
}

impl Drop for PaidDemo {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn now_s() -> u64 {
    u64::try_from(SystemClock.now().0 / 1_000).unwrap_or(0)
}

async fn page(Extension(settlement): Extension<Settlement>) -> Json<Value> {
    Json(json!({
        "page": "You have paid a cent for this page, and nobody else can read it with your payment.",
        "payer": settlement.payer, "transaction": settlement.transaction, "block_number": settlement.block_number,
    }))
}
