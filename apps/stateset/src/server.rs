//! The event service in this process: store, sequencer and REST door, joined.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use stateset_event_log::{EventStore, Holder, PeerSecret, SqliteStore};
use stateset_sequencer::{CommitPolicy, Config, RegisterError};
use stateset_sequencer_admin::database::Target;
use stateset_sequencer_api::{
    ApiConfig, Instance, InstanceConfig, InstanceError, OnTerm, ServerConfig, install_bootstrap_key,
};
use stateset_sequencer_app::joined;
use stateset_sequencer_app::places::reachable;
use stateset_sequencer_app::telemetry::Telemetry;
use tokio::net::TcpListener;

use crate::error::CliError;
use crate::installation::Installation;

/// How batches close.
#[derive(Debug, Clone, Copy)]
pub struct Commits {
    pub policy: CommitPolicy,
    /// `false` leaves every commitment to callers.
    pub automatic: bool,
}

/// A running service.
pub struct Server(Instance);

/// The ports, taken before anything else is touched.
pub struct Listeners {
    rest: TcpListener,
    pub rest_address: SocketAddr,
    grpc: Option<TcpListener>,
    pub grpc_address: Option<SocketAddr>,
}

impl Listeners {
    pub async fn bind(rest: SocketAddr, grpc: Option<SocketAddr>) -> Result<Self, CliError> {
        let (rest, rest_address) = bind(rest, "--listen 127.0.0.1:0").await?;
        let (grpc, grpc_address) = match grpc {
            Some(address) => {
                let (listener, address) = bind(address, "--grpc-listen 127.0.0.1:0, or none").await?;
                (Some(listener), Some(address))
            }
            None => (None, None),
        };
        Ok(Self { rest, rest_address, grpc, grpc_address })
    }
}

/// Where the log lies.
pub struct Store {
    store: Arc<dyn EventStore>,
    /// For a person.
    pub name: String,
    /// Others may sign in it too, so the version of our key is the log's to say.
    is_shared: bool,
}

impl Store {
    /// The data directory's own.
    pub fn file(path: &Path) -> Self {
        Self { store: Arc::new(SqliteStore::new(path)), name: path.display().to_string(), is_shared: false }
    }

    /// Any other database.
    pub fn shared(target: &Target, listeners: &Listeners) -> Result<Self, CliError> {
        let holder = Holder {
            instance: uuid::Uuid::from_bytes(crate::installation::random()?).to_string(),
            rest: Some(reachable(listeners.rest_address)),
            grpc: listeners.grpc_address.map(reachable),
            secret: Some(PeerSecret::new(crate::installation::random()?)),
        };
        let store = stateset_sequencer_app::store::for_service(&target.database, &target.postgres, holder)?;
        Ok(Self { store, name: target.database.to_string(), is_shared: true })
    }
}

async fn bind(address: SocketAddr, other: &str) -> Result<(TcpListener, SocketAddr), CliError> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let failure = CliError::failure("CANNOT_LISTEN", format!("cannot listen on {address}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                failure.hint(format!("stop what listens there, or choose another with {other}"))
            }
            _ => failure,
        }
    })?;
    let address =
        listener.local_addr().map_err(|error| CliError::failure("CANNOT_LISTEN", error.to_string()))?;
    Ok((listener, address))
}

impl Server {
    /// Opens the store and serves on the listeners.
    pub async fn start(
        listeners: Listeners,
        store: &Store,
        installation: &Installation,
        commits: Commits,
        telemetry: &Telemetry,
    ) -> Result<Self, CliError> {
        let profile = &installation.profile;
        let settings = joined::from_environment()?;
        let version = if store.is_shared { Config::VERSION_OF_LOG } else { profile.sequencer_key_version };
        let mut sequencer = Config::new(profile.sequencer_id, installation.signer.clone(), version);
        sequencer.commit = commits.policy;
        sequencer.auto_commit = commits.automatic;
        sequencer.tracer = telemetry.tracer();
        sequencer.verifier = Some(joined::verifier());
        let config = InstanceConfig {
            api: ApiConfig {
                queue_events_max: sequencer.queue_events_max,
                read_models: joined::read_models(&settings),
                ..ApiConfig::default()
            },
            sequencer,
            server: ServerConfig::default(),
            on_term: keys_of(installation, telemetry),
            workers: joined::workers(&settings),
        };
        let Listeners { rest, grpc, .. } = listeners;
        Instance::start(joined::store(store.store.clone(), &settings), rest, grpc, config)
            .await
            .map(Self)
            .map_err(|error| failure(&error))
    }

    /// Events in a stream, for a greeting.
    pub fn head(&self, stream: &ves::StreamKey) -> u64 {
        self.0.sequencer().map_or(0, |sequencer| sequencer.head(stream).head_sequence.get())
    }

    /// Under which version the log knows our key; `None` while another process writes it.
    pub fn key_version(&self) -> Option<u32> {
        self.0.sequencer().map(|sequencer| sequencer.key_version())
    }

    /// Comes back if the service can't go on, with the reason.
    pub fn ended(&self) -> impl Future<Output = CliError> + use<> {
        let ended = self.0.ended();
        async move { failure(&*ended.await) }
    }

    /// Finishes what is in flight, then closes the store.
    pub async fn stop(self) -> Result<(), CliError> {
        self.0.stop().await.map_err(|error| failure(&error))
    }
}

/// The keys that each term of writing begins with: the administrator's and the default agent's.
fn keys_of(installation: &Installation, telemetry: &Telemetry) -> OnTerm {
    let join_telemetry = telemetry.join();
    let keys = Arc::new((installation.api_key.clone(), installation.agent_key.clone()));
    Arc::new(move |sequencer| {
        join_telemetry(&sequencer);
        let keys = keys.clone();
        Box::pin(async move {
            let (api_key, agent_key) = &*keys;
            install_bootstrap_key(&sequencer, api_key).await?;
            match sequencer.register_agent_key(agent_key.clone()).await {
                Ok(()) | Err(RegisterError::AlreadyExists) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
    })
}

fn failure(error: &InstanceError) -> CliError {
    match error {
        InstanceError::Open(_) => CliError::failure("STORE", error.to_string()),
        InstanceError::Start(error) => CliError::failure("CANNOT_START", error.to_string()),
        InstanceError::Prepare(error) => CliError::failure("CANNOT_START", error.to_string()),
        InstanceError::Stop(error) => CliError::failure("NOT_DRAINED", error.to_string()),
    }
}
