//! The engine `solo` in this process: blocks, and the RPC of a node.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use stateset_ledger_app::overlay::Overlay;
use stateset_ledger_store::Store;
use stateset_ledger_types::{Params, StateKey};
use stateset_solo::{Engine, EngineError, EngineParts, LastSigned, Node, NodeConfig, rpc};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::home::Home;
use crate::node::Said;
use crate::output::Failure;
use crate::upgrade;

/// The last block may be written; later work is cut.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// Where the RPC listens.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    pub rpc: SocketAddr,
    /// Take a free port where that one is taken.
    pub else_free: bool,
}

impl Listen {
    async fn listener(self) -> std::io::Result<TcpListener> {
        match TcpListener::bind(self.rpc).await {
            Err(error) if self.else_free && error.kind() == std::io::ErrorKind::AddrInUse => {
                TcpListener::bind(SocketAddr::new(self.rpc.ip(), 0)).await
            }
            other => other,
        }
    }
}

/// How it runs.
pub struct SoloConfig {
    /// With which pause between empty blocks; else as the ledger's parameters have it at this start.
    pub empty_block_interval: Option<Duration>,
    pub said: Said,
}

/// What it failed with, for an operator.
fn failed(home: &Home, code: &str, error: &EngineError) -> Failure {
    match error {
        EngineError::Application(fault) => upgrade::stopped(home, fault),
        other => Failure::failed(code, other),
    }
}

/// The pause between empty blocks that members decided on.
fn agreed_pause(store: &Store) -> Result<Duration, Failure> {
    let unreadable = |problem: &dyn ToString| Failure::failed("STATE", problem.to_string());
    let view = store.view().map_err(|error| unreadable(&error))?;
    let params = Overlay::new(&view).expect::<Params>(&StateKey::params());
    Ok(Duration::from_millis(params.map_err(|fault| unreadable(&fault))?.empty_block_interval_ms))
}

/// Runs until it is dropped, which ends it after the block at hand.
pub struct Solo {
    /// Where the RPC listens.
    pub rpc: SocketAddr,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    engine: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<Failure>>,
}

impl Solo {
    /// Starts the engine of `home`. Blocks: not to be called where tasks run.
    pub fn start(home: &Home, at: Listen, config: SoloConfig, store: Store) -> Result<Self, Failure> {
        let cannot = |problem: &dyn ToString| Failure::failed("CANNOT_START", problem.to_string());
        let file = home.file("genesis.json");
        let genesis = fs::read(&file).map_err(|error| Failure::io("read", &file, &error))?;
        // What was signed last stands apart from the state, so that an old copy of the state signs no height again.
        let signed = home.file("signed");
        fs::create_dir_all(&signed).map_err(|error| Failure::io("make", &signed, &error))?;
        let store = Arc::new(store);
        let parts = EngineParts {
            application: Arc::new(upgrade::ledger(&config.said.upgrade)),
            store: Arc::clone(&store),
            keys: vec![Arc::new(home.seed("validator.seed")?)],
            last_signed: LastSigned::open(&signed).map_err(|error| cannot(&error))?,
            trust_stored_height: config.said.trust_stored_height,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| cannot(&error))?;
        let (engine, _) =
            Engine::start(parts, &genesis).map_err(|error| failed(home, "CANNOT_START", &error))?;
        let listener =
            runtime.block_on(at.listener()).map_err(|error| cannot(&format!("{}: {error}", at.rpc)))?;
        let rpc = listener.local_addr().map_err(|error| cannot(&error))?;
        let inside = runtime.enter();
        let pause = config.empty_block_interval.map_or_else(|| agreed_pause(&store), Ok)?;
        let pace = NodeConfig { empty_block_interval: pause, ..NodeConfig::default() };
        let mut node = Node::spawn(engine, pace);
        let serving = rpc::serve(listener, node.handle(), rpc::HEAD_TIME_MAX);
        let failure = Arc::new(OnceLock::new());
        let (stop, mut stopped) = oneshot::channel();
        let (noted, home) = (Arc::clone(&failure), home.clone());
        let engine = runtime.spawn(async move {
            let ended = tokio::select! {
                _ = &mut stopped => None,
                ended = node.failed() => Some(ended.err().map(|error| failed(&home, "ENGINE", &error))),
                never = serving => match never {},
            };
            match ended {
                // It ends with the block at hand, whatever comes of it: the next start says what is wrong.
                None => drop(node.stop().await),
                Some(why) => {
                    let why = why.unwrap_or_else(|| Failure::failed("ENGINE", "it ended by itself"));
                    tracing::error!(code = why.code, "the ledger has stopped: {}", why.message);
                    drop(noted.set(why));
                }
            }
        });
        drop(inside);
        Ok(Self { rpc, runtime: Some(runtime), stop: Some(stop), engine: Some(engine), failure })
    }

    /// As [`failure`](Self::failure), for others to ask.
    pub fn watch(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let failure = Arc::clone(&self.failure);
        move || failure.get().map(|failure| failure.message.clone())
    }

    /// Why it stopped by itself, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }
}

impl Drop for Solo {
    fn drop(&mut self) {
        // No receiver: the engine has ended.
        let _ = self.stop.take().map(|stop| stop.send(()));
        if let (Some(runtime), Some(engine)) = (self.runtime.take(), self.engine.take()) {
            // A panic of the engine was reported when it happened.
            let _ = runtime.block_on(engine);
            runtime.shutdown_timeout(STOP_TIME_MAX);
        }
    }
}
