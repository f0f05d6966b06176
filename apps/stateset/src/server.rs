//! The event service in this process: store, sequencer and REST door, joined.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use stateset_event_log::{EventStore, Holder, PeerSecret, SqliteStore};
use stateset_sequencer::{AnchorTarget, CommitPolicy, Config, ReadyCheck, RegisterError, Sequencer};
use stateset_sequencer_admin::database::Target;
use stateset_sequencer_api::{
    ApiConfig, Instance, InstanceConfig, InstanceError, OnTerm, install_bootstrap_key,
};
use stateset_sequencer_app::config::Settings;
use stateset_sequencer_app::joined;
use stateset_sequencer_app::joined::payments::Present;
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

/// What the service is told by others than the options.
pub struct Setup {
    /// By the environment.
    pub settings: Settings,
    /// Where the sequencer of the present term is found.
    pub present: Present,
}

impl Setup {
    /// # Errors
    /// What is wrong with a variable.
    pub fn from_environment() -> Result<Self, CliError> {
        Ok(Self { settings: joined::from_environment()?, present: Present::default() })
    }
}

/// What the local chain is to the service.
#[derive(Default)]
pub struct OnChain {
    pub target: Option<Arc<dyn AnchorTarget>>,
    /// Without it the service is not ready.
    pub check: Option<ReadyCheck>,
}

/// A running service.
pub struct Server {
    instance: Instance,
    present: Present,
}

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
    pub fn shared(target: &Target, listeners: &Listeners, telemetry: &Telemetry) -> Result<Self, CliError> {
        let holder = Holder {
            instance: uuid::Uuid::from_bytes(crate::installation::random()?).to_string(),
            rest: Some(reachable(listeners.rest_address)),
            grpc: listeners.grpc_address.map(reachable),
            secret: Some(PeerSecret::new(crate::installation::random()?)),
        };
        let store = stateset_sequencer_app::store::for_service(
            &target.database,
            &target.postgres,
            holder,
            &telemetry.breakers(),
        )?;
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
        setup: Setup,
        telemetry: &Telemetry,
        on_chain: OnChain,
    ) -> Result<Self, CliError> {
        let profile = &installation.profile;
        let Setup { settings, present } = setup;
        let version = if store.is_shared { Config::VERSION_OF_LOG } else { profile.sequencer_key_version };
        let mut sequencer = Config::new(profile.sequencer_id, installation.signer.clone(), version);
        sequencer.commit = commits.policy;
        sequencer.auto_commit = commits.automatic;
        (sequencer.anchor, sequencer.also_ready) = (on_chain.target, on_chain.check);
        sequencer.tracer = telemetry.tracer();
        sequencer.breakers = telemetry.breakers();
        let server = joined::configure(&settings, &mut sequencer);
        let effective = effective(&settings, &listeners, store, &sequencer);
        let config = InstanceConfig {
            api: ApiConfig {
                queue_events_max: sequencer.queue_events_max,
                read_models: Some(joined::read_models()),
                webhook_targets: joined::webhooks::target_check(settings.workers.webhooks),
                ..ApiConfig::default()
            },
            sequencer,
            server,
            on_term: begin_term(installation, telemetry, effective, present.clone()),
            workers: joined::workers(&settings.workers),
        };
        let Listeners { rest, grpc, .. } = listeners;
        Instance::start(joined::store(store.store.clone(), &settings.workers), rest, grpc, config)
            .await
            .map(|instance| Self { instance, present })
            .map_err(|error| failure(&error))
    }

    /// Events in a stream, for a greeting.
    pub fn head(&self, stream: &ves::StreamKey) -> u64 {
        self.sequencer().map_or(0, |sequencer| sequencer.head(stream).head_sequence.get())
    }

    /// The sequencer; `None` while another process writes the log.
    pub fn sequencer(&self) -> Option<Sequencer> {
        self.instance.sequencer()
    }

    /// Under which version the log knows our key; `None` while another process writes it.
    pub fn key_version(&self) -> Option<u32> {
        self.sequencer().map(|sequencer| sequencer.key_version())
    }

    /// Comes back if the service can't go on, with the reason.
    pub fn ended(&self) -> impl Future<Output = CliError> + use<> {
        let ended = self.instance.ended();
        async move { failure(&*ended.await) }
    }

    /// Finishes what is in flight, then closes the store.
    pub async fn stop(self) -> Result<(), CliError> {
        self.present.set(None);
        self.instance.stop().await.map_err(|error| failure(&error))
    }
}

/// The settings as this program sets them, under the names that `stateset-sequencer` has for them: what the audit log
/// compares.
fn effective(
    settings: &Settings,
    listeners: &Listeners,
    store: &Store,
    config: &Config,
) -> BTreeMap<String, String> {
    let mut effective = settings.effective.clone();
    let mut say = |name: &str, value: String| drop(effective.insert(name.to_owned(), value));
    say("DATABASE_URL", store.name.clone());
    say("HOST", listeners.rest_address.ip().to_string());
    say("PORT", listeners.rest_address.port().to_string());
    say("GRPC_DISABLED", listeners.grpc_address.is_none().to_string());
    if let Some(grpc) = listeners.grpc_address {
        say("GRPC_PORT", grpc.port().to_string());
    }
    say("VES_SEQUENCER_ID", config.sequencer_id.to_string());
    say("VES_COMMIT_EVENTS_MAX", config.commit.events_max.to_string());
    say("VES_COMMIT_INTERVAL_SECS", (config.commit.age_ms_max / 1000).to_string());
    say("VES_AUTO_COMMIT", config.auto_commit.to_string());
    effective
}

/// What each term of writing begins with: the keys of the administrator and of the default agent, and the record of a
/// changed configuration.
fn begin_term(
    installation: &Installation,
    telemetry: &Telemetry,
    effective: BTreeMap<String, String>,
    present: Present,
) -> OnTerm {
    let join_telemetry = telemetry.join();
    let keys = Arc::new((installation.api_key.clone(), installation.agent_key.clone()));
    Arc::new(move |sequencer| {
        join_telemetry(&sequencer);
        present.set(Some(sequencer.clone()));
        let (keys, effective) = (keys.clone(), effective.clone());
        Box::pin(async move {
            let (api_key, agent_key) = &*keys;
            install_bootstrap_key(&sequencer, api_key).await?;
            match sequencer.register_agent_key(agent_key.clone()).await {
                Ok(()) | Err(RegisterError::AlreadyExists) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(sequencer.record_configuration(effective).await?)
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
