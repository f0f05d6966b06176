//! One server: its folder, its process, its databases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process;
use stateset_fixtures::free_port;

use crate::programs::{command, hand_over, run};

const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);

/// One server for all tests of this process. It is not for tests that stop it.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start(Settings::default()))
}

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether commits reach the disk. A server that is killed keeps what it wrote without, too; only a machine that
    /// loses its power does not.
    pub fsync: bool,
    /// Whether it offers TLS, as `localhost`, with a certificate of its own.
    pub tls: bool,
    /// Further settings, as in `postgresql.conf`.
    pub extra: Vec<(String, String)>,
    /// Folder to lie in; `None`: where temporary files go. Names the disk.
    pub inside: Option<PathBuf>,
}

/// A running server. The user `postgres` needs no password from this machine.
pub struct Server {
    folder: PathBuf,
    port: u16,
    settings: Settings,
    /// `None` while it is stopped.
    process: Mutex<Option<Child>>,
    /// Waits for the end of this process, then ends the server and removes the folder.
    guard: Child,
    databases: AtomicU32,
}

impl Server {
    /// Makes a new cluster and starts it; some two seconds.
    pub fn start(settings: Settings) -> Self {
        let folder = new_folder(&settings);
        run(command("initdb").arg("--pgdata").arg(folder.join("data")).args([
            "--username=postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
        ]));
        if settings.tls {
            make_certificate(&folder);
            for file in ["server.crt", "server.key"] {
                hand_over(&folder.join(file));
            }
        }
        Self::in_folder(folder, settings)
    }

    /// A server that follows this one and answers reads; `apply_delay` is how long it waits before it shows a commit.
    pub fn replica(&self, apply_delay: Duration) -> Self {
        let folder = new_folder(&self.settings);
        run(command("pg_basebackup")
            .arg("--pgdata")
            .arg(folder.join("data"))
            .args(["--host=127.0.0.1", "--username=postgres", "--wal-method=stream", "--checkpoint=fast"])
            .args(["--no-sync", "--write-recovery-conf"])
            .arg(format!("--port={}", self.port)));
        let mut settings = self.settings.clone();
        let delay = format!("{}ms", apply_delay.as_millis());
        settings.extra.push(("recovery_min_apply_delay".to_owned(), delay));
        Self::in_folder(folder, settings)
    }

    fn in_folder(folder: PathBuf, settings: Settings) -> Self {
        let guard = guard(&folder);
        let (port, process, databases) = (free_port(), Mutex::new(None), AtomicU32::new(0));
        let server = Self { folder, port, settings, process, guard, databases };
        server.restart();
        server
    }

