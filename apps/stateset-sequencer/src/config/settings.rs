//! The checked configuration: one typed value that the rest of the program is built from.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use stateset_sequencer::cache::CacheSize;
use stateset_sequencer::{CacheSizes, CommitPolicy, PaymentConfig};
use stateset_sequencer_api::{
    ApiConfig, AuthMode, JwtConfig, Possession, ProxyTrust, RateWindow, RegistrationConfig,
};
use ves::SequencerId;
use ves::hex::Format;
use ves::keys::SecurityProfile;
use zeroize::Zeroizing;

use crate::joined::WorkerSettings;
use crate::telemetry::TelemetrySettings;

use super::FacilitatorSettings;
use super::database::{Database, Pool, PostgresSettings};
use super::gather::Gathered;
use super::show::shown;
use super::table::settings;
use super::value::{bytes32, check};
use super::{Problem, Source};
use super::{observing, rules};

/// Everything the service has to be told.
#[derive(Clone)]
pub struct Settings {
    pub is_production: bool,
    pub database: Database,
    pub postgres: PostgresSettings,
    pub listen: Listen,
    pub auth: Auth,
    pub identity: Identity,
    pub commits: Commits,
    pub checks: Checks,
    /// How payloads are checked against schemas.
    #[cfg(feature = "schema-validation")]
    pub schemas: stateset_sequencer::SchemaSettings,
    pub api: ApiConfig,
    pub workers: WorkerSettings,
    /// Whether acts of administrators are recorded.
    pub audit_log: bool,
    /// Dead letters of one tenant.
    pub dead_letters_max: u64,
    /// Of a whole stop.
    pub shutdown_time_max: Duration,
    /// Every setting as it stands, without secrets: what the audit log compares.
    pub effective: BTreeMap<String, String>,
    pub caches: CacheSizes,
    pub telemetry: TelemetrySettings,
    pub payments: PaymentConfig,
    /// Of the public x402 protocol, where one is asked for.
    pub facilitator: Option<FacilitatorSettings>,
    pub log_format: LogFormat,
    /// Directives of `RUST_LOG`.
    pub log_filter: String,
    /// What an operator should read at every start.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub host: String,
    pub port: u16,
    /// `None`: the door stays closed.
    pub grpc_port: Option<u16>,
    pub advertise_rest: Option<String>,
    pub advertise_grpc: Option<String>,
}

/// Credentials that were given here, beside those in the database.
#[derive(Clone, Default)]
pub struct Auth {
    pub bootstrap_key: Option<Zeroizing<String>>,
}

/// Who signs receipts.
#[derive(Clone, Default)]
pub struct Identity {
    pub sequencer_id: Option<SequencerId>,
    pub signing_seed: Option<Zeroizing<[u8; 32]>>,
    pub passphrase: Option<Zeroizing<String>>,
    /// Where the key is kept that was not given.
    pub keys_in: super::KeysIn,
}

/// How batches close.
#[derive(Debug, Clone, Copy)]
pub struct Commits {
    pub policy: CommitPolicy,
    /// `false` leaves every commitment to callers.
    pub automatic: bool,
}

