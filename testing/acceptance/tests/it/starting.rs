//! What a start says to whoever started it: in words, without colours where nobody sees them, and without secrets.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stateset_acceptance::service::command;
use stateset_fixtures::Seed;
use stateset_postgres::{Server, Settings};

#[test]
fn a_wrong_password_ends_the_start_with_its_reason_at_once() {
    let server = Server::start(Settings::default());
    let name = server.database();
    server.sql("postgres", "CREATE ROLE guarded LOGIN PASSWORD 'the right one'");
    let rules = server.sql("postgres", "SHOW hba_file");
    let others = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("host all guarded 127.0.0.1/32 scram-sha-256\n{others}")).unwrap();
    server.sql("postgres", "SELECT pg_reload_conf()");
    // The server takes its rules anew a moment after it was told.
    std::thread::sleep(Duration::from_millis(500));
    let url = format!("postgresql://guarded:hunter2@127.0.0.1:{}/{name}?sslmode=disable", server.port());
    let seed = ves::hex::encode(&Seed::new("sequencer of the start tests", 1).bytes::<32>());
    let folder = tempfile::tempdir().unwrap();
    let since = Instant::now();
    for program in [&["sequencer"][..], &["sequencer-admin", "api-keys", "list"]] {
        let output = command(program)
            .current_dir(folder.path())
            .envs([("HOST", "127.0.0.1"), ("PORT", "0"), ("ALLOW_INSECURE_LOCAL_DB", "true")])
            .env("DATABASE_URL", &url)
            .env("VES_SEQUENCER_SIGNING_KEY", &seed)
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{program:?}: {said}");
        assert!(said.contains("password authentication failed for user \"guarded\""), "{program:?}: {said}");
        assert!(!said.contains("hunter2"), "{program:?}: {said}");
    }
    assert!(since.elapsed() < Duration::from_secs(20), "no further try can help");
}

#[test]
fn nothing_is_coloured_where_nobody_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let up = ["up", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0", "--grpc-listen", "none"];
    let mut command = command(&up);
    command.env("TERM", "xterm-256color").env("RUST_LOG", "debug").env_remove("NO_COLOR");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let logged = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        errors.read_to_end(&mut bytes).map(|_| bytes)
    });
    let (mut out, mut said) = (BufReader::new(child.stdout.take().unwrap()), Vec::new());
    while !String::from_utf8_lossy(&said).contains("http://") {
        assert!(out.read_until(b'\n', &mut said).unwrap() > 0, "it ended before it listened");
    }
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::TERM).unwrap();
    out.read_to_end(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    let logged = logged.join().unwrap().unwrap();
    assert!(!logged.is_empty(), "it logs what it does");
    for bytes in [said, logged] {
        assert!(!bytes.contains(&0x1b), "{}", String::from_utf8_lossy(&bytes).escape_debug());
    }
}
