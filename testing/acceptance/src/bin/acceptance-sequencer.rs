//! One instance of the event service on a PostgreSQL database, configured by environment variables alone.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use stateset_event_log::{Holder, PostgresConfig, PostgresStore};
use stateset_sequencer::{CommitPolicy, Config};
use stateset_sequencer_api::{ApiConfig, Instance, InstanceConfig, ServerConfig, install_bootstrap_key};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use ves::ed25519::SigningKey;

fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let port: u16 = setting("PORT")?.parse().context("PORT")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let advertised = Holder {
        instance: format!("{port}-{}", std::process::id()),
        rest: Some(format!("http://127.0.0.1:{port}")),
        grpc: None,
    };
    let mut database = PostgresConfig::new(setting("DATABASE_URL")?, advertised);
    database.allow_insecure_local = true;
    database.read_url = std::env::var("READ_DATABASE_URL").ok();
    let seed = ves::hex::decode_lenient(&setting("VES_SEQUENCER_SIGNING_KEY")?)?;
    let id = setting("VES_SEQUENCER_ID")?.parse().context("VES_SEQUENCER_ID")?;
    let mut sequencer = Config::new(id, Arc::new(SigningKey::from_seed(seed)), 1);
    sequencer.commit = CommitPolicy { events_max: 256, age_ms_max: 2_000 };
    let admin: Arc<str> = setting("BOOTSTRAP_ADMIN_API_KEY")?.into();
    let config = InstanceConfig {
        sequencer,
        api: ApiConfig::default(),
        server: ServerConfig::default(),
        on_term: Arc::new(move |sequencer| {
            let admin = admin.clone();
            Box::pin(async move { Ok(install_bootstrap_key(&sequencer, &admin).await?) })
        }),
    };
    let instance = Instance::start(Arc::new(PostgresStore::new(database)?), listener, None, config).await?;
    writeln!(std::io::stdout(), "listening")?;
    tokio::select! {
        _ = terminate.recv() => Ok(instance.stop().await?),
        reason = instance.ended() => anyhow::bail!("{reason}"),
    }
}

fn setting(name: &'static str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}
