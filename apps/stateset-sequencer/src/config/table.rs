//! Every setting of the service (sequencer API, section 6): the one list that reading, printing and documents share.

use super::setting::{Group, Kind, Setting};
use Kind::{Bool, Bytes32, Bytes32List, DatabaseUrl, List, Networks, Number, Ratio, Text, Url, Uuid, Word};

const fn set(name: &'static str, default: &'static str, kind: Kind, meaning: &'static str) -> Setting {
    Setting::new(name, default, kind, meaning)
}

/// Largest time that makes sense for one request or connection, in seconds: a day.
const DAY_SECS: u64 = 86_400;
const DAY_MS: u64 = DAY_SECS * 1000;
const COUNT: Kind = Number(1, u32::MAX as u64);
/// Of a cache; 0 turns it off.
const ENTRIES: Kind = Number(0, 10_000_000);
const SECONDS: Kind = Number(1, DAY_SECS);
const MILLISECONDS: Kind = Number(1, DAY_MS);

const READ_AGAIN: &str = "Longest time, in seconds, after which one is read again";
const HELD_IN_MEMORY: &str = "all keys of agents are held in memory, where a revocation acts at once";
const ANCHORING: &str = "`set-anchor`, a program beside this one, anchors and reads it";
const SCHEMAS: &str = "the schema registry";

/// In the order of the documentation.
pub const GROUPS: &[Group] = &[
    Group { title: "Database", settings: DATABASE },
    Group { title: "Listeners", settings: LISTENERS },
    Group { title: "Who may call", settings: AUTH },
    Group { title: "Receipts and rules", settings: RECEIPTS },
    Group { title: "Keys", settings: super::keys::TOKEN },
    Group { title: "Limits", settings: LIMITS },
    Group { title: "Behind a proxy, and browsers", settings: PROXY },
    Group { title: super::observing::TITLE, settings: LOGS },
    Group { title: "Payload encryption, schemas, proofs", settings: RULES },
    Group { title: "Payments", settings: PAYMENTS },
    Group { title: "Anchoring and workers", settings: ANCHOR },
    Group { title: "Caches", settings: CACHES },
];

const DATABASE: &[Setting] = &[
    set(
        "DATABASE_URL",
        "sqlite://./stateset-data/store/events.db",
        DatabaseUrl,
        "`sqlite://PATH` or `postgres://…`",
    )
    .secret(),
    set("READ_DATABASE_URL", "", DatabaseUrl, "A PostgreSQL replica for reads").secret(),
    set(
        "ALLOW_INSECURE_LOCAL_DB",
        "false",
        Bool,
        "Admits a connection without TLS to a database on this machine",
    ),
    set("MAX_DB_CONNECTIONS", "10", COUNT, "Most connections"),
    set("MIN_DB_CONNECTIONS", "0", Number(0, 10_000), "Connections kept open"),
    set("DB_ACQUIRE_TIMEOUT_MS", "", MILLISECONDS, "Longest wait for a connection"),
    set("DB_IDLE_TIMEOUT_SECS", "", SECONDS, "Connections idle for longer are closed"),
    set("DB_MAX_LIFETIME_SECS", "", SECONDS, "Connections older than this are closed"),
    set("READ_MAX_DB_CONNECTIONS", "10", COUNT, "The same for the replica"),
    set("READ_MIN_DB_CONNECTIONS", "0", Number(0, 10_000), "The same for the replica"),
    set("READ_DB_ACQUIRE_TIMEOUT_MS", "", MILLISECONDS, "The same for the replica"),
    set("READ_DB_IDLE_TIMEOUT_SECS", "", SECONDS, "The same for the replica"),
    set("READ_DB_MAX_LIFETIME_SECS", "", SECONDS, "The same for the replica"),
    set("DB_STATEMENT_TIMEOUT_MS", "30000", MILLISECONDS, "Longest statement"),
    set("DB_IDLE_IN_TX_TIMEOUT_MS", "60000", MILLISECONDS, "Longest pause inside a transaction"),
    set("DB_LOCK_TIMEOUT_MS", "10000", MILLISECONDS, "Longest wait for a lock"),
    set("DB_APPLICATION_NAME", "stateset-sequencer", Text, "Name in the database's own lists"),
    set("DB_MIGRATE_ON_STARTUP", "true", Bool, "Brings the schema up to date at start"),
    set(
        "DB_STARTUP_MAX_RETRIES",
        "10",
        Number(0, 10_000),
        "Tries at start while the database cannot be reached",
    ),
    set("DB_STARTUP_RETRY_DELAY_SECS", "3", Number(0, DAY_SECS), "Pause between them"),
    set(
        "DB_WRITER_LEASE_MS",
        "5000",
        Number(1000, DAY_MS),
        "Another instance takes over when the writer was silent for so long",
    ),
];

