//! What the settings mean together (sequencer API, sections 1.2 and 6): what must not start, and what has to be said.

use super::Problem;
use super::database::Database;
use super::gather::Gathered;
use super::observing;
use super::setting::Acts;
use super::settings::{is_word, was_set};
use super::table::{GROUPS, settings};

/// Environments in which short secrets and open doors are an operator's own business.
const NOT_PRODUCTION: &[&str] = &["", "local", "dev", "development", "test", "testing", "ci", "staging"];
/// A secret shorter than this can be guessed.
const SECRET_CHARS_MIN: usize = 32;
/// Secrets that people make up.
const CHOSEN_SECRETS: &[&str] = &["BOOTSTRAP_ADMIN_API_KEY", "JWT_SECRET", "X402_FACILITATOR_TOKEN"];

/// Anything that is not known to be something else is production.
pub fn is_production(gathered: &Gathered) -> bool {
    let environment =
        gathered.set("SEQUENCER_ENV").or_else(|| gathered.set("ENVIRONMENT")).unwrap_or_default();
    !NOT_PRODUCTION.contains(&environment.trim().to_ascii_lowercase().as_str())
}

/// What keeps the service from starting.
pub fn problems(gathered: &Gathered, is_production: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |name: &str, what: &str| problems.push(Problem::new(name, what));
    if is_word(gathered, "AUTH_MODE", "disabled") {
        if is_production {
            refuse(
                "AUTH_MODE",
                "disabled is refused in production; use required, or say in SEQUENCER_ENV that this is none",
            );
        } else if !gathered.is_true("ALLOW_AUTH_DISABLED") {
            refuse(
                "AUTH_MODE",
                "disabled lets everyone do everything; set ALLOW_AUTH_DISABLED=true if that is meant",
            );
        }
    }
    for name in CHOSEN_SECRETS {
        let chars = gathered.set(name).map_or(SECRET_CHARS_MIN, |secret| secret.trim().chars().count());
        if is_production && chars < SECRET_CHARS_MIN {
            refuse(
                name,
                &format!("it has {chars} characters; a secret in production has at least {SECRET_CHARS_MIN}"),
            );
        }
    }
    if gathered.set("BOOTSTRAP_ADMIN_API_KEY").is_some_and(|key| !key.trim().starts_with("ss_")) {
        refuse("BOOTSTRAP_ADMIN_API_KEY", "an API key begins with ss_: no caller could send this one");
    }
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(gathered.text("RUST_LOG")) {
        refuse(
            "RUST_LOG",
            &format!(
                "it is no filter ({error}); write a level such as info, or target=level, separated by commas"
            ),
        );
    }
    if gathered.number("MIN_DB_CONNECTIONS") > gathered.number("MAX_DB_CONNECTIONS") {
        refuse("MIN_DB_CONNECTIONS", "it is greater than MAX_DB_CONNECTIONS; lower it");
    }
    if gathered.number("READ_MIN_DB_CONNECTIONS") > gathered.number("READ_MAX_DB_CONNECTIONS") {
        refuse("READ_MIN_DB_CONNECTIONS", "it is greater than READ_MAX_DB_CONNECTIONS; lower it");
    }
    problems.extend(observing::problem(gathered));
    problems.extend(promises(gathered));
    problems
}

/// Settings that promise safety which this build does not give: to go on without it would break the promise.
fn promises(gathered: &Gathered) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |name: &str, what: &str| problems.push(Problem::new(name, what));
    let asks_for_schemas = ["required", "require", "strict"]
        .iter()
        .any(|word| is_word(gathered, "SCHEMA_VALIDATION_MODE", word));
    if asks_for_schemas && acts_not("SCHEMA_VALIDATION_MODE") {
        refuse(
            "SCHEMA_VALIDATION_MODE",
            "this build has no schemas to require; use enforce, warn or disabled",
        );
    }
    let anchoring = ["L2_RPC_URL", "SET_REGISTRY_ADDRESS", "SEQUENCER_PRIVATE_KEY"];
    if anchoring.iter().all(|name| was_set(gathered, name)) {
        refuse(
            "L2_RPC_URL",
            &format!(
                "with {} and {} it asks for anchoring, which the program set-anchor does beside this one: give them to that, and leave \
                 them out here",
                anchoring[1], anchoring[2]
            ),
        );
    }
    for name in ["ADMIN_IP_ALLOWLIST"] {
        if was_set(gathered, name) && acts_not(name) {
            refuse(
                name,
                "this build does not restrict administration to addresses; do it before the service, and leave this out",
            );
        }
    }
    problems
}

