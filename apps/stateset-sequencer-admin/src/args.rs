//! The command line (sequencer API, section 6.1).

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use stateset_event_log::LogReader;
use stateset_sequencer_api::Possession;
use stateset_sequencer_app::config::{self, Database, PostgresSettings, Settings};
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::joined::{self, WorkerSettings};
use stateset_sequencer_app::store;
use std::sync::Arc;

#[cfg(feature = "encryption")]
use crate::commands::reencrypt;
#[cfg(feature = "schema-validation")]
use crate::commands::schemas;
use crate::commands::{api_keys, audit, backfill, dlq, export, keys, projections, proof};

/// Tools for the operator of an event service.
#[derive(Debug, Parser)]
#[command(
    name = "stateset-sequencer-admin",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "The database is used as the service's own settings say (DB_…, ALLOW_INSECURE_LOCAL_DB, PAYLOAD_ENCRYPTION_…)."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// `sqlite://PATH` or `postgres://…` [default: DATABASE_URL, else the database of `stateset up`]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub database_url: Option<String>,
    /// The running service to write through [default: the one that the database names]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "STATESET_URL",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub server: Option<String>,
    /// Admin API key for the running service
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = "STATESET_API_KEY",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub api_key: Option<String>,
    /// Write one JSON document to stdout, and errors as JSON to stderr
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// No progress, no remarks
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the database's schema up to date
    Migrate,
    /// Check an inclusion proof; needs no database
    VerifyProof(proof::VerifyArgs),
    /// Write the events of a stream, with their receipts, to a file or to stdout
    ExportEvents(export::ExportArgs),
    /// Register the next signing key of an agent
    RotateKeys(keys::RotateArgs),
    /// List the signing keys of a tenant
    ListAgentKeys(keys::ListArgs),
    /// Compute the chain of state roots again from the stored commitments
    BackfillVesStateRoots(backfill::BackfillArgs),
    /// Seal payloads of events with the newest key
    #[cfg(feature = "encryption")]
    ReencryptEvents(reencrypt::EventsArgs),
    /// Seal validity proofs with the newest key
    #[cfg(feature = "encryption")]
    ReencryptVesValidityProofs(reencrypt::ProofsArgs),
    /// Seal compliance proofs with the newest key
    #[cfg(feature = "encryption")]
    ReencryptVesComplianceProofs(reencrypt::ProofsArgs),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    ApiKeys(api_keys::ApiKeysCommand),
    /// Export and verify the record of what administrators did
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The states of entities: how far they are, whether they hold, building them anew
    #[command(subcommand)]
    Projections(projections::ProjectionsCommand),
    /// Look at, retry and purge events that projections could not apply
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// Register schemas of payloads, look at them, move them through their lives, check payloads
    #[cfg(feature = "schema-validation")]
    #[command(subcommand)]
    Schemas(schemas::SchemasCommand),
    /// List the commands
    Commands,
    /// Print the version
    Version,
}

/// The command line as clap knows it.
pub fn command() -> clap::Command {
    Cli::command()
}

fn wrong(problems: Vec<config::Problem>) -> Failure {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failure::input("CONFIGURATION", lines.join("\n  "))
}

/// The database that a command is about, and how it is reached.
#[derive(Clone)]
pub struct Target {
    pub database: Database,
    pub postgres: PostgresSettings,
    /// Keys of what is sealed in it, as the service reads them.
    pub workers: WorkerSettings,
}

impl Target {
    /// From `--database-url`, else as the service itself reads its settings; without the replica: tools read the primary
    /// that was named, or a check would pass over what a replica lacks.
    pub fn find(url: Option<&str>) -> Result<Self, Failure> {
        Self::read(url, |name| !name.starts_with("READ_"))
    }

    /// Everything about the database, as a service uses it.
    pub fn of_service(url: &str) -> Result<Self, Failure> {
        Self::read(Some(url), |_| true)
    }

    fn read(url: Option<&str>, wanted: impl Fn(&str) -> bool) -> Result<Self, Failure> {
        // Only what is about the database: a slip in another setting must not keep an operator from his log.
        let ours = |name: &std::ffi::OsString| {
            name.to_str().is_some_and(|name| config::is_about_database(name) && wanted(name))
        };
        let environment = std::env::vars_os().filter(|(name, _)| ours(name));
        let given = url.map(|url| ("DATABASE_URL".into(), url.into()));
        let gathered = config::gather(environment.chain(given), None).map_err(wrong)?;
        let settings = Settings::read(&gathered).map_err(wrong)?;
        Ok(Self { database: settings.database, postgres: settings.postgres, workers: settings.workers })
    }

    /// Whether a signing key has to come with a proof of possession, as the service's own setting has it.
    pub fn possession() -> Result<Possession, Failure> {
        let environment = std::env::vars_os().filter(|(name, _)| name == "AGENT_KEY_POP");
        let gathered = config::gather(environment, None).map_err(wrong)?;
        Ok(Settings::read(&gathered).map_err(wrong)?.api.possession)
    }

    /// A database file of this machine, with the settings of no environment but the keys of what is sealed in it.
    pub fn file(path: &std::path::Path) -> Result<Self, Failure> {
        let gathered = config::Gathered::default();
        let settings = Settings::read(&gathered);
        let settings =
            settings.map_err(|_| Failure::failed("INTERNAL", "the default settings are refused"))?;
        let workers = joined::keys_from_environment()?;
        Ok(Self { database: Database::Sqlite(path.to_owned()), postgres: settings.postgres, workers })
    }

    /// Reads beside whoever writes. What is sealed at rest is opened by the keys that were given.
    pub fn reader(&self) -> Result<Arc<dyn LogReader>, Failure> {
        Ok(joined::reader(self.raw_reader()?, &self.workers))
    }

    /// The same, as it lies.
    pub fn raw_reader(&self) -> Result<Arc<dyn LogReader>, Failure> {
        store::reader(&self.database, &self.postgres)
    }

    /// The log as it lies at this moment, for a copy of the whole.
    pub fn snapshot(&self) -> Result<Arc<dyn LogReader>, Failure> {
        store::snapshot(&self.database, &self.postgres)
    }

    /// The store as it lies, to write while no one else does.
    pub fn store(&self) -> Result<Arc<dyn stateset_event_log::EventStore>, Failure> {
        store::open(&self.database, &self.postgres, store::tool()?)
    }
}