const LISTENERS: &[Setting] = &[
    set("HOST", "0.0.0.0", Text, "Address or name to listen on"),
    set("PORT", "8080", Number(0, 65_535), "Port of REST; 0 takes a free one"),
    set("GRPC_PORT", "PORT + 1", Number(0, 65_535), "Port of gRPC; 0 takes a free one"),
    set("GRPC_DISABLED", "false", Bool, "Leaves the gRPC port closed"),
    set(
        "ADVERTISE_REST_URL",
        "made of HOST and PORT",
        Url,
        "Where other instances reach this one's REST door",
    ),
    set(
        "ADVERTISE_GRPC_URL",
        "made of HOST and GRPC_PORT",
        Url,
        "Where other instances reach this one's gRPC door",
    ),
];

const AUTH: &[Setting] = &[
    set("AUTH_MODE", "required", Word(&["required", "disabled"]), "Whether callers must show a credential"),
    set("ALLOW_AUTH_DISABLED", "false", Bool, "Has to be true for AUTH_MODE=disabled"),
    set("BOOTSTRAP_ADMIN_API_KEY", "", Text, "Admin key of every tenant; begins with `ss_`").secret(),
    set("JWT_SECRET", "", Text, "Secret of bearer tokens (HS256, HS384, HS512)").secret(),
    set("JWT_ISSUER", "stateset-sequencer", Text, "`iss` of bearer tokens"),
    set("JWT_AUDIENCE", "stateset-api", Text, "`aud` of bearer tokens"),
    set(
        "SEQUENCER_ENV",
        "ENVIRONMENT",
        Text,
        "local, dev, development, test, testing, ci, staging or nothing: not production; anything else is production",
    ),
    set("ENVIRONMENT", "", Text, "The same, where SEQUENCER_ENV is not set"),
    set(
        "AGENT_KEY_POP",
        "required",
        Word(&["required", "optional"]),
        "Whether a signing key is registered without proof of possession",
    ),
    set("PUBLIC_AGENT_REGISTRATION_ENABLED", "false", Bool, "Agents may register themselves"),
    set(
        "PUBLIC_AGENT_REGISTRATION_RATE_LIMIT_PER_MINUTE",
        "30",
        COUNT,
        "Registrations of one address a minute",
    ),
    set("PUBLIC_AGENT_REGISTRATION_MAX_ENTRIES", "10000", COUNT, "Addresses remembered"),
    set("PUBLIC_AGENT_REGISTRATION_WINDOW_SECONDS", "60", SECONDS, "Length of its window"),
    set(
        "ADMIN_IP_ALLOWLIST",
        "",
        Networks,
        "From where administration may be called; nothing: from everywhere",
    ),
    set(
        "ANCHOR_COMPAT_OPEN",
        "false",
        Bool,
        "Opens the two routes of the older anchor service to callers without credential",
    ),
];

const RECEIPTS: &[Setting] = &[
    set("VES_SEQUENCER_ID", "kept with the key", Uuid, "Name of this sequencer in every receipt"),
    set(
        "VES_SEQUENCER_SIGNING_KEY",
        "made once and kept beside a SQLite database",
        Bytes32,
        "Seed of the Ed25519 key that signs receipts",
    )
    .secret(),
    set("STATESET_PASSPHRASE", "kept beside the keys", Text, "Opens the keys kept beside a SQLite database")
        .secret(),
    set(
        "VES_SEQUENCER_SECURITY_PROFILE",
        "legacy",
        Word(&["legacy", "hybrid", "pqc-strict"]),
        "Signatures of events that are admitted: any that their key makes, those with ML-DSA-65, or ML-DSA-65 alone. Receipts are signed with Ed25519 in each",
    ),
    set("VES_SEQUENCER_ML_DSA_SEED", "", Bytes32, "Seed of a post-quantum key for receipts")
        .secret()
        .not_yet("post-quantum receipts"),
    set(
        "VES_STRICT_FORMAT_VALIDATION",
        "false",
        Bool,
        "Hexadecimal in events has to be `0x` and lower case, base64url canonical",
    ),
    set("VES_COMMIT_EVENTS_MAX", "1024", COUNT, "Events after which a batch is committed"),
    set("VES_COMMIT_INTERVAL_SECS", "60", SECONDS, "Time after which a batch is committed"),
    set("VES_AUTO_COMMIT", "true", Bool, "`false` leaves every commitment to callers"),
];

