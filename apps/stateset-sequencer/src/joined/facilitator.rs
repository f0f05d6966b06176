//! The facilitator of the public x402 protocol, on a listener of its own: shops in any language verify and settle here, and
//! what is settled becomes an intent in the operator's stream (x402 B.4, C).
//!
//! It listens from the start and answers 503 until its chain has answered: which chain that is, and by which names its
//! tokens sign, the chain alone can tell.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use set_registry::ChainKey;
use stateset_sequencer::{Clock as _, SystemClock};
use stateset_sequencer_api::{ServerConfig, serve};
use stateset_x402::{
    Chain as _, ChainError, ChainSetup, ChainTable, Facilitator, Records, RpcChain, Token, router,
};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use ves::x402::{Network, TokenAddress};
use zeroize::Zeroizing;

use super::payments::{Present, SequencedPayments};
use crate::config::FacilitatorSettings;
use crate::failure::Failure;

/// The records, where no file is named.
const RECORDS_FILE: &str = "x402-sales.jsonl";
/// Between two questions to a chain that has not answered yet.
const PAUSE: Duration = Duration::from_secs(5);
const RETRY_AFTER_S: &str = "5";

/// The routes, once the chain has answered.
type Ready = Arc<OnceLock<Router>>;

/// A facilitator that listens.
pub struct Door {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
    working: JoinHandle<()>,
}

impl Door {
    /// Takes the port and the records. `folder` is where the records lie that have no file of their own.
    ///
    /// # Errors
    /// `CANNOT_LISTEN`, or `X402_RECORDS` where the file is damaged, or another process has it.
    pub async fn open(
        settings: &FacilitatorSettings,
        folder: &Path,
        present: Present,
        config: ServerConfig,
    ) -> Result<Self, Failure> {
        let no_door = |error: std::io::Error| {
            let problem = format!("X402_FACILITATOR_LISTEN: cannot listen on {}: {error}", settings.listen);
            Failure::failed("CANNOT_LISTEN", problem)
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(no_door)?;
        let address = listener.local_addr().map_err(no_door)?;
        let records = records(settings.records.as_deref().unwrap_or(&folder.join(RECORDS_FILE)))?;
        let ready = Ready::default();
        let working = tokio::spawn(work(settings.clone(), records, present, ready.clone()));
        let (stop, stopped) = oneshot::channel::<()>();
        let app = routes(ready, settings.token.clone());
        let serving = tokio::spawn(serve(listener, app, config, async {
            let _ = stopped.await;
        }));
        Ok(Self { address, stop, serving, working })
    }

    /// Where shops reach it.
    pub fn url(&self) -> String {
        crate::places::url(self.address)
    }

    /// Finishes what is being answered. What was sent goes on at the next start.
    ///
    /// # Errors
    /// `NOT_DRAINED` where callers were cut off.
    pub async fn close(self) -> Result<(), Failure> {
        let _ = self.stop.send(());
        let served = self.serving.await.map_err(std::io::Error::other).and_then(|served| served);
        self.working.abort();
        served.map_err(|error| Failure::failed("NOT_DRAINED", format!("the facilitator: {error}")))
    }
}

fn now_s() -> u64 {
    u64::try_from(SystemClock.now().0 / 1_000).unwrap_or(0)
}

fn records(path: &Path) -> Result<Arc<Records>, Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Failure::io("make", folder, &error))?;
    }
    let failed = |error: &dyn Display| {
        Failure::failed("X402_RECORDS", error.to_string())
            .hint("the file belongs to one process; X402_FACILITATOR_RECORDS names another")
    };
    Records::open(path, now_s()).map(Arc::new).map_err(|error| failed(&error))
}

