//! A service in the background of a terminal: `stateset up --quiet &`.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Its banner came all the same, in between what its user typed.
#[test]
fn a_quiet_service_says_nothing_at_its_start_and_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = crate::stateset(folder.path());
    up.args(["--data", "data", "--quiet", "up", "--no-ledger"]);
    up.args(["--listen", "127.0.0.1:0", "--grpc-listen", "none"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = Running(Some(up.spawn().unwrap()));
    let begun = Instant::now();
    let is_up = || {
        let text = std::fs::read_to_string(folder.path().join("data/profile.json")).ok()?;
        let profile: Value = serde_json::from_str(&text).ok()?;
        TcpStream::connect(profile["url"].as_str()?.strip_prefix("http://")?).ok()
    };
    while is_up().is_none() {
        assert!(begun.elapsed() < PATIENCE, "it does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    // It listens before all of it is there, and would speak only then.
    std::thread::sleep(Duration::from_secs(1));
    let child = running.0.take().unwrap();
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{:?}", ended.status);
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}
