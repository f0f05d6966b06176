//! What is set, what is refused and what is said.

use std::fs;

use crate::run;

/// Runs `--check-config`: exit status and stderr.
fn check(environment: &[(&str, &str)]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, error) = run(folder.path(), environment, &["--check-config"]);
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "checking makes nothing");
    (status, error)
}

/// Refused with exit status 2, in words that hold all of `says`.
fn refused(environment: &[(&str, &str)], says: &[&str]) {
    let (status, error) = check(environment);
    assert_eq!(status, 2, "{environment:?}: {error}");
    for word in says {
        assert!(error.contains(word), "{environment:?} does not say {word:?}: {error}");
    }
}

/// Accepted with these words on stderr.
fn warned(environment: &[(&str, &str)], says: &str) {
    let (status, error) = check(environment);
    assert_eq!(status, 0, "{environment:?}: {error}");
    assert!(error.contains(says), "{environment:?} does not say {says:?}: {error}");
}

#[test]
fn a_wrong_value_is_refused_with_its_name_its_value_and_the_cure() {
    refused(&[("PORT", "80x")], &["PORT", "\"80x\"", "0 to 65535"]);
    refused(&[("PORT", "65535")], &["PORT", "GRPC_PORT", "GRPC_DISABLED"]);
    refused(&[("PORT", "9000"), ("GRPC_PORT", "9000")], &["GRPC_PORT", "choose another"]);
    refused(&[("DATABASE_URL", "mysql://db/x")], &["DATABASE_URL", "mysql", "postgres://"]);
    refused(&[("READ_DATABASE_URL", "postgres://db/x")], &["READ_DATABASE_URL", "replica"]);
    refused(
        &[("CORS_ALLOW_ORIGINS", "https://a.example,b.example/x")],
        &["CORS_ALLOW_ORIGINS", "b.example/x"],
    );
    refused(&[("VES_SEQUENCER_ID", "me")], &["VES_SEQUENCER_ID", "UUID"]);
    refused(&[("MIN_DB_CONNECTIONS", "11")], &["MIN_DB_CONNECTIONS", "MAX_DB_CONNECTIONS"]);
    refused(&[("RUST_LOG", "info,=,")], &["RUST_LOG", "filter"]);
    let remote = ("DATABASE_URL", "postgres://u:p@db.example/x");
    refused(&[remote], &["DATABASE_URL", "sslmode"]);
    let secure = ("DATABASE_URL", "postgres://u:p@db.example/x?sslmode=require");
    refused(&[secure, ("SEQUENCER_ENV", "production")], &["VES_SEQUENCER_SIGNING_KEY"]);
    refused(&[("BOOTSTRAP_ADMIN_API_KEY", "no-prefix")], &["BOOTSTRAP_ADMIN_API_KEY", "ss_"]);
    // Every problem is told at once.
    refused(&[("PORT", "x"), ("REQUEST_TIMEOUT_SECS", "0")], &["2 problems", "PORT", "REQUEST_TIMEOUT_SECS"]);
    assert_eq!(check(&[("PORT", "65535"), ("GRPC_DISABLED", "true")]).0, 0);
    assert_eq!(check(&[("PORT", "65535"), ("GRPC_PORT", "1")]).0, 0);
}

#[test]
fn production_is_strict() {
    let production = ("SEQUENCER_ENV", "production");
    refused(&[production, ("BOOTSTRAP_ADMIN_API_KEY", "ss_short")], &["BOOTSTRAP_ADMIN_API_KEY", "32"]);
    refused(&[("ENVIRONMENT", "prod-eu"), ("JWT_SECRET", "short")], &["JWT_SECRET"]);
    warned(&[("SEQUENCER_ENV", "staging"), ("BOOTSTRAP_ADMIN_API_KEY", "ss_short")], "fewer than 32");
    // The first of the two stands above the second.
    assert_eq!(check(&[("SEQUENCER_ENV", "dev"), ("ENVIRONMENT", "production"), ("JWT_SECRET", "x")]).0, 0);

    let open = ("AUTH_MODE", "disabled");
    refused(&[open], &["AUTH_MODE", "ALLOW_AUTH_DISABLED"]);
    refused(&[production, open, ("ALLOW_AUTH_DISABLED", "true")], &["AUTH_MODE", "production"]);
    warned(&[open, ("ALLOW_AUTH_DISABLED", "true")], "every caller is an admin");
}