/// Asks the chain until it answers, then follows what was sold for as long as the process lives.
async fn work(settings: FacilitatorSettings, records: Arc<Records>, present: Present, ready: Ready) {
    let mut said = None;
    let facilitator = loop {
        match connect(&settings, &records, &present).await {
            Ok(facilitator) => break Arc::new(facilitator),
            Err(problem) => {
                if said.as_ref() != Some(&problem) {
                    tracing::warn!(%problem, "the facilitator settles nothing yet");
                    said = Some(problem);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    for (chain_id, tokens, account) in facilitator.settles() {
        let tokens: Vec<_> = tokens.iter().map(|token| token.address.to_string()).collect();
        tracing::info!(chain_id, %account, tokens = %tokens.join(", "), "the facilitator settles payments");
    }
    let _ = ready.set(router(facilitator.clone()));
    facilitator.run().await;
}

/// A facilitator of the endpoint's chain, with those of its tokens that take authorizations.
async fn connect(
    settings: &FacilitatorSettings,
    records: &Arc<Records>,
    present: &Present,
) -> Result<Facilitator, String> {
    let signer = ChainKey::from_hex(&settings.key).map_err(|error| error.to_string())?;
    let (node, account) = (settings.node.clone(), signer.address());
    let connected = tokio::task::spawn_blocking(move || RpcChain::connect(node, None, account)).await;
    let connected = connected.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let chain = connected.with_fee_ceiling(settings.fee_ceiling);
    let tokens = tokens(settings, &chain).await?;
    let log = Arc::new(SequencedPayments { present: present.clone(), stream: settings.stream });
    let setup = ChainSetup { chain: Arc::new(chain), signer, tokens };
    Facilitator::new(vec![setup], ChainTable::default(), records.clone(), log, Arc::new(now_s))
        .map_err(|error| error.to_string())
}

/// Those of the chain's contracts in the table that take authorizations; the others are told of.
async fn tokens(settings: &FacilitatorSettings, chain: &RpcChain) -> Result<Vec<Token>, String> {
    let chain_id = chain.chain_id();
    let of_chain = |network: Network| network.chain_id() == chain_id;
    let named = settings.tokens.entries().filter(|(network, ..)| of_chain(*network));
    let mut tokens = Vec::new();
    for (network, asset, address) in named.filter(|(.., address)| *address != TokenAddress::NATIVE) {
        match Token::of_contract(chain, address.0.into()).await {
            Ok(token) => tokens.push(token),
            Err(ChainError::Unreachable(problem)) => return Err(problem),
            Err(problem) => {
                let name = format!("{}:{}", network.text(), asset.text());
                tracing::warn!(%problem, "{name} takes no authorizations (EIP-3009): it is not settled");
            }
        }
    }
    match tokens.is_empty() {
        true => Err(format!(
            "the endpoint is of chain {chain_id}, and no token of that chain in X402_TOKENS takes authorizations (EIP-3009); \
             look at X402_FACILITATOR_RPC_URL and X402_TOKENS"
        )),
        false => Ok(tokens),
    }
}

/// `GET /ready` for whoever looks after it; everything else with the token.
fn routes(ready: Ready, token: Option<Zeroizing<String>>) -> Router {
    let token = Arc::new(token);
    let settling = Router::new().fallback(hand_on).layer(from_fn_with_state(token, let_in));
    Router::new()
        .route("/ready", get(is_ready))
        .fallback_service(settling.with_state(ready.clone()))
        .with_state(ready)
}

async fn hand_on(State(ready): State<Ready>, request: Request) -> Response {
    match ready.get() {
        Some(routes) => routes.clone().oneshot(request).await.into_response(),
        None => not_yet(),
    }
}

async fn is_ready(State(ready): State<Ready>) -> Response {
    match ready.get() {
        Some(_) => Json(json!({"status": "ready"})).into_response(),
        None => not_yet(),
    }
}

/// What the endpoint says may hold its address and its keys: it stays in the log.
fn not_yet() -> Response {
    let answer =
        Json(json!({"error": "the chain has not answered yet; see the log of the service, and ask again"}));
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_S)], answer).into_response()
}

/// The token of a bearer's header. The scheme's name has no case (RFC 9110, 11.1).
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' ').as_bytes())
}

async fn let_in(
    State(token): State<Arc<Option<Zeroizing<String>>>>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(bearer);
    let is_let_in = match token.as_ref() {
        Some(token) => given.is_some_and(|given| given.ct_eq(token.as_bytes()).into()),
        None => true,
    };
    if is_let_in {
        return next.run(request).await;
    }
    let answer =
        Json(json!({"error": "send X402_FACILITATOR_TOKEN of this service as Authorization: Bearer …"}));
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response()
}