const LIMITS: &[Setting] = &[
    set("MAX_BODY_SIZE_BYTES", "10485760", Number(1024, 1 << 30), "Longest body of a request"),
    set("MAX_EVENTS_PER_BATCH", "1000", Number(1, 100_000), "Most events of a request"),
    set("MAX_EVENT_PAYLOAD_SIZE", "1048576", Number(1, 1 << 30), "Longest payload of an event, in bytes"),
    set("REQUEST_TIMEOUT_SECS", "30", SECONDS, "Longest request over REST"),
    set("GRPC_REQUEST_TIMEOUT_SECS", "30", SECONDS, "Longest call over gRPC"),
    set(
        "SHUTDOWN_TIMEOUT_SECS",
        "30",
        SECONDS,
        "Longest time of a stop: requests in flight, workers, the store's close",
    ),
    set("RATE_LIMIT_PER_MINUTE", "", COUNT, "Requests of one tenant a minute; nothing: no limit"),
    set("RATE_LIMIT_MAX_ENTRIES", "10000", COUNT, "Callers whose requests are counted at once"),
    set("RATE_LIMIT_WINDOW_SECONDS", "60", SECONDS, "Length of the window"),
    set(
        "DLQ_MAX_PER_TENANT",
        "10000",
        Number(1, 1_000_000),
        "Dead letters of one tenant; more are left out until some are purged",
    ),
    set(
        "WEBHOOK_ALLOW_PRIVATE_TARGETS",
        "false",
        Bool,
        "Lets webhooks go to this machine and to private networks, and by http",
    ),
];

const PROXY: &[Setting] = &[
    set("TRUST_PROXY_HEADERS", "false", Bool, "Believes X-Forwarded-For"),
    set("TRUST_PROXY_ALLOWLIST", "", Networks, "Of which proxies it is believed"),
    set("CORS_ALLOW_ORIGINS", "", List, "Origins that browsers may call from, or `*`"),
];

const LOGS: &[Setting] = &[
    set(
        "LOG_FORMAT",
        "text",
        Word(&["text", "json"]),
        "Form of the log on stderr, and of the line that says where it listens",
    ),
    set("RUST_LOG", "info", Text, "What is logged, such as `warn,stateset_sequencer=debug`"),
    set("AUDIT_LOG_ENABLED", "true", Bool, "Records the acts of administrators in the database"),
    set(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        Url,
        "Where traces go: `http://HOST:PORT` of a collector that takes OTLP over gRPC; without it there are none",
    ),
    set("OTEL_SERVICE_NAME", "stateset-sequencer", Text, "Name of the service in traces"),
    set("OTEL_SERVICE_VERSION", "the program's", Text, "Version of the service in traces"),
    set("OTEL_SAMPLE_RATE", "1", Ratio, "Part of the requests that are traced"),
];

const RULES: &[Setting] = &[
    set(
        "PAYLOAD_ENCRYPTION_MODE",
        "disabled",
        Word(&["disabled", "optional", "required"]),
        "Encryption of payloads and proofs in the database: none, where there is a key, or of everything",
    ),
    set(
        "PAYLOAD_ENCRYPTION_KEY",
        "",
        Bytes32,
        "The key; needed to read what was sealed with it, in every mode",
    )
    .secret(),
    set(
        "PAYLOAD_ENCRYPTION_KEYS",
        "",
        Bytes32List,
        "Keys, the newest first: that one seals, all of them open",
    )
    .secret(),
    set(
        "PAYLOAD_ENCRYPTION_KEYS_BY_TENANT",
        "",
        Text,
        "JSON: tenants that have keys of their own, each with a list, the newest first",
    )
    .secret(),
    set(
        "PAYLOAD_ENCRYPTION_LOST_KEYS",
        "",
        List,
        "Names of keys that are gone for good: the service starts without them, and what they sealed stays unreadable",
    ),
    of_schemas(set(
        "SCHEMA_VALIDATION_MODE",
        "enforce",
        Word(SCHEMA_MODES),
        "Checks of payloads against registered schemas: `warn` accepts and logs what a schema does not admit, `enforce` rejects it, `required` (`strict`) also rejects events without a schema",
    )),
    set(
        "VES_STARK_VERIFY_ON_SUBMIT",
        "true",
        Bool,
        "STARK proofs are checked when they come, and refused where they do not hold; with `false` they are stored unchecked. Whether a stored proof is valid is always checked when it is asked",
    ),
    set(
        "VES_STARK_VERIFY_CONCURRENCY",
        "cores, at most 4",
        COUNT,
        "Proofs that the verifier checks at once; further ones wait for a place",
    ),
];