/// Which signatures are admitted, and how proofs are checked.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    pub security_profile: SecurityProfile,
    pub verify_on_submit: bool,
    /// `None`: as many as there are cores, at most four.
    pub verify_concurrency: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Settings {
    /// Checks every value, then what they mean together.
    ///
    /// # Errors
    /// Every problem, not only the first.
    pub fn read(gathered: &Gathered) -> Result<Self, Vec<Problem>> {
        let forms: Vec<Problem> = settings()
            .filter_map(|setting| {
                let text = gathered.set(setting.name)?;
                check(setting, text).err().map(|problem| Problem::new(setting.name, &problem))
            })
            .collect();
        if !forms.is_empty() {
            return Err(forms);
        }
        let mut problems = Vec::new();
        let database = database(gathered, "DATABASE_URL", &mut problems);
        let read =
            gathered.set("READ_DATABASE_URL").map(|_| database_of_reads(gathered, &database, &mut problems));
        let listen = listen(gathered, &mut problems);
        let api = api(gathered, &mut problems);
        let at_rest = super::at_rest(gathered, &mut problems);
        let is_production = rules::is_production(gathered);
        let (payments, payment_worker) = super::payments::read(gathered, &mut problems);
        let facilitator =
            super::facilitator::read(gathered, &payments.tokens, database.file().is_some(), &mut problems);
        problems.extend(rules::problems(gathered, is_production));
        let keys_in = super::keys::of(gathered, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let warnings =
            [gathered.warnings.clone(), rules::warnings(gathered, is_production, &database)].concat();
        Ok(Self {
            is_production,
            database,
            postgres: postgres(gathered, read),
            listen,
            auth: Auth { bootstrap_key: secret(gathered, "BOOTSTRAP_ADMIN_API_KEY") },
            identity: Identity {
                sequencer_id: gathered.set("VES_SEQUENCER_ID").and_then(|text| text.trim().parse().ok()),
                signing_seed: gathered.set("VES_SEQUENCER_SIGNING_KEY").and_then(|text| bytes32(text.trim())),
                passphrase: secret(gathered, "STATESET_PASSPHRASE"),
                keys_in,
            },
            commits: Commits {
                policy: CommitPolicy {
                    events_max: narrow(gathered, "VES_COMMIT_EVENTS_MAX"),
                    age_ms_max: number(gathered, "VES_COMMIT_INTERVAL_SECS") * 1000,
                },
                automatic: gathered.is_true("VES_AUTO_COMMIT"),
            },
            checks: Checks {
                security_profile: SecurityProfile::from_text(
                    &gathered.text("VES_SEQUENCER_SECURITY_PROFILE").trim().to_ascii_lowercase(),
                )
                .unwrap_or_default(),
                verify_on_submit: gathered.is_true("VES_STARK_VERIFY_ON_SUBMIT"),
                verify_concurrency: gathered
                    .set("VES_STARK_VERIFY_CONCURRENCY")
                    .map(|_| size(gathered, "VES_STARK_VERIFY_CONCURRENCY")),
            },
            #[cfg(feature = "schema-validation")]
            schemas: schemas(gathered),
            api,
            workers: WorkerSettings { at_rest, payments: payment_worker, webhooks: webhooks(gathered) },
            payments,
            facilitator,
            dead_letters_max: number(gathered, "DLQ_MAX_PER_TENANT"),
            audit_log: gathered.is_true("AUDIT_LOG_ENABLED"),
            shutdown_time_max: Duration::from_secs(number(gathered, "SHUTDOWN_TIMEOUT_SECS")),
            effective: effective(gathered),
            caches: CacheSizes {
                commitment: cache(gathered, "COMMITMENT"),
                proof: cache(gathered, "PROOF"),
                ves_commitment: cache(gathered, "VES_COMMITMENT"),
                ves_proof: cache(gathered, "VES_PROOF"),
            },
            telemetry: observing::telemetry(gathered),
            log_format: observing::log_format(gathered),
            log_filter: gathered.text("RUST_LOG").to_owned(),
            warnings,
        })
    }
}

fn effective(gathered: &Gathered) -> BTreeMap<String, String> {
    let shown = shown(gathered).into_iter();
    shown.filter_map(|setting| Some((setting.name.to_owned(), setting.value?))).collect()
}

fn database(gathered: &Gathered, name: &str, problems: &mut Vec<Problem>) -> Database {
    Database::parse(gathered.text(name)).unwrap_or_else(|problem| {
        problems.push(Problem::new(name, &problem));
        Database::Sqlite(Default::default())
    })
}

fn database_of_reads(gathered: &Gathered, primary: &Database, problems: &mut Vec<Problem>) -> Database {
    let name = "READ_DATABASE_URL";
    let replica = database(gathered, name, problems);
    if replica.file().is_some() || primary.file().is_some() {
        problems.push(Problem::new(name, "only a PostgreSQL database has a replica for reads; leave it out"));
    }
    replica
}

fn listen(gathered: &Gathered, problems: &mut Vec<Problem>) -> Listen {
    let port = narrow(gathered, "PORT");
    let is_off = gathered.is_true("GRPC_DISABLED") || !cfg!(feature = "grpc");
    if !cfg!(feature = "grpc") && gathered.set("GRPC_PORT").is_some() {
        problems
            .push(Problem::new("GRPC_PORT", "this program was built without the feature grpc; leave it out"));
    }
    let grpc_port = match (is_off, gathered.set("GRPC_PORT"), port) {
        (true, ..) => None,
        (false, Some(_), _) => Some(narrow(gathered, "GRPC_PORT")),
        // A free port each.
        (false, None, 0) => Some(0),
        (false, None, u16::MAX) => {
            let cure =
                "gRPC listens on the next port, and there is none: set GRPC_PORT or GRPC_DISABLED=true";
            problems.push(Problem::new("PORT", &format!("65535: {cure}")));
            None
        }
        (false, None, port) => Some(port + 1),
    };
    if port != 0 && grpc_port == Some(port) {
        problems.push(Problem::new("GRPC_PORT", &format!("{port} is the port of REST; choose another")));
    }
    let host = gathered.text("HOST").trim().trim_start_matches('[').trim_end_matches(']').to_owned();
    let advertised = |name: &str| gathered.set(name).map(|url| url.trim().trim_end_matches('/').to_owned());
    for name in ["ADVERTISE_REST_URL", "ADVERTISE_GRPC_URL"] {
        if advertised(name).is_some_and(|url| !url.starts_with("http://")) {
            problems.push(Problem::new(
                name,
                "expected http://HOST:PORT: instances speak to one another in clear",
            ));
        }
    }
    Listen {
        host,
        port,
        grpc_port,
        advertise_rest: advertised("ADVERTISE_REST_URL"),
        advertise_grpc: advertised("ADVERTISE_GRPC_URL"),
    }
}

/// Where webhooks may go.
fn webhooks(gathered: &Gathered) -> stateset_webhooks::TargetPolicy {
    stateset_webhooks::TargetPolicy { allows_private: gathered.is_true("WEBHOOK_ALLOW_PRIVATE_TARGETS") }
}

/// What the doors are told.
fn api(gathered: &Gathered, problems: &mut Vec<Problem>) -> ApiConfig {
    let origins = gathered.list("CORS_ALLOW_ORIGINS");
    for origin in origins.iter().filter(|origin| *origin != "*" && !super::value::is_origin(origin)) {
        let cure = "write scheme://host[:port] without a path, or * for all";
        problems.push(Problem::new("CORS_ALLOW_ORIGINS", &format!("{origin:?} is not an origin: {cure}")));
    }
    ApiConfig {
        auth: match is_word(gathered, "AUTH_MODE", "disabled") {
            true => AuthMode::Disabled,
            false => AuthMode::Required,
        },
        possession: match is_word(gathered, "AGENT_KEY_POP", "optional") {
            true => Possession::Optional,
            false => Possession::Required,
        },
        format: match gathered.is_true("VES_STRICT_FORMAT_VALIDATION") {
            true => Format::Strict,
            false => Format::Lenient,
        },
        body_bytes_max: size(gathered, "MAX_BODY_SIZE_BYTES"),
        batch_events_max: size(gathered, "MAX_EVENTS_PER_BATCH"),
        payload_bytes_max: size(gathered, "MAX_EVENT_PAYLOAD_SIZE"),
        request_time_max: Duration::from_secs(number(gathered, "REQUEST_TIMEOUT_SECS")),
        tenant_rate_per_minute: gathered
            .set("RATE_LIMIT_PER_MINUTE")
            .map(|_| narrow(gathered, "RATE_LIMIT_PER_MINUTE")),
        grpc_request_time_max: Duration::from_secs(number(gathered, "GRPC_REQUEST_TIMEOUT_SECS")),
        jwt: secret(gathered, "JWT_SECRET").map(|secret| JwtConfig {
            secret: Zeroizing::new(secret.as_bytes().to_vec()),
            issuer: gathered.text("JWT_ISSUER").to_owned(),
            audience: gathered.text("JWT_AUDIENCE").to_owned(),
        }),
        rate_window: window(gathered, "RATE_LIMIT"),
        registration: RegistrationConfig {
            enabled: gathered.is_true("PUBLIC_AGENT_REGISTRATION_ENABLED"),
            rate_limit: narrow(gathered, "PUBLIC_AGENT_REGISTRATION_RATE_LIMIT_PER_MINUTE"),
            rate_window: window(gathered, "PUBLIC_AGENT_REGISTRATION"),
        },
        admin_ip_allowlist: networks(gathered, "ADMIN_IP_ALLOWLIST"),
        proxies: ProxyTrust {
            headers: gathered.is_true("TRUST_PROXY_HEADERS"),
            allowlist: networks(gathered, "TRUST_PROXY_ALLOWLIST"),
        },
        cors_allow_origins: origins,
        anchor_compat_open: gathered.is_true("ANCHOR_COMPAT_OPEN"),
        ..ApiConfig::default()
    }
}

fn cache(gathered: &Gathered, name: &str) -> CacheSize {
    CacheSize {
        entries_max: size(gathered, &format!("CACHE_{name}_MAX")),
        age_max: Duration::from_secs(number(gathered, &format!("CACHE_{name}_TTL_SECS"))),
    }
}

fn window(gathered: &Gathered, prefix: &str) -> RateWindow {
    RateWindow {
        entries_max: size(gathered, &format!("{prefix}_MAX_ENTRIES")),
        seconds: narrow(gathered, &format!("{prefix}_WINDOW_SECONDS")),
    }
}

fn networks(gathered: &Gathered, name: &str) -> Vec<IpNet> {
    gathered.list(name).iter().filter_map(|text| super::value::network(text)).collect()
}

fn postgres(gathered: &Gathered, read: Option<Database>) -> PostgresSettings {
    let ms = |name: &str| gathered.number(name).map(Duration::from_millis);
    let secs = |name: &str| gathered.number(name).map(Duration::from_secs);
    let pool = |prefix: &str| {
        let name = |rest: &str| format!("{prefix}{rest}");
        Pool {
            connections_max: size(gathered, &name("MAX_DB_CONNECTIONS")),
            connections_min: size(gathered, &name("MIN_DB_CONNECTIONS")),
            acquire_time_max: ms(&name("DB_ACQUIRE_TIMEOUT_MS")),
            idle_time_max: secs(&name("DB_IDLE_TIMEOUT_SECS")),
            lifetime_max: secs(&name("DB_MAX_LIFETIME_SECS")),
        }
    };
    PostgresSettings {
        read,
        allow_insecure_local: gathered.is_true("ALLOW_INSECURE_LOCAL_DB"),
        pool: pool(""),
        read_pool: pool("READ_"),
        statement_time_max: Duration::from_millis(number(gathered, "DB_STATEMENT_TIMEOUT_MS")),
        idle_in_transaction_time_max: Duration::from_millis(number(gathered, "DB_IDLE_IN_TX_TIMEOUT_MS")),
        lock_time_max: Duration::from_millis(number(gathered, "DB_LOCK_TIMEOUT_MS")),
        application_name: gathered.text("DB_APPLICATION_NAME").to_owned(),
        migrate_on_startup: gathered.is_true("DB_MIGRATE_ON_STARTUP"),
        startup_retries_max: narrow(gathered, "DB_STARTUP_MAX_RETRIES"),
        startup_retry_delay: Duration::from_secs(number(gathered, "DB_STARTUP_RETRY_DELAY_SECS")),
        lease: Duration::from_millis(number(gathered, "DB_WRITER_LEASE_MS")),
    }
}

fn secret(gathered: &Gathered, name: &str) -> Option<Zeroizing<String>> {
    gathered.set(name).map(|text| Zeroizing::new(text.trim().to_owned()))
}

pub(super) fn is_word(gathered: &Gathered, name: &str, word: &str) -> bool {
    gathered.text(name).trim().eq_ignore_ascii_case(word)
}

pub(super) fn was_set(gathered: &Gathered, name: &str) -> bool {
    gathered.source(name) != Source::Default
}

/// A number whose form was checked, or whose default is one.
pub(super) fn number(gathered: &Gathered, name: &str) -> u64 {
    gathered.number(name).expect("checked before, or a default of the table")
}

fn narrow<T: TryFrom<u64>>(gathered: &Gathered, name: &str) -> T {
    T::try_from(number(gathered, name)).ok().expect("the table's bounds fit the type")
}

pub(super) fn size(gathered: &Gathered, name: &str) -> usize {
    narrow(gathered, name)
}

#[cfg(feature = "schema-validation")]
fn schemas(gathered: &Gathered) -> stateset_sequencer::SchemaSettings {
    stateset_sequencer::SchemaSettings {
        // Every word that the table admits is one.
        mode: stateset_sequencer::SchemaMode::parse(gathered.text("SCHEMA_VALIDATION_MODE"))
            .unwrap_or_default(),
        cache_entries_max: size(gathered, "CACHE_SCHEMA_MAX"),
        cache_age_max: Duration::from_secs(number(gathered, "CACHE_SCHEMA_TTL_SECS")),
        ..stateset_sequencer::SchemaSettings::default()
    }
}
