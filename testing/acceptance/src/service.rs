//! A running `stateset up`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use ves::StreamKey;

use crate::{Rest, stateset};

/// Runs `stateset` with `arguments` on the data folder of a service; exit code and what it wrote.
///
/// # Panics
/// When it can't be started.
pub fn run_on(data: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(arguments);
    let output = command.arg("--data").arg(data).output().expect("stateset starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Where the log of a service lies in its data folder.
pub fn database(data: &Path) -> PathBuf {
    data.join("store").join("events.db")
}

/// Longest time a process may take to stop by itself.
const STOP_SECONDS_MAX: u64 = 30;

/// `stateset` with `arguments`, without the caller's configuration and without a terminal.
pub fn command(arguments: &[&str]) -> Command {
    command_of(stateset(), arguments)
}

/// The same for another of our programs.
pub fn command_of(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STATESET_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
}

/// `stateset up` on a data folder, listening on a port that the system chose.
pub struct Service {
    child: Child,
    pub url: String,
    pub api_key: String,
    /// What it said when it was up.
    pub said: Value,
}

impl Service {
    /// Starts the service and waits until it listens.
    ///
    /// # Panics
    /// When it does not start; what it wrote to standard error is on ours.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same, with more arguments.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(data: &Path, more: &[&str]) -> Self {
        Self::start_in(data, more, &[])
    }

    /// The same, with variables.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_in(data: &Path, more: &[&str], variables: &[(String, PathBuf)]) -> Self {
        let data = data.to_str().expect("a temporary folder with a plain name");
        let mut command = command(&["up", "--data", data, "--listen", "127.0.0.1:0", "--json"]);
        command.args(more).envs(variables.iter().map(|(name, value)| (name, value)));
        // What it says of the faults is many lines, of use to whoever asks for them.
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "off");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("stateset starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a piped output")).lines();
        let said = lines.by_ref().map_while(Result::ok).find_map(|line| {
            serde_json::from_str::<Value>(&line).ok().filter(|said| said["url"].is_string())
        });
        let Some(said) = said else {
            let status = child.wait();
            panic!("stateset up ended before it listened: {status:?}");
        };
        // What else it says is read to the end, or it would stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let text =
            |name: &str| said[name].as_str().unwrap_or_else(|| panic!("no {name} in {said}")).to_owned();
        let api_key = std::fs::read_to_string(text("admin_api_key_file")).expect("the admin key's file");
        Self { child, url: text("url"), api_key: api_key.trim().to_owned(), said }
    }

    /// The stream that commands write to when none is named.
    pub fn default_stream(&self) -> StreamKey {
        let id = |name: &str| self.said["profile"][name].as_str().expect("a profile with ids");
        StreamKey {
            tenant_id: id("tenant_id").parse().expect("a tenant id"),
            store_id: id("store_id").parse().expect("a store id"),
        }
    }

    pub fn rest(&self) -> Rest {
        Rest::new(&self.url, &self.api_key)
    }

    /// Ends it as a power cut would: no warning, no cleanup.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Asks it to stop and waits until it did.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id is not 0");
        kill_process(pid, signal).expect("our own child can be signalled");
    }

    /// Waits until it stopped by itself; panics as [`Self::stop`].
    pub fn wait(&mut self) -> ExitStatus {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(STOP_SECONDS_MAX) {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the service did not stop in {STOP_SECONDS_MAX} s");
    }
}

impl Drop for Service {
    /// After a failed test the process must not stay behind.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