#[test]
fn a_promise_that_this_build_cannot_keep_is_refused_and_the_rest_is_said() {
    warned(&[("VES_SEQUENCER_SECURITY_PROFILE", "hybrid")], "receipts have an Ed25519 one alone");
    let key = "11".repeat(32);
    let anchoring = [
        ("L2_RPC_URL", "https://rpc.example/key"),
        ("SET_REGISTRY_ADDRESS", "0xab"),
        ("SEQUENCER_PRIVATE_KEY", &key),
    ];
    refused(&anchoring, &["L2_RPC_URL", "set-anchor"]);
    warned(&anchoring[..2], "SET_REGISTRY_ADDRESS is set and does nothing: `set-anchor`");
    warned(&[("CACHE_AGENT_KEY_MAX", "7")], "CACHE_AGENT_KEY_MAX is set and does nothing");
    warned(&[("MAX_DB_CONNECTIONS", "7")], "the database is SQLite");
}

#[test]
fn a_setting_that_does_nothing_because_of_another_is_said() {
    let seed = "11".repeat(32);
    let server = [
        ("DATABASE_URL", "postgres://u:p@db.example/x?sslmode=require"),
        ("VES_SEQUENCER_SIGNING_KEY", seed.as_str()),
    ];
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: [Case<'_>; 16] = [
        (
            &[("TRUST_PROXY_ALLOWLIST", "10.0.0.0/8")],
            "TRUST_PROXY_ALLOWLIST",
            "TRUST_PROXY_HEADERS is not true",
        ),
        (&[("JWT_ISSUER", "me")], "JWT_ISSUER", "JWT_SECRET is not set"),
        (&[("JWT_AUDIENCE", "me")], "JWT_AUDIENCE", "JWT_SECRET is not set"),
        (&[("GRPC_PORT", "9001"), ("GRPC_DISABLED", "true")], "GRPC_PORT", "GRPC_DISABLED is true"),
        (
            &[("PUBLIC_AGENT_REGISTRATION_WINDOW_SECONDS", "5")],
            "PUBLIC_AGENT_REGISTRATION_WINDOW_SECONDS",
            "PUBLIC_AGENT_REGISTRATION_ENABLED is not true",
        ),
        (
            &[("VES_COMMIT_EVENTS_MAX", "5"), ("VES_AUTO_COMMIT", "false")],
            "VES_COMMIT_EVENTS_MAX",
            "VES_AUTO_COMMIT is not true",
        ),
        (
            &[("SEQUENCER_ENV", "dev"), ("ENVIRONMENT", "ci")],
            "ENVIRONMENT",
            "SEQUENCER_ENV is set and goes before it",
        ),
        (
            &[server[0], server[1], ("READ_MAX_DB_CONNECTIONS", "5")],
            "READ_MAX_DB_CONNECTIONS",
            "READ_DATABASE_URL is not set",
        ),
        (&[("OTEL_SAMPLE_RATE", "0.5")], "OTEL_SAMPLE_RATE", "OTEL_EXPORTER_OTLP_ENDPOINT is not set"),
        (
            &[("X402_BATCH_AUTO_COMMIT", "false"), ("X402_BATCH_MIN_SIZE", "5")],
            "X402_BATCH_MIN_SIZE",
            "X402_BATCH_AUTO_COMMIT is not true",
        ),
        (&[("ALLOW_AUTH_DISABLED", "true")], "ALLOW_AUTH_DISABLED", "AUTH_MODE is not disabled"),
        (
            &[server[1], ("STATESET_PASSPHRASE", "correct horse")],
            "STATESET_PASSPHRASE",
            "no key is kept beside the database",
        ),
        (
            &[server[0], server[1], ("DB_STARTUP_MAX_RETRIES", "0"), ("DB_STARTUP_RETRY_DELAY_SECS", "9")],
            "DB_STARTUP_RETRY_DELAY_SECS",
            "DB_STARTUP_MAX_RETRIES is 0",
        ),
        (
            &[("CACHE_PROOF_MAX", "0"), ("CACHE_PROOF_TTL_SECS", "9")],
            "CACHE_PROOF_TTL_SECS",
            "CACHE_PROOF_MAX is 0",
        ),
        (
            &[("CACHE_VES_PROOF_MAX", "0"), ("CACHE_VES_PROOF_TTL_SECS", "9")],
            "CACHE_VES_PROOF_TTL_SECS",
            "CACHE_VES_PROOF_MAX is 0",
        ),
        (
            &[("CACHE_VES_COMMITMENT_MAX", "0"), ("CACHE_VES_COMMITMENT_TTL_SECS", "9")],
            "CACHE_VES_COMMITMENT_TTL_SECS",
            "CACHE_VES_COMMITMENT_MAX is 0",
        ),
    ];
    for (environment, name, why) in cases {
        warned(environment, &format!("{name} is set and does nothing: {why}"));
    }
    // And nothing is said where they act.
    for acts in [
        &[("TRUST_PROXY_ALLOWLIST", "10.0.0.0/8"), ("TRUST_PROXY_HEADERS", "true")][..],
        &[("JWT_ISSUER", "me"), ("JWT_SECRET", "a-secret-of-more-than-32-characters-in-all")],
        &[("GRPC_PORT", "9001")],
        &[server[0], server[1], ("READ_DATABASE_URL", server[0].1), ("READ_MAX_DB_CONNECTIONS", "5")],
        &[("OTEL_SAMPLE_RATE", "0.5"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")],
        &[("X402_BATCH_MIN_SIZE", "5")],
        &[("STATESET_PASSPHRASE", "correct horse")],
        &[("CACHE_PROOF_TTL_SECS", "9")],
        &[("RATE_LIMIT_WINDOW_SECONDS", "9"), ("RATE_LIMIT_PER_MINUTE", "9")],
    ] {
        assert_eq!(check(acts), (0, String::new()), "{acts:?}");
    }
}

#[test]
fn a_setting_that_does_less_without_another_is_said() {
    let key = "5a".repeat(32);
    for name in ["PAYLOAD_ENCRYPTION_KEY", "PAYLOAD_ENCRYPTION_KEYS"] {
        warned(
            &[(name, &key)],
            &format!("{name} is set and seals nothing: PAYLOAD_ENCRYPTION_MODE is disabled"),
        );
        assert_eq!(check(&[(name, &key), ("PAYLOAD_ENCRYPTION_MODE", "optional")]), (0, String::new()));
    }
    for name in ["RATE_LIMIT_WINDOW_SECONDS", "RATE_LIMIT_MAX_ENTRIES"] {
        warned(&[(name, "9")], &format!("{name} is set without RATE_LIMIT_PER_MINUTE"));
    }
}

#[test]
fn a_variable_that_looks_like_ours_is_warned_about_and_others_are_left_alone() {
    warned(&[("DATABSE_URL", "x")], "did you mean DATABASE_URL?");
    warned(&[("VES_SEQUENCER_SIGNINGKEY", "x")], "did you mean VES_SEQUENCER_SIGNING_KEY?");
    warned(&[("OTEL_SOMETHING_WHOLLY_OTHER", "x")], "is not known and does nothing");
    warned(&[("CORS_ALLOWED", "x")], "CORS_ALLOWED is not known");
    warned(&[("AUTH_REQUIRED", "x")], "AUTH_REQUIRED is not known");
    let (status, error) = check(&[
        ("STATESET_URL", "x"),
        ("HOME", "/"),
        ("PATH", "/bin"),
        ("LANG", "C"),
        ("EDITOR", "ed"),
        ("USER", "me"),
        // Of the gRPC libraries of other programs.
        ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "/etc/ssl/certs/ca-certificates.crt"),
        ("GRPC_VERBOSITY", "error"),
    ]);
    assert_eq!((status, error.as_str()), (0, ""));
}

#[test]
fn the_environment_stands_above_the_file_and_the_file_above_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sequencer.toml");
    fs::write(
        &file,
        "port = 9100\nmax_events_per_batch = \"50\"\ncors_allow_origins = [\"https://a.example\"]\n",
    )
    .unwrap();
    let (status, out, error) = run(
        folder.path(),
        &[("PORT", "9200"), ("HOST", "")],
        &["--config", "sequencer.toml", "config", "--json"],
    );
    assert_eq!((status, error.as_str()), (0, ""));
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    let of = |name: &str| {
        let setting = shown.as_array().unwrap().iter().find(|setting| setting["name"] == name).unwrap();
        (
            setting["value"].as_str().unwrap_or_default().to_owned(),
            setting["source"].as_str().unwrap().to_owned(),
        )
    };
    let is =
        |name: &str, value: &str, source: &str| assert_eq!(of(name), (value.to_owned(), source.to_owned()));
    is("PORT", "9200", "environment");
    is("MAX_EVENTS_PER_BATCH", "50", "file");
    is("CORS_ALLOW_ORIGINS", "https://a.example", "file");
    is("HOST", "0.0.0.0", "default");

    for (text, says) in [
        ("databse_url = \"x\"", "did you mean database_url?"),
        ("PORT = 1", "there is no setting PORT"),
        ("port = [1]", "a list"),
        ("port = ", "line 1"),
        ("[port]\nx = 1", "a table"),
    ] {
        fs::write(&file, text).unwrap();
        let (status, _, error) = run(folder.path(), &[], &["--config", "sequencer.toml", "--check-config"]);
        assert!(status == 2 && error.contains(says), "{text}: {error}");
    }
    assert_eq!(run(folder.path(), &[], &["--config", "absent.toml", "--check-config"]).0, 2);
}