const PAYMENTS: &[Setting] = &[
    set(
        "X402_OLD_INTENTS",
        "false",
        Bool,
        "Admits payment intents of the older form, whose hash binds neither store nor token",
    ),
    set(
        "X402_TOKENS",
        "",
        List,
        "Contracts of assets, as `network:asset=0x…`, beside those that are known (`GET /api/v1/x402/networks`)",
    ),
    set(
        "X402_BATCH_INTERVAL_SECS",
        "30",
        SECONDS,
        "Time between two looks at what is to be expired and batched",
    ),
    set("X402_BATCH_MIN_SIZE", "1", Number(1, 1000), "Intents from which a batch is made; fewer wait"),
    set("X402_BATCH_MAX_SIZE", "100", Number(1, 1000), "Most intents of a batch that the service makes"),
    set("X402_BATCH_MAX_WAIT_SECS", "300", SECONDS, "Age at which fewer intents make a batch too"),
    set("X402_BATCH_NETWORKS", "set_chain", List, "Networks that the service makes batches for"),
    set("X402_BATCH_AUTO_COMMIT", "true", Bool, "`false` leaves every batch to `POST /api/v1/x402/batches`"),
    set(
        "X402_NONCE_CLEANUP_INTERVAL_SECS",
        "3600",
        SECONDS,
        "Time between two looks at nonces of intents that ended two days ago",
    ),
    set(
        "X402_SETTLEMENT_RPC_URL",
        "",
        Url,
        "Endpoint of the chain that tells what became of batches; without it none is called settled",
    )
    .secret(),
    set("X402_SETTLEMENT_CONTRACT", "", Text, "Address of `SetPaymentBatch` there, `0x` and 40 digits"),
    set(
        "X402_SETTLEMENT_KEY",
        "",
        Text,
        "Private key of the account that sends batches of authorized intents there, 64 hex digits: a settler of the contract, with coin for gas and for nothing else. Without it none is sent, and no intent may carry an authorization",
    )
    .secret(),
    set(
        "X402_SETTLEMENT_MAX_GAS_PRICE_GWEI",
        "500",
        Text,
        "Most that a transaction of a batch offers for a unit of gas, as 0.05; above it batches wait. 0 for no ceiling",
    ),
    set("X402_SETTLEMENT_CONFIRMATIONS", "6", Number(1, 100_000), "Blocks until an outcome counts"),
    set(
        "X402_FACILITATOR_LISTEN",
        "",
        Text,
        "Where shops verify and settle payments of the public x402 protocol, as 127.0.0.1:8402; without it there is no facilitator",
    ),
    set(
        "X402_FACILITATOR_RPC_URL",
        "",
        Url,
        "Endpoint of the chain that the facilitator settles on: the tokens of that chain in `X402_TOKENS` that take authorizations (EIP-3009)",
    )
    .secret(),
    set(
        "X402_FACILITATOR_KEY",
        "",
        Text,
        "Private key of the account that pays for the facilitator's gas, 64 hex digits; another one than that of `X402_SETTLEMENT_KEY`",
    )
    .secret(),
    set(
        "X402_FACILITATOR_STREAM",
        "",
        Text,
        "Stream in which the facilitator's payments become intents, as TENANT/STORE",
    ),
    set(
        "X402_FACILITATOR_TOKEN",
        "",
        Text,
        "What callers of the facilitator send as `Authorization: Bearer …`; without it it listens on this machine alone",
    )
    .secret(),
    set(
        "X402_FACILITATOR_RECORDS",
        "",
        Text,
        "File of what the facilitator sold; without it `x402-sales.jsonl` beside the database, where that is a file",
    ),
    set(
        "X402_FACILITATOR_MAX_GAS_PRICE_GWEI",
        "500",
        Text,
        "Most that the facilitator offers for a unit of gas, as 0.05; above it payments wait. 0 for no ceiling",
    ),
];

/// A setting of the schema registry, which a build may leave out.
const fn of_schemas(setting: Setting) -> Setting {
    if cfg!(feature = "schema-validation") { setting } else { setting.not_yet(SCHEMAS) }
}

/// §3.1: aliases are accepted; see `Settings`.
const SCHEMA_MODES: &[&str] = &[
    "disabled",
    "off",
    "none",
    "false",
    "0",
    "warn",
    "warn_only",
    "warning",
    "enforce",
    "on",
    "true",
    "1",
    "required",
    "require",
    "strict",
];

