//! The server that is measured: this program again, in a process of its own, so that its CPU time and memory are its
//! own. It stops when its parent closes its standard input, whatever becomes of the parent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use stateset_event_log::{
    ApiKeyRecord, EventLog, EventStore as _, Holder, Opening, PostgresConfig, PostgresStore, SqliteLog,
};
use stateset_keystore::{Ed25519Signer, KeyName};
use stateset_sequencer::trace::Tracer;
use stateset_sequencer::{Config, PaymentWorker, RegisterError, Sequencer, SystemClock, Worker, Workers};
use stateset_sequencer_api::{ApiConfig, ServerConfig, key_hash};
use stateset_sequencer_app::joined;
use stateset_sequencer_app::telemetry::{Telemetry, TelemetrySettings};
use ves::{Digest, SequencerId, TenantId, TimestampMs};

use crate::events::{API_KEY, FLOOD_KEY, all_agents};
use crate::machine;

/// What a server process serves.
#[derive(Debug, Clone)]
pub enum Serves {
    /// The event service on the store in this folder.
    Events(PathBuf),
    /// The same with projections beside it.
    Projected(PathBuf),
    /// The same, with traces to a collector for this part of the requests.
    Traced { folder: PathBuf, endpoint: String, sample_rate: f64 },
    /// The event service on this PostgreSQL database.
    Database(String),
    /// The same HTTP stack with a handler that only answers.
    Nothing,
}

/// A server process of our own.
pub struct Server {
    child: Child,
    /// Closing it stops the server.
    stdin: Option<ChildStdin>,
    pub address: SocketAddr,
    /// From starting the process until it said that it listens.
    pub start: Duration,
}