/// Settings that do nothing because of another one: whoever wrote them thinks otherwise.
fn inert(gathered: &Gathered, database: &Database) -> Vec<String> {
    const READS: &[&str] = &[
        "READ_MAX_DB_CONNECTIONS",
        "READ_MIN_DB_CONNECTIONS",
        "READ_DB_ACQUIRE_TIMEOUT_MS",
        "READ_DB_IDLE_TIMEOUT_SECS",
        "READ_DB_MAX_LIFETIME_SECS",
    ];
    const REGISTRATION: &[&str] = &[
        "PUBLIC_AGENT_REGISTRATION_RATE_LIMIT_PER_MINUTE",
        "PUBLIC_AGENT_REGISTRATION_MAX_ENTRIES",
        "PUBLIC_AGENT_REGISTRATION_WINDOW_SECONDS",
    ];
    let is_true = |name: &str| gathered.is_true(name);
    // For SQLite more than these is unused, which is said of each.
    let has_no_replica = database.url().is_some() && gathered.set("READ_DATABASE_URL").is_none();
    const TRACES: &[&str] = &["OTEL_SERVICE_NAME", "OTEL_SERVICE_VERSION", "OTEL_SAMPLE_RATE"];
    const BATCHES: &[&str] =
        &["X402_BATCH_MIN_SIZE", "X402_BATCH_MAX_SIZE", "X402_BATCH_MAX_WAIT_SECS", "X402_BATCH_NETWORKS"];
    let is_off = |name: &str| gathered.number(name) == Some(0);
    let cases: [(bool, &[&str], &str); 16] = [
        (!is_true("TRUST_PROXY_HEADERS"), &["TRUST_PROXY_ALLOWLIST"], "TRUST_PROXY_HEADERS is not true"),
        (gathered.set("JWT_SECRET").is_none(), &["JWT_ISSUER", "JWT_AUDIENCE"], "JWT_SECRET is not set"),
        (
            is_true("GRPC_DISABLED"),
            &["GRPC_PORT", "ADVERTISE_GRPC_URL", "GRPC_REQUEST_TIMEOUT_SECS"],
            "GRPC_DISABLED is true",
        ),
        (has_no_replica, READS, "READ_DATABASE_URL is not set"),
        (
            !is_true("PUBLIC_AGENT_REGISTRATION_ENABLED"),
            REGISTRATION,
            "PUBLIC_AGENT_REGISTRATION_ENABLED is not true",
        ),
        (
            !is_true("VES_AUTO_COMMIT"),
            &["VES_COMMIT_EVENTS_MAX", "VES_COMMIT_INTERVAL_SECS"],
            "VES_AUTO_COMMIT is not true",
        ),
        (
            gathered.set("SEQUENCER_ENV").is_some(),
            &["ENVIRONMENT"],
            "SEQUENCER_ENV is set and goes before it",
        ),
        (
            gathered.set("OTEL_EXPORTER_OTLP_ENDPOINT").is_none(),
            TRACES,
            "OTEL_EXPORTER_OTLP_ENDPOINT is not set",
        ),
        (!is_true("X402_BATCH_AUTO_COMMIT"), BATCHES, "X402_BATCH_AUTO_COMMIT is not true"),
        (!is_word(gathered, "AUTH_MODE", "disabled"), &["ALLOW_AUTH_DISABLED"], "AUTH_MODE is not disabled"),
        (
            gathered.set("VES_SEQUENCER_SIGNING_KEY").is_some() || database.url().is_some(),
            &["STATESET_PASSPHRASE"],
            "no key is kept beside the database: VES_SEQUENCER_SIGNING_KEY is set, or it is PostgreSQL",
        ),
        (is_off("DB_STARTUP_MAX_RETRIES"), &["DB_STARTUP_RETRY_DELAY_SECS"], "DB_STARTUP_MAX_RETRIES is 0"),
        (is_off("CACHE_COMMITMENT_MAX"), &["CACHE_COMMITMENT_TTL_SECS"], "CACHE_COMMITMENT_MAX is 0"),
        (is_off("CACHE_PROOF_MAX"), &["CACHE_PROOF_TTL_SECS"], "CACHE_PROOF_MAX is 0"),
        (
            is_off("CACHE_VES_COMMITMENT_MAX"),
            &["CACHE_VES_COMMITMENT_TTL_SECS"],
            "CACHE_VES_COMMITMENT_MAX is 0",
        ),
        (is_off("CACHE_VES_PROOF_MAX"), &["CACHE_VES_PROOF_TTL_SECS"], "CACHE_VES_PROOF_MAX is 0"),
    ];
    let cases = cases.into_iter().filter(|(is_inert, ..)| *is_inert);
    cases
        .flat_map(|(_, names, why)| names.iter().map(move |name| (*name, why)))
        .filter(|(name, _)| was_set(gathered, name))
        .map(|(name, why)| format!("{name} is set and does nothing: {why}"))
        .collect()
}

