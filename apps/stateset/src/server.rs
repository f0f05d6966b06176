//! The event service in this process: store, sequencer and REST door, joined.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use stateset_event_log::SqliteStore;
use stateset_sequencer::{CommitPolicy, Config, RegisterError};
use stateset_sequencer_api::{
    ApiConfig, Instance, InstanceConfig, InstanceError, OnTerm, ServerConfig, install_bootstrap_key,
};
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

/// Takes the port before anything else is touched.
pub async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), CliError> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let failure = CliError::failure("CANNOT_LISTEN", format!("cannot listen on {address}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                failure.hint("stop what listens there, or choose another with --listen 127.0.0.1:0")
            }
            _ => failure,
        }
    })?;
    let address =
        listener.local_addr().map_err(|error| CliError::failure("CANNOT_LISTEN", error.to_string()))?;
    Ok((listener, address))
}

impl Server {
    /// Opens the store and serves on `listener`.
    pub async fn start(
        listener: TcpListener,
        store: &Path,
        installation: &Installation,
        commits: Commits,
    ) -> Result<Self, CliError> {
        let profile = &installation.profile;
        let mut sequencer =
            Config::new(profile.sequencer_id, installation.signer.clone(), profile.sequencer_key_version);
        sequencer.commit = commits.policy;
        sequencer.auto_commit = commits.automatic;
        let config = InstanceConfig {
            api: ApiConfig { queue_events_max: sequencer.queue_events_max, ..ApiConfig::default() },
            sequencer,
            server: ServerConfig::default(),
            on_term: keys_of(installation),
        };
        let store = Arc::new(SqliteStore::new(store));
        Instance::start(store, listener, None, config).await.map(Self).map_err(|error| failure(&error))
    }

    /// Events in a stream, for a greeting.
    pub fn head(&self, stream: &ves::StreamKey) -> u64 {
        self.0.sequencer().map_or(0, |sequencer| sequencer.head(stream).head_sequence.get())
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
fn keys_of(installation: &Installation) -> OnTerm {
    let keys = Arc::new((installation.api_key.clone(), installation.agent_key.clone()));
    Arc::new(move |sequencer| {
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