    /// Starts the server again after it was stopped or killed, on the same port.
    pub fn restart(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(process.is_none(), "the server runs already");
        let fsync = if self.settings.fsync { "on" } else { "off" };
        let mut start = command("postgres");
        start.arg("-D").arg(self.folder.join("data"));
        let sockets = self.folder.display().to_string();
        let port = self.port.to_string();
        let fixed = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &sockets),
            ("fsync", fsync),
            ("max_connections", "200"),
            ("logging_collector", "off"),
        ];
        if self.settings.tls {
            start.args(["-c", "ssl=on", "-c"]).arg(format!("ssl_cert_file={sockets}/server.crt"));
            start.arg("-c").arg(format!("ssl_key_file={sockets}/server.key"));
        }
        let extra = self.settings.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in fixed.into_iter().chain(extra) {
            start.arg("-c").arg(format!("{name}={value}"));
        }
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).expect("the log");
        let error_log = log.try_clone().expect("the log");
        let child = start.stdout(log).stderr(error_log).spawn().expect("the server starts");
        *process = Some(child);
        self.wait_until_ready(process.as_mut().expect("just started"));
    }

    fn wait_until_ready(&self, process: &mut Child) {
        let started = Instant::now();
        loop {
            let mut ask = command("psql");
            ask.args(["-XAtq", "-h"]).arg(&self.folder).arg("-p").arg(self.port.to_string());
            let answer = ask.args(["-U", "postgres", "-c", "SELECT 1"]).output().expect("psql runs");
            if answer.status.success() {
                return;
            }
            let ended = process.try_wait().expect("the server's state");
            assert!(
                ended.is_none() && started.elapsed() < START_MAX,
                "the server did not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The issuer of the certificate that a server with TLS shows.
    pub fn root_certificate(&self) -> PathBuf {
        self.folder.join("root.crt")
    }

    /// What the server has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The folder that holds the cluster (in `data`) and its socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database and returns its name.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Where to connect to, over TCP and without TLS.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Where to connect to, over the server's socket.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgresql://postgres@{folder}:{}/{database}?sslmode=disable", self.port)
    }

    /// Runs SQL and returns its rows: columns divided by `|`, one row a line.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = command("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]).arg(&self.folder);
        psql.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        run(&mut psql).trim_end().to_owned()
    }

    /// Ids of the server's processes, the first one first; empty while it is stopped.
    pub fn processes(&self) -> Vec<u32> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().map_or(Vec::new(), |child| process::family(child.id()))
    }

    /// Processor time of the server's processes so far.
    pub fn cpu_times(&self) -> CpuTimes {
        CpuTimes(process::cpu_times(&self.processes()))
    }

    /// Stops the server: sessions are ended, nothing committed is lost.
    pub fn stop(&self) {
        self.end("INT", false);
    }

    /// Ends the server as a crash does: all of its processes at once.
    pub fn kill(&self) {
        self.end("KILL", true);
    }

    fn end(&self, signal: &str, with_children: bool) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut child) = process.take() else { return };
        let family = process::family(child.id());
        process::signal(signal, if with_children { &family } else { &family[..1] });
        let started = Instant::now();
        while child.try_wait().expect("the server's state").is_none()
            || family.iter().any(|id| process::is_alive(*id))
        {
            assert!(started.elapsed() < STOP_MAX, "the server does not stop: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes every process of the server stand still, as on a machine that hangs. New connections are taken by the
    /// system, and nobody answers them.
    pub fn pause(&self) {
        process::signal("STOP", &self.processes());
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        process::signal("CONT", &self.processes());
    }
}

/// Processor time of each of a server's processes.
pub struct CpuTimes(BTreeMap<u32, Duration>);

impl CpuTimes {
    /// What they used since `before`. Processes that ended in between count nothing.
    pub fn since(&self, before: &Self) -> Duration {
        let used = |(id, time): (&u32, &Duration)| {
            time.saturating_sub(before.0.get(id).copied().unwrap_or_default())
        };
        self.0.iter().map(used).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.resume();
        self.end("QUIT", false);
        // The guard's pipe closes; it finds no server and removes the folder.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn new_folder(settings: &Settings) -> PathBuf {
    let mut name = tempfile::Builder::new();
    name.prefix("pg");
    let folder: std::io::Result<TempDir> = match &settings.inside {
        Some(inside) => name.tempdir_in(inside),
        None => name.tempdir(),
    };
    // Removed by the guard, which outlives this process.
    let folder = folder.expect("a temporary folder").keep();
    hand_over(&folder);
    folder
}

/// An issuer, `root.crt`, and a certificate for `localhost` from it, `server.crt` and `server.key`, as files of `folder`.
///
/// # Panics
/// Without `openssl`.
pub fn make_certificate(folder: &Path) {
    let file = |name: &str| folder.join(name);
    let request = || {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl
    };
    let root = ["-x509", "-days", "2", "-subj", "/CN=the issuer of a test"];
    run(request().args(root).arg("-keyout").arg(file("root.key")).arg("-out").arg(file("root.crt")));
    let name = ["-subj", "/CN=localhost"];
    run(request().args(name).arg("-keyout").arg(file("server.key")).arg("-out").arg(file("server.csr")));
    std::fs::write(file("extensions"), "subjectAltName = DNS:localhost\nbasicConstraints = CA:FALSE\n")
        .expect("a file of the new folder");
    let mut issue = Command::new("openssl");
    issue.args(["x509", "-req", "-days", "2", "-CAcreateserial"]).arg("-in").arg(file("server.csr"));
    issue.arg("-CA").arg(file("root.crt")).arg("-CAkey").arg(file("root.key"));
    run(issue.arg("-extfile").arg(file("extensions")).arg("-out").arg(file("server.crt")));
}

/// Ends the server of `folder` when this process is gone, whichever way.
fn guard(folder: &Path) -> Child {
    let script = "read -r _; pid=$(head -n 1 \"$0/data/postmaster.pid\" 2>/dev/null); \
        if [ -n \"$pid\" ] && grep -q postgres \"/proc/$pid/comm\" 2>/dev/null; \
        then kill -CONT \"$pid\"; kill -QUIT \"$pid\"; sleep 0.5; fi; rm -rf \"$0\"";
    Command::new("setsid")
        .args(["sh", "-c", script])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell")
}
