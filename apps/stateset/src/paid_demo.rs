//! A page that costs a cent, and a shop for agents, on the local chain: what a newcomer sees of x402. Nothing on that chain is
//! worth anything.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use set_registry::devnet::{ACCOUNT_KEYS, DEVNET_CHAIN_ID};
use set_registry::{Address, U256};
use stateset_sequencer::{Clock as _, SystemClock};
use stateset_sequencer_app::joined::payments::{Present, SequencedPayments};
use stateset_x402::{
    ChainSetup, ChainTable, Facilitator, GateSettings, Offer, Price, PriceTable, Records, RpcChain,
    Settlement, Token, X402Gate,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use ves::StreamKey;
use ves::x402::{Asset, Network, TokenAddress, TokenTable};

use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::files;
use crate::local_chain::{BUYER, LocalChain, SELLER, SETTLER, key};
use crate::shop::Joins;

/// A cent, in the smallest unit of a token with six decimals.
const PRICE: u64 = 10_000;
/// How long a payment may be taken, in seconds: longer than anybody waits for it to be in a block.
const VALID_S: u64 = 300;
const PATH: &str = "/demo/paid";
/// File of the buyer's key in the data directory.
pub const BUYER_FILE: &str = "demo-buyer.key";

/// The page, for sale.
pub struct PaidDemo {
    pub url: String,
    pub buyer_file: String,
    tasks: [JoinHandle<()>; 2],
}

fn failed(problem: impl std::fmt::Display) -> CliError {
    CliError::failure("PAID_DEMO", format!("the paid demo does not start: {problem}"))
}

/// What is sold, opened before the service is started.
pub struct Sold {
    dollar: Address,
    records: Arc<Records>,
}

impl Sold {
    /// The records of what was sold so far; `None` where the local chain has no dollar.
    ///
    /// # Errors
    /// What the file says.
    pub fn open(chain: &LocalChain) -> Result<Option<Self>, CliError> {
        let Some(dollar) = chain.record.dollar else { return Ok(None) };
        let records = Records::open(&chain.payments(), now_s()).map_err(failed)?;
        Ok(Some(Self { dollar, records: Arc::new(records) }))
    }

    /// Adds the dollar of the local chain to the tokens of the sequencer.
    ///
    /// # Errors
    /// Where the operator has set another contract for it.
    pub fn add_token(&self, tokens: &mut TokenTable) -> Result<(), CliError> {
        let dollar = TokenAddress(self.dollar.into());
        if let Some(set) = tokens.get(Network::SetChain, Asset::Usdc).filter(|set| *set != dollar) {
            let message = format!(
                "X402_TOKENS: it says that set_chain:usdc is {set}, and --paid-demo sells for {dollar} on the local chain"
            );
            return Err(CliError::input("CONFIGURATION", message).hint("leave out one of the two"));
        }
        tokens.set(&format!("set_chain:usdc={}", self.dollar)).map_err(failed)
    }
}

impl PaidDemo {
    /// Opens the shop at `listen`, or on a free port of this machine where that is taken. Settled payments go into
    /// `stream`.
    ///
    /// # Errors
    /// What is missing.
    pub async fn open(
        chain: &LocalChain,
        sold: Sold,
        present: Present,
        stream: StreamKey,
        listen: SocketAddr,
        data: &DataDir,
    ) -> Result<Self, CliError> {
        let buyer_file = data.path().join(BUYER_FILE);
        files::replace(&buyer_file, format!("{}\n", ACCOUNT_KEYS[BUYER]).as_bytes())
            .map_err(|error| CliError::io("write", &buyer_file, &error))?;
        let shop = Shop { chain, dollar: sold.dollar };
        let facilitator = Arc::new(shop.facilitator(sold.records, present.clone(), stream)?);
        let gate = X402Gate::new(facilitator.clone(), shop.gate()).map_err(failed)?;
        let routes = Router::new().route(PATH, get(page));
        let app = Arc::new(gate).guard(routes).merge(stateset_x402::router(facilitator.clone()));
        let listener = match TcpListener::bind(listen).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.map_err(failed)?,
        };
        let address = format!("http://{}", listener.local_addr().map_err(failed)?);
        let joins = Joins { facilitator: facilitator.clone(), offer: shop.offer(), present, stream };
        let app = app.merge(crate::shop::open(data, &address, joins)?);
        let url = format!("{address}{PATH}");
        let serving = tokio::spawn(async move {
            // It ends with the program.
            let _ = axum::serve(listener, app).await;
        });
        let tasks = [serving, tokio::spawn(facilitator.run())];
        Ok(Self { url, buyer_file: buyer_file.display().to_string(), tasks })
    }
}

/// What is sold, and for what.
struct Shop<'a> {
    chain: &'a LocalChain,
    dollar: Address,
}

impl Shop<'_> {
    fn facilitator(
        &self,
        records: Arc<Records>,
        present: Present,
        stream: StreamKey,
    ) -> Result<Facilitator, CliError> {
        let signer = key(SETTLER);
        let connect = || RpcChain::connect(self.chain.node(), Some(DEVNET_CHAIN_ID), signer.address());
        let chain = tokio::task::block_in_place(connect).map_err(failed)?;
        let setup = ChainSetup { chain: Arc::new(chain), signer, tokens: vec![self.token()] };
        let log = Arc::new(SequencedPayments { present, stream });
        Facilitator::new(vec![setup], ChainTable::default(), records, log, Arc::new(now_s)).map_err(failed)
    }

    fn token(&self) -> Token {
        Token { address: self.dollar, name: "USDC".to_owned(), version: "2".to_owned() }
    }

    fn offer(&self) -> Offer {
        Offer {
            chain_id: DEVNET_CHAIN_ID,
            token: self.token(),
            amount: U256::from(PRICE),
            pay_to: key(SELLER).address(),
            timeout_s: VALID_S,
        }
    }

    fn gate(&self) -> GateSettings {
        let mut prices = PriceTable::default();
        let price = Price {
            offers: vec![self.offer()],
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
