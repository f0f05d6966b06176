//! The developer's loop: a server with sample events, a tail, a trigger, a listener that verifies what comes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use stateset_webhooks::Secret;

/// The program with the data directory in `folder`.
fn stateset(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stateset"));
    command.env_clear().env("WEBHOOK_ALLOW_PRIVATE_TARGETS", "true");
    command
        .current_dir(folder)
        .args(["--data", "data", "--json"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

struct Running(Child, BufReader<ChildStdout>);

impl Running {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = stateset(folder, args).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        Self(child, out)
    }

    /// The next document that it writes.
    fn next(&mut self) -> Value {
        let mut text = String::new();
        loop {
            let read = self.1.read_line(&mut text).expect("its output");
            assert!(read > 0, "it ended after {text:?}");
            if let Ok(value) = serde_json::from_str(&text) {
                return value;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(folder: &Path, args: &[&str]) -> Value {
    let output = stateset(folder, args).output().expect("it runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What it says of a call that is refused for its input.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = stateset(folder, args).stderr(Stdio::piped()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    said
}

/// One request, answered with 200: its head in lower case, and its body.
fn take(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().expect("a connection");
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).expect("a request");
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).expect("UTF-8");
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.expect("a length");
        if bytes.len() >= end + 4 + length {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .expect("an answer");
            return (head, bytes.split_off(end + 4));
        }
    }
}

fn header(head: &str, name: &str) -> String {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
    line.and_then(|line| line.split_once(": ")).expect("the header").1.to_owned()
}

/// Without the operator's word a server posts nothing to itself and its neighbours, nor where a URL hides whom it names.
#[test]
fn a_server_refuses_receivers_that_are_not_out_in_the_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = stateset(folder.path(), &["up", "--listen", "127.0.0.1:0", "--grpc-listen", "none"]);
    let mut server = command.env_remove("WEBHOOK_ALLOW_PRIVATE_TARGETS").spawn().expect("it starts");
    let out = BufReader::new(server.stdout.take().expect("its output"));
    let mut server = Running(server, out);
    server.next();
    let made = run(folder.path(), &["webhooks", "create", "https://example.com:8443/hook"]);
    let id = made["webhook_id"].as_str().expect("an id").to_owned();
    for (url, why) in [
        ("http://example.com/", "expected https"),
        ("https://127.0.0.1/", "private network"),
        ("https://10.1.2.3/", "private network"),
        ("https://169.254.169.254/latest", "private network"),
        ("https://[::1]/", "private network"),
        ("https://[::ffff:127.0.0.1]/", "private network"),
        ("https://user:secret@example.com/", "without credentials"),
        ("https://example.com:0/", "expected https://HOST/PATH"),
        ("https://example.com:99999/", "expected https://HOST/PATH"),
        ("https://example.com/#x", "fragment"),
        ("file:///etc/passwd", "expected https://HOST/PATH"),
    ] {
        for args in [&["webhooks", "create", url][..], &["webhooks", "update", &id, "--url", url]] {
            let said = refused(folder.path(), args);
            assert!(said.contains(why) && !said.contains("secret@"), "{args:?}: {said}");
        }
    }
    assert_eq!(run(folder.path(), &["webhooks", "list"])["count"], 1);
}

#[test]
fn a_developer_triggers_tails_listens_and_resends() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server =
        Running::start(folder.path(), &["dev", "--listen", "127.0.0.1:0", "--grpc-listen", "none"]);
    let ready = loop {
        let said = server.next();
        if said["event"] == "ready" {
            break said;
        }
    };
    assert_eq!(ready["sample_events"], 6);
    let mut tail = Running::start(
        folder.path(),
        &["events", "tail", "--from", "1", "--events", "order.*", "--limit", "3"],
    );
    assert_eq!(tail.next()["envelope"]["event_type"], "order.created");
    assert_eq!(tail.next()["envelope"]["event_type"], "order.confirmed");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let mut listen =
        Running::start(folder.path(), &["listen", "--forward-to", &url, "--from", "7", "--limit", "1"]);
    let triggered = run(
        folder.path(),
        &["trigger", "order.created", "--set", "customer_id=C-17", "--set", "note.text=hi"],
    );
    assert_eq!(
        (&triggered["sequence_number"], &triggered["payload"]["note"]["text"]),
        (&7.into(), &"hi".into())
    );
    assert_eq!(tail.next()["envelope"]["payload"]["customer_id"], "C-17");
    let (head, body) = take(&listener);
    let told: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(
        (&told["type"], &told["data"]["envelope"]["sequence_number"]),
        (&"order.created".into(), &7.into())
    );
    let secret = std::fs::read_to_string(folder.path().join("data/listen-secret")).expect("a secret");
    let secret = Secret::parse(&secret).expect("a secret");
    let timestamp = header(&head, "webhook-timestamp");
    let now = timestamp.parse().expect("seconds");
    let checked = secret.verify(
        &header(&head, "webhook-id"),
        &timestamp,
        &header(&head, "webhook-signature"),
        &body,
        now,
    );
    assert_eq!(checked, Ok(()));
    assert_eq!(listen.next()["status"], 200);
    // The same event again, to the same address, with the same id and secret.
    let mut resend = Running::start(folder.path(), &["events", "resend", "7", "--forward-to", &url]);
    let (again, _) = take(&listener);
    assert_eq!(header(&again, "webhook-id"), header(&head, "webhook-id"));
    assert_eq!(resend.next()["status"], 200);
    // A registered receiver.
    let made = run(folder.path(), &["webhooks", "create", &url, "--events", "order.confirmed"]);
    let id = made["webhook_id"].as_str().expect("an id").to_owned();
    let order = triggered["entity_id"].as_str().expect("an id");
    run(folder.path(), &["trigger", "order.confirmed", "--entity-id", order]);
    let (head, body) = take(&listener);
    let secret = Secret::parse(made["secret"].as_str().expect("a secret")).expect("a secret");
    let timestamp = header(&head, "webhook-timestamp");
    let now = timestamp.parse().expect("seconds");
    let checked = secret.verify(
        &header(&head, "webhook-id"),
        &timestamp,
        &header(&head, "webhook-signature"),
        &body,
        now,
    );
    assert_eq!(checked, Ok(()));
    assert!(run(folder.path(), &["webhooks", "show", &id])["secret"].is_null(), "it is shown once");
    run(folder.path(), &["webhooks", "replay", &id, "--from", "8"]);
    take(&listener);
    // Changed, paused, given another secret beside the first.
    assert_eq!(run(folder.path(), &["webhooks", "pause", &id])["status"], "paused");
    let changed = run(folder.path(), &["webhooks", "update", &id, "--all-events", "--description", "mine"]);
    assert_eq!(
        (&changed["event_types"], &changed["description"], &changed["status"]),
        (&serde_json::json!([]), &"mine".into(), &"paused".into())
    );
    let rotated = run(folder.path(), &["webhooks", "rotate-secret", &id, "--overlap", "1"]);
    run(folder.path(), &["trigger", "order.created"]);
    assert_eq!(run(folder.path(), &["webhooks", "resume", &id])["status"], "active");
    let (head, body) = take(&listener);
    let timestamp = header(&head, "webhook-timestamp");
    for secret in [&made["secret"], &rotated["secret"]] {
        let secret = Secret::parse(secret.as_str().expect("a secret")).expect("a secret");
        let checked = secret.verify(
            &header(&head, "webhook-id"),
            &timestamp,
            &header(&head, "webhook-signature"),
            &body,
            timestamp.parse().expect("seconds"),
        );
        assert_eq!(checked, Ok(()));
    }
    // Nothing to change is a mistake of the call, a bad address one of its values.
    let said = refused(folder.path(), &["webhooks", "update", &id]);
    assert!(said.contains("--url <URL>"), "{said}");
    let said = refused(folder.path(), &["webhooks", "update", &id, "--url", "https://u:p@example.com/"]);
    assert!(said.contains("without credentials"), "{said}");
    run(folder.path(), &["webhooks", "delete", &id]);
    assert_eq!(run(folder.path(), &["webhooks", "list"])["count"], 0);
}