#[test]
fn keys_of_what_is_sealed_are_checked_together_and_never_shown() {
    let mode = |mode| ("PAYLOAD_ENCRYPTION_MODE", mode);
    let (one, two) = ("5a".repeat(32), "5b".repeat(32));
    let list = format!("{one}, {two}");
    refused(&[mode("required")], &["PAYLOAD_ENCRYPTION_MODE", "PAYLOAD_ENCRYPTION_KEY"]);
    refused(
        &[mode("optional"), ("PAYLOAD_ENCRYPTION_KEY", &one), ("PAYLOAD_ENCRYPTION_KEYS", &list)],
        &["PAYLOAD_ENCRYPTION_KEYS", "leave that one out"],
    );
    refused(
        &[mode("optional"), ("PAYLOAD_ENCRYPTION_KEYS", &format!("{one},{one}"))],
        &["PAYLOAD_ENCRYPTION_KEYS", "twice"],
    );
    warned(&[mode("optional")], "in clear");
    let tenant = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
    for wrong in [
        "[]",
        "{\"shop\":[]}",
        &format!("{{\"{tenant}\":[\"secret-slip\"]}}"),
        &format!("{{\"{tenant}\":[]}}"),
    ] {
        let (status, error) = check(&[mode("optional"), ("PAYLOAD_ENCRYPTION_KEYS_BY_TENANT", wrong)]);
        assert!(status == 2 && error.contains("PAYLOAD_ENCRYPTION_KEYS_BY_TENANT"), "{error}");
        assert!(!error.contains("secret-slip"), "{error}");
    }
    refused(&[("PAYLOAD_ENCRYPTION_LOST_KEYS", "the blue one")], &["PAYLOAD_ENCRYPTION_LOST_KEYS"]);
    let good = format!("{{\"{tenant}\":[\"{two}\",\"{one}\"]}}");
    for mode in [mode("required"), mode("optional"), mode("disabled")] {
        let (status, said) =
            check(&[mode, ("PAYLOAD_ENCRYPTION_KEYS", &list), ("PAYLOAD_ENCRYPTION_KEYS_BY_TENANT", &good)]);
        assert_eq!(status, 0, "{said}");
        assert!(!said.contains("5a5a") && !said.contains("5b5b"), "{said}");
    }
}