const ANCHOR: &[Setting] = &[
    set("L2_RPC_URL", "", Url, "Endpoint of the chain").secret().not_needed(ANCHORING),
    set("SET_REGISTRY_ADDRESS", "", Text, "Address of the contract").not_needed(ANCHORING),
    set("SEQUENCER_PRIVATE_KEY", "", Bytes32, "Key that pays for anchoring").secret().not_needed(ANCHORING),
    set("L2_CHAIN_ID", "", Number(1, u64::MAX), "Number of the chain").not_needed(ANCHORING),
    set("ANCHOR_INTERVAL_SECS", "60", SECONDS, "Time between two rounds").not_needed(ANCHORING),
    set("ANCHOR_BATCH_THRESHOLD", "10", COUNT, "Batches that begin a round").not_needed(ANCHORING),
    set("ANCHOR_FINALITY_CONFIRMATIONS", "6", Number(0, 100_000), "Blocks until an anchor counts")
        .not_needed(ANCHORING),
    set("ANCHOR_FINALITY_POLL_SECS", "30", SECONDS, "Time between two looks").not_needed(ANCHORING),
    set("ANCHOR_RECONCILE_SECS", "300", SECONDS, "Time between two comparisons with the chain")
        .not_needed(ANCHORING),
    set("WORKER_LEADER_ELECTION", "true", Bool, "One instance runs the workers")
        .not_needed("the instance that writes the log is the leader"),
];

const CACHES: &[Setting] = &[
    set("CACHE_COMMITMENT_MAX", "1000", ENTRIES, "Batches of older streams held in memory; 0 holds none"),
    set("CACHE_COMMITMENT_TTL_SECS", "300", SECONDS, READ_AGAIN),
    set("CACHE_PROOF_MAX", "5000", ENTRIES, "Paths of their proofs"),
    set("CACHE_PROOF_TTL_SECS", "600", SECONDS, READ_AGAIN),
    set("CACHE_VES_COMMITMENT_MAX", "1000", ENTRIES, "Batches of signed streams"),
    set("CACHE_VES_COMMITMENT_TTL_SECS", "300", SECONDS, READ_AGAIN),
    set("CACHE_VES_PROOF_MAX", "5000", ENTRIES, "Paths of their proofs"),
    set("CACHE_VES_PROOF_TTL_SECS", "600", SECONDS, READ_AGAIN),
    set("CACHE_AGENT_KEY_MAX", "1000", COUNT, "Entries").not_needed(HELD_IN_MEMORY),
    set("CACHE_AGENT_KEY_TTL_SECS", "3600", SECONDS, "Age").not_needed(HELD_IN_MEMORY),
    of_schemas(set(
        "CACHE_SCHEMA_MAX",
        "1000",
        COUNT,
        "Compiled schemas, and event types known to have none",
    )),
    of_schemas(set("CACHE_SCHEMA_TTL_SECS", "600", SECONDS, "Age at which one of them is read anew")),
];

/// Beginnings of names that are ours: a variable with one of them that is not in the table is a slip.
pub const PREFIXES: &[&str] = &[
    "VES_",
    "X402_",
    "CACHE_",
    "DLQ_",
    "DB_",
    "READ_",
    "RATE_LIMIT_",
    "PUBLIC_AGENT_",
    "PAYLOAD_ENCRYPTION_",
    "SCHEMA_",
    "ANCHOR_",
    "JWT_",
    "OTEL_",
    "L2_",
    "TRUST_PROXY_",
    "SEQUENCER_",
    "BOOTSTRAP_",
    "ADMIN_",
    "AUTH_",
    "CORS_",
    "MAX_",
    "GRPC_",
    "STATESET_",
];

/// Variables of the other programs of this house.
pub const OF_OTHERS: &[&str] =
    &["STATESET_DATA", "STATESET_URL", "STATESET_API_KEY", "STATESET_TENANT", "STATESET_STORE"];

/// Variables of gRPC's own libraries, which machines often have set for other programs.
pub const OF_GRPC: &[&str] = &[
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "GRPC_DNS_RESOLVER",
    "GRPC_ENABLE_FORK_SUPPORT",
    "GRPC_POLL_STRATEGY",
    "GRPC_PROXY_EXP",
    "GRPC_SSL_CIPHER_SUITES",
    "GRPC_TRACE",
    "GRPC_VERBOSITY",
];

/// Every setting, in order.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The setting of that name.
pub fn setting(name: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.name == name)
}