impl Server {
    /// Starts this program's `serve` and waits until it listens.
    pub fn start(serves: &Serves) -> Result<Self> {
        let started = Instant::now();
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        match serves {
            Serves::Events(folder) => command.arg("--data").arg(folder),
            Serves::Projected(folder) => command.arg("--projections").arg("--data").arg(folder),
            Serves::Traced { folder, endpoint, sample_rate } => {
                command.arg("--data").arg(folder).args(["--traces", endpoint]);
                command.args(["--sample-rate", &sample_rate.to_string()])
            }
            Serves::Database(url) => command.arg("--database").arg(url),
            Serves::Nothing => &mut command,
        };
        let mut child = command.spawn().context("starting the server")?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        let stdout = child.stdout.take().context("the server has no output")?;
        BufReader::new(stdout).read_line(&mut line).context("waiting for the server")?;
        let start = started.elapsed();
        match line.trim().parse() {
            Ok(address) => Ok(Self { child, stdin, address, start }),
            Err(_) => {
                let status = child.wait()?;
                anyhow::bail!("the server did not start: {status}")
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn memory_peak(&self) -> Result<u64> {
        machine::memory_peak_of(self.pid())
    }

    /// Drains and stops it.
    pub fn stop(mut self) -> Result<()> {
        drop(self.stdin.take());
        let status = self.child.wait().context("waiting for the server to stop")?;
        ensure!(status.success(), "the server stopped with {status}");
        Ok(())
    }
}

impl Drop for Server {
    /// After an error: the server must not outlive the run.
    fn drop(&mut self) {
        if self.stdin.take().is_some() {
            // Nobody is left to tell; a server that is already gone is what we want.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// How long a stop waits for the workers.
const WORKERS_TIME_MAX: Duration = Duration::from_secs(10);

/// Where the service keeps its events.
pub enum Store {
    Folder(PathBuf),
    Database(String),
}

impl Store {
    /// From the arguments of `serve`; `None` serves nothing.
    pub fn of(folder: Option<PathBuf>, database: Option<String>) -> Option<Self> {
        database.map(Self::Database).or(folder.map(Self::Folder))
    }

    /// Opens the log to write it.
    pub fn open(&self) -> Result<Box<dyn EventLog>> {
        match self {
            Self::Folder(folder) => {
                std::fs::create_dir_all(folder)?;
                Ok(Box::new(SqliteLog::open(folder.join("events.db")).context("opening the store")?))
            }
            Self::Database(url) => {
                let mut config =
                    PostgresConfig::new(url, Holder { instance: "bench".into(), ..Holder::default() });
                config.allow_insecure_local = true;
                let store = PostgresStore::new(config).context("the database's address")?;
                match store.open().context("opening the database")? {
                    Opening::Writer(log) => Ok(log),
                    Opening::Held(holder) => anyhow::bail!("{} writes this database", holder.instance),
                }
            }
        }
    }
}

/// From the arguments of `serve`.
pub fn traces(endpoint: Option<String>, sample_rate: f64) -> TelemetrySettings {
    TelemetrySettings { endpoint, sample_rate, ..TelemetrySettings::default() }
}

/// The `serve` command: prints its address, serves until standard input ends.
pub fn serve(store: Option<Store>, projections: bool, traces: &TelemetrySettings) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let telemetry = Telemetry::start(traces).map_err(|failure| anyhow::anyhow!(failure.message))?;
        let sequencer = match store {
            Some(store) => Some(open_store(store, telemetry.tracer()).await?),
            None => None,
        };
        let router = match &sequencer {
            Some(sequencer) => {
                let read_models = projections.then(joined::read_models);
                let config = ApiConfig { read_models, ..ApiConfig::default() };
                stateset_sequencer_api::router(sequencer.clone(), config)
            }
            None => empty(),
        };
        let mut workers: Vec<Arc<dyn Worker>> = vec![Arc::new(PaymentWorker::default())];
        if projections {
            workers.push(Arc::new(joined::projections::Projections));
        }
        let workers = sequencer.as_ref().map(|sequencer| Workers::start(&workers, sequencer));
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{address}")?;
        stdout.flush()?;
        stateset_sequencer_api::serve(listener, router, ServerConfig::default(), stdin_closed()).await?;
        if let Some(workers) = workers {
            workers.stop(WORKERS_TIME_MAX).await;
        }
        if let Some(sequencer) = sequencer {
            sequencer.shutdown().await;
        }
        telemetry.stop().await;
        anyhow::Ok(())
    })
}

async fn stdin_closed() {
    let (closed, wait) = tokio::sync::oneshot::channel();
    // A thread of its own: a blocking read in the runtime's pool would keep the runtime from stopping.
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        let _ = closed.send(());
    });
    let _ = wait.await;
}

/// Reads the body and answers as many bytes as one receipt takes.
fn empty() -> Router {
    let answer = |body: Bytes| async move {
        let mut answer = String::with_capacity(640);
        answer.push_str(r#"{"batchId":"00000000-0000-4000-8000-000000000000","eventsAccepted":1,"eventsRejected":0,"length":"#);
        answer.push_str(&body.len().to_string());
        answer.push_str(",\"rest\":\"");
        answer.extend(std::iter::repeat_n('x', 480));
        answer.push_str("\"}");
        ([("content-type", "application/json")], answer)
    };
    Router::new().route("/api/v1/ves/events/ingest", post(answer)).route("/health", get(|| async { "" }))
}

/// The event service on `folder`, with the benchmark's agents and its API key registered.
pub async fn open(folder: &Path) -> Result<Sequencer> {
    open_store(Store::Folder(folder.to_owned()), Tracer::default()).await
}

async fn open_store(store: Store, tracer: Tracer) -> Result<Sequencer> {
    let name: KeyName = "sequencer".parse().context("a key name")?;
    let signer = Ed25519Signer::from_seed(&SEQUENCER_SEED, &name).context("opening the sequencer's key")?;
    let config = Config { tracer, ..Config::new(SequencerId::from_bytes([0x5e; 16]), Arc::new(signer), 1) };
    // A database is asked over the network, which a thread that serves others must not wait for.
    let starting = tokio::task::spawn_blocking(move || {
        Sequencer::start(store.open()?, config, Arc::new(SystemClock)).context("starting the sequencer")
    });
    let sequencer = starting.await??;
    for key in [API_KEY, FLOOD_KEY] {
        let key_hash = key_hash(key);
        if sequencer.api_key(&key_hash).is_none() {
            sequencer.put_api_key(bootstrap(key_hash)).await?;
        }
    }
    if sequencer.agent_keys(&all_agents()[0].tenant_id, None).is_empty() {
        for agent in all_agents() {
            match sequencer.register_agent_key(agent.registered_key()).await {
                Ok(()) | Err(RegisterError::AlreadyExists) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(sequencer)
}

/// Seed of the benchmark's own sequencer key; it signs nothing that leaves this machine.
const SEQUENCER_SEED: [u8; 32] = [0x42; 32];

fn bootstrap(key_hash: Digest) -> ApiKeyRecord {
    let now = TimestampMs(0);
    ApiKeyRecord {
        key_hash,
        tenant_id: TenantId::from_bytes([0; 16]),
        store_ids: Vec::new(),
        agent_id: None,
        can_read: true,
        can_write: true,
        can_admin: true,
        active: true,
        rate_limit: None,
        created_at: now,
        updated_at: now,
    }
}
