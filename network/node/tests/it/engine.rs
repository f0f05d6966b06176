//! The same companies on the real engine: solo in this process, reached through its RPC, every answer proven by a light
//! client from the genesis on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use stateset_ledger_app::Ledger;
use stateset_ledger_store::Store;
use stateset_ledger_types::codec::Encode;
use stateset_light::{Certificate, Terms, Trust, TrustedState};
use stateset_node::ports::{Chain, Clock};
use stateset_node::probe::Always;
use stateset_node::rpc::RpcChain;
use stateset_solo::{Engine, EngineParts, LastSigned, Node as Solo, NodeConfig, rpc};

use crate::invoices::{check_life, live};
use crate::world::{BUYER, World, genesis, validator};

/// The clock of this machine.
#[derive(Clone, Copy)]
struct System;

impl Clock for System {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        u64::try_from(since.as_millis()).expect("before the end of time")
    }
}

struct Running {
    runtime: tokio::runtime::Runtime,
    address: SocketAddr,
    trusted: TrustedState,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let genesis = genesis(System.now_ms() - 10_000);
        let parts = EngineParts {
            application: Arc::new(Ledger::new()),
            store: Arc::new(Store::in_memory().unwrap()),
            keys: vec![Arc::new(validator()) as Arc<dyn ves::Signer>],
            last_signed: LastSigned::open(folder.path()).unwrap(),
            trust_stored_height: false,
        };
        let (engine, _) = Engine::start(parts, genesis.to_json().as_bytes()).unwrap();
        let config = NodeConfig {
            block_interval_min: Duration::from_millis(20),
            empty_block_interval: Duration::from_millis(200),
            ..NodeConfig::default()
        };
        let address = runtime.block_on(async {
            let handle = {
                let solo = Solo::spawn(engine, config);
                let handle = solo.handle();
                // It runs as long as the runtime.
                tokio::spawn(async move {
                    let mut solo = solo;
                    let _ = solo.failed().await;
                });
                handle
            };
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(rpc::serve(listener, handle, rpc::HEAD_TIME_MAX));
            address
        });
        let trusted = TrustedState::of_genesis(&genesis).unwrap();
        Self { runtime, address, trusted, _folder: folder }
    }

    fn chain(&self) -> RpcChain<System> {
        let url = format!("http://{}", self.address);
        let agent = ureq::Agent::new_with_defaults();
        let call = move |method: &str, params: &Value| -> Result<Value, String> {
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let mut response = agent.post(&url).send_json(&request).map_err(|error| error.to_string())?;
            let mut answer: Value = response.body_mut().read_json().map_err(|error| error.to_string())?;
            match &answer["error"] {
                Value::Null => Ok(answer["result"].take()),
                error => Err(error.to_string()),
            }
        };
        RpcChain::new(Box::new(call), self.trusted.clone(), Terms::default(), System)
    }
}

#[test]
fn an_invoice_lives_on_the_engine_and_a_lost_vault_comes_back() {
    let running = Running::start();
    let chain = Arc::new(running.chain());
    for attempt in 0.. {
        match chain.tip() {
            Ok(_) => break,
            Err(error) if attempt > 200 => panic!("no block: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    let mut world = World::on(chain, Arc::new(System));
    let linear_id = live(&world);
    check_life(&world, &linear_id);
    // Whoever has the genesis verifies the buyer's certificate, without asking anybody.
    let history = world.node(BUYER).vault().history(&linear_id, None, 500).unwrap().items;
    let last = history.last().unwrap().place.tx_id;
    let kept = world.node(BUYER).vault().transaction(&last).unwrap().unwrap();
    let bytes = kept.certificate.expect("a final transaction has one").to_sce();
    let certificate = Certificate::from_bytes(&bytes).unwrap();
    let trust = Trust::Block(&running.trusted, Terms::default());
    let finality = certificate.verify(&last, &trust, System.now_ms()).unwrap();
    assert_eq!(finality.record.height, history.last().unwrap().height);
    assert!(certificate.verify(&history[0].place.tx_id, &trust, System.now_ms()).is_err());

    let before = world.digest(BUYER);
    world.open(BUYER, "new.db", Arc::new(Always));
    assert_ne!(world.digest(BUYER), before);
    let found = world.node(BUYER).recover().unwrap();
    assert_eq!((found.recorded.len(), found.refused.len()), (4, 0), "{found:?}");
    assert_eq!(world.digest(BUYER), before);
    drop(world);
    running.runtime.shutdown_timeout(Duration::from_secs(5));
}
