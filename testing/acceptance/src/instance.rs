//! One of several processes on one database.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stateset_fixtures::Seed;

use crate::Rest;
use crate::service::command;

/// Longest time an instance may take to be ready, or to stop by itself.
const SECONDS_MAX: u64 = 60;

/// The key of every instance of a test.
pub const ADMIN: &str = "ss_bootstrap_admin_key_of_the_fault_tests";

/// A running `stateset sequencer`.
pub struct Instance {
    child: Child,
    url: String,
    grpc: String,
}

impl Instance {
    /// Starts an instance on `database_url`, with `settings` beside, and waits until it, or the one that writes, takes
    /// events.
    ///
    /// # Panics
    /// When it does not start, or that takes too long.
    pub fn start(database_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = command(&["sequencer"]);
        let seed = ves::hex::encode(&Seed::new("sequencer of the fault tests", 1).bytes::<32>());
        command
            .envs([("HOST", "127.0.0.1"), ("PORT", "0"), ("GRPC_PORT", "0"), ("LOG_FORMAT", "json")])
            .env("DATABASE_URL", database_url)
            .env("ALLOW_INSECURE_LOCAL_DB", "true")
            // Small and frequent batches, so that commitments meet the faults too.
            .envs([("VES_COMMIT_EVENTS_MAX", "256"), ("VES_COMMIT_INTERVAL_SECS", "2")])
            .env("BOOTSTRAP_ADMIN_API_KEY", ADMIN)
            .env("VES_SEQUENCER_ID", "7a000000-0000-4000-8000-000000000001")
            .env("VES_SEQUENCER_SIGNING_KEY", seed)
            .envs(settings.iter().copied());
        // What it says of the faults is many lines, of use to whoever asks for them.
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "off");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the instance starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("a piped output"));
        output.read_line(&mut line).expect("what it says");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text =
            |name: &str| said[name].as_str().unwrap_or_else(|| panic!("no {name} in {said}")).to_owned();
        let mut instance = Self { child, url: text("rest"), grpc: text("grpc") };
        instance.wait_until_ready();
        instance
    }

    /// Waits until the instance, or the one that writes, takes events.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait_until_ready(&mut self) {
        let since = Instant::now();
        while !self.is_ready() {
            let ended = self.child.try_wait().expect("our own child can be waited for");
            assert!(ended.is_none(), "the instance ended: {ended:?}");
            assert!(since.elapsed() < Duration::from_secs(SECONDS_MAX), "the instance is not ready in time");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn rest(&self) -> Rest {
        Rest::new(&self.url, ADMIN)
    }

    /// Where its REST door is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `host:port` of its gRPC door.
    pub fn grpc(&self) -> &str {
        self.grpc.trim_start_matches("http://")
    }

    /// What `/ready` says.
    pub fn is_ready(&self) -> bool {
        matches!(self.rest().get("/ready"), Ok((200, _)))
    }

    /// What `/health` says.
    pub fn is_healthy(&self) -> bool {
        matches!(self.rest().get("/health"), Ok((200, _)))
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Asks it to stop and waits until it did.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id is not 0");
        kill_process(pid, Signal::TERM).expect("our own child can be signalled");
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                return status;
            }
            assert!(since.elapsed() < Duration::from_secs(SECONDS_MAX), "the instance does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Instance {
    /// After a failed test the process must not stay behind.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
