//! Receipts signed by a key in a token.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use stateset_softhsm::SoftToken;

use crate::run;
use crate::running::Running;

/// The settings of a service whose keys are in `token`.
struct Settings(Vec<(&'static str, String)>);

impl Settings {
    fn new(token: &SoftToken) -> Self {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (variable, conf) = token.env();
        Self(vec![
            (variable, text(&conf)),
            ("KEYSTORE", "pkcs11".to_owned()),
            ("PKCS11_MODULE", text(token.module())),
            ("PKCS11_TOKEN_LABEL", token.label().to_owned()),
            ("PKCS11_PIN_FILE", text(&token.pin_file())),
        ])
    }

    fn all(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// With one value changed or added.
    fn with<'a>(&'a self, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut all: Vec<(&str, &str)> = self.all().into_iter().filter(|(other, _)| *other != name).collect();
        all.extend([(name, value), ("HOST", "127.0.0.1"), ("PORT", "0")]);
        all
    }
}

/// Status of `GET /ready`.
fn ready(url: &str) -> u16 {
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn wait_for(url: &str, status: u16) {
    let started = Instant::now();
    while ready(url) != status {
        assert!(started.elapsed() < Duration::from_secs(40), "/ready does not turn {status}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_key_in_a_token_is_made_once_and_readiness_follows_the_token() {
    let Some(token) = SoftToken::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(&token);
    let first = Running::start(folder.path(), &settings.all());
    let (id, key) = (first.text("sequencer_id").to_owned(), first.text("public_key").to_owned());
    assert_eq!(ready(first.text("rest")), 200);
    assert_eq!(first.end("-TERM").0, 0);
    assert!(!folder.path().join("stateset-data/keys").exists(), "no file holds a key");

    let second = Running::start(folder.path(), &settings.all());
    assert_eq!((second.text("sequencer_id"), second.text("public_key")), (id.as_str(), key.as_str()));
    let url = second.text("rest").to_owned();
    token.pull();
    wait_for(&url, 503);
    token.put_back();
    wait_for(&url, 200);
    assert_eq!(second.end("-TERM").0, 0);
}

#[test]
fn keys_that_would_be_split_and_a_token_that_cannot_be_opened_keep_it_from_starting() {
    let Some(token) = SoftToken::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(&token);
    let seed = "5e".repeat(32);
    let refused = |environment: &[(&str, &str)], status: i32, words: &[&str]| {
        let (found, _, error) = run(folder.path(), environment, &[]);
        assert!(found == status && words.iter().all(|word| error.contains(word)), "{found} {error}");
        assert!(
            !error.contains(token.pin()) && !error.contains(&seed) && !error.contains("wrong-pin"),
            "{error}"
        );
    };
    refused(
        &settings.with("VES_SEQUENCER_SIGNING_KEY", &seed),
        2,
        &["VES_SEQUENCER_SIGNING_KEY", "key sequencer"],
    );
    refused(&settings.with("PKCS11_TOKEN_LABEL", "no such token"), 1, &["no such token", "no slot"]);
    refused(&settings.with("PKCS11_MODULE", "/nowhere.so"), 1, &["/nowhere.so"]);
    let wrong = folder.path().join("pin");
    std::fs::write(&wrong, "wrong-pin\n").unwrap();
    let wrong_text = wrong.to_str().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o644)).unwrap();
        refused(&settings.with("PKCS11_PIN_FILE", wrong_text), 1, &["chmod 600"]);
        std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    refused(&settings.with("PKCS11_PIN_FILE", wrong_text), 1, &["the PIN is wrong"]);

    // A node that began with files goes on with files, and says which keys stand against one another.
    assert_eq!(Running::start(folder.path(), &[]).end("-TERM").0, 0);
    refused(
        &settings.with("LOG_FORMAT", "text"),
        2,
        &["sequencer.pem", "the other, sequencer,", "KEYSTORE=file"],
    );
}