#[test]
fn no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let seed = "5eed".repeat(16);
    let secrets = [
        ("BOOTSTRAP_ADMIN_API_KEY", "ss_secret-bootstrap"),
        ("JWT_SECRET", "secret-jwt"),
        ("VES_SEQUENCER_SIGNING_KEY", &seed),
        ("L2_RPC_URL", "https://rpc.example/secret-path"),
        ("DATABASE_URL", "postgres://user:secret-password@db.example/events?password=secret-query"),
        ("READ_DATABASE_URL", "postgres://user:secret-password@copy.example/events?password=secret-query"),
        ("STATESET_PASSPHRASE", "secret-passphrase"),
        (
            "PAYLOAD_ENCRYPTION_KEYS_BY_TENANT",
            &format!("{{\"6f9619ff-8b86-d011-b42d-00c04fc964ff\":\"{seed}\"}}"),
        ),
    ];
    for args in [&["config"][..], &["config", "--json"], &["--check-config"]] {
        let (_, out, error) = run(folder.path(), &secrets, args);
        let said = out + &error;
        assert!(!said.contains("secret-") && !said.contains(&seed), "{args:?}: {said}");
        if args[0] == "config" {
            assert!(said.contains("postgres://db.example/events"), "{said}");
        }
    }
    // Nor when it is wrong, in the environment or in a file.
    let wrong = [("VES_SEQUENCER_SIGNING_KEY", "secret-slip"), ("DATABASE_URL", "secret-slip")];
    let (status, _, error) = run(folder.path(), &wrong, &["--check-config"]);
    assert!(status == 2 && !error.contains("secret-slip"), "{error}");
    fs::write(folder.path().join("c.toml"), "jwt_secret = 'secret-slip\n").unwrap();
    let (status, _, error) = run(folder.path(), &[], &["--config", "c.toml", "--check-config"]);
    assert!(status == 2 && !error.contains("secret-slip"), "{error}");
}