/// Settings that do less without another one than whoever wrote them may think.
fn half_meant(gathered: &Gathered) -> Vec<String> {
    let mut said = Vec::new();
    if is_word(gathered, "PAYLOAD_ENCRYPTION_MODE", "disabled") {
        let keys = ["PAYLOAD_ENCRYPTION_KEY", "PAYLOAD_ENCRYPTION_KEYS", "PAYLOAD_ENCRYPTION_KEYS_BY_TENANT"];
        said.extend(keys.into_iter().filter(|name| was_set(gathered, name)).map(|name| {
            format!(
                "{name} is set and seals nothing: PAYLOAD_ENCRYPTION_MODE is disabled; it opens what was sealed \
                 before, and payloads are written in clear"
            )
        }));
    }
    if gathered.set("RATE_LIMIT_PER_MINUTE").is_none() {
        let names = ["RATE_LIMIT_WINDOW_SECONDS", "RATE_LIMIT_MAX_ENTRIES"];
        said.extend(names.into_iter().filter(|name| was_set(gathered, name)).map(|name| {
            format!(
                "{name} is set without RATE_LIMIT_PER_MINUTE: it limits nobody but callers whose API key has a limit \
                 of its own"
            )
        }));
    }
    said
}

fn acts_not(name: &str) -> bool {
    settings().any(|setting| setting.name == name && setting.acts != Acts::Yes)
}

/// What has to be said at every start.
pub fn warnings(gathered: &Gathered, is_production: bool, database: &Database) -> Vec<String> {
    let mut said = Vec::new();
    for setting in settings().filter(|setting| was_set(gathered, setting.name)) {
        match setting.acts {
            Acts::NotYet(what) => {
                said.push(format!(
                    "{} is set, but this build does not have {what} yet: it does nothing",
                    setting.name
                ));
            }
            Acts::NotNeeded(why) => said.push(format!("{} is set and does nothing: {why}", setting.name)),
            Acts::Yes => {}
        }
    }
    if database.file().is_some() {
        let unused = GROUPS[0].settings.iter().filter(|setting| was_set(gathered, setting.name));
        let unused =
            unused.filter(|setting| !setting.name.ends_with("DATABASE_URL")).map(|setting| setting.name);
        said.extend(unused.map(|name| format!("{name} is set and does nothing: the database is SQLite")));
    }
    said.extend(inert(gathered, database));
    if !is_word(gathered, "VES_SEQUENCER_SECURITY_PROFILE", "legacy") {
        said.push(
            "VES_SEQUENCER_SECURITY_PROFILE: events need a post-quantum signature; receipts have an Ed25519 one alone"
                .to_owned(),
        );
    }
    if is_word(gathered, "PAYLOAD_ENCRYPTION_MODE", "optional")
        && !["PAYLOAD_ENCRYPTION_KEY", "PAYLOAD_ENCRYPTION_KEYS"].iter().any(|name| was_set(gathered, name))
    {
        said.push(
            "PAYLOAD_ENCRYPTION_MODE=optional without PAYLOAD_ENCRYPTION_KEY or PAYLOAD_ENCRYPTION_KEYS: payloads of \
             tenants without keys of their own are written in clear"
                .to_owned(),
        );
    }
    said.extend(half_meant(gathered));
    if is_word(gathered, "AUTH_MODE", "disabled") {
        said.push("AUTH_MODE=disabled: every caller is an admin of every tenant".to_owned());
    }
    for name in CHOSEN_SECRETS {
        if !is_production
            && gathered.set(name).is_some_and(|text| text.trim().chars().count() < SECRET_CHARS_MIN)
        {
            said.push(format!(
                "{name} has fewer than {SECRET_CHARS_MIN} characters; production refuses that"
            ));
        }
    }
    said
}
