//! The event service in this process: store, sequencer and REST door, joined.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use stateset_event_log::SqliteLog;
use stateset_sequencer::{CommitPolicy, Config, RegisterError, Sequencer, SystemClock};
use stateset_sequencer_api::{ApiConfig, ServerConfig, install_bootstrap_key, router, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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
pub struct Server {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
    sequencer: Sequencer,
}

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
        let store = store.to_owned();
        let log = tokio::task::spawn_blocking(move || SqliteLog::open(&store))
            .await
            .map_err(|error| CliError::failure("INTERNAL", error.to_string()))?
            .map_err(|error| {
                CliError::failure("STORE", format!("the event store cannot be opened: {error}"))
            })?;
        let profile = &installation.profile;
        let mut config =
            Config::new(profile.sequencer_id, installation.signer.clone(), profile.sequencer_key_version);
        config.commit = commits.policy;
        config.auto_commit = commits.automatic;
        let queue_events_max = config.queue_events_max;
        let sequencer = Sequencer::start(Box::new(log), config, Arc::new(SystemClock))
            .map_err(|error| CliError::failure("CANNOT_START", error.to_string()))?;
        install_bootstrap_key(&sequencer, &installation.api_key).await.map_err(service)?;
        match sequencer.register_agent_key(installation.agent_key.clone()).await {
            Ok(()) | Err(RegisterError::AlreadyExists) => {}
            Err(error) => return Err(CliError::failure("CANNOT_START", error.to_string())),
        }
        let door = router(sequencer.clone(), ApiConfig { queue_events_max, ..ApiConfig::default() });
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve(listener, door, ServerConfig::default(), shutdown));
        Ok(Self { stop, serving, sequencer })
    }

    /// Events in the default stream, for a greeting.
    pub fn head(&self, stream: &ves::StreamKey) -> u64 {
        self.sequencer.head(stream).head_sequence.get()
    }

    /// Finishes what is in flight, then closes the store.
    pub async fn stop(self) -> Result<(), CliError> {
        let _ = self.stop.send(());
        let drained = self.serving.await;
        self.sequencer.shutdown().await;
        match drained {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(CliError::failure("NOT_DRAINED", error.to_string())),
            Err(error) => Err(CliError::failure("INTERNAL", error.to_string())),
        }
    }
}

fn service(error: stateset_sequencer::ServiceError) -> CliError {
    CliError::failure("CANNOT_START", error.to_string())
}
