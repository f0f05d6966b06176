//! A CometBFT process that we started, and stop.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Home, Program};

/// What CometBFT takes to close its files; after that it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
/// What a person reads first.
const LAST_LINES: usize = 6;
const STEP: Duration = Duration::from_millis(10);

/// Stopped when it is dropped. Should our own process die without that, CometBFT sees the application's socket close and
/// ends itself; if it had not connected yet, it waits for the socket, and the next start in its home ends it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `cometbft start` in `home`; its words go to [`Home::log`]. The application must listen already.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub fn start(program: &Program, home: &Home) -> io::Result<Self> {
        end_leftover(home)?;
        let log = OpenOptions::new().create(true).append(true).open(home.log())?;
        let child = Command::new(&program.place)
            .args(["start", "--home"])
            .arg(home.folder())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own: Ctrl-C is ours, and we stop it in order.
            .process_group(0)
            .spawn()?;
        let process = Self { child, log: home.log() };
        fs::write(home.pid(), process.id().to_string())?;
        Ok(process)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Its last words, for people.
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines: Vec<&str> =
            text.lines().rev().filter(|line| !line.trim().is_empty()).take(LAST_LINES).collect();
        lines.reverse();
        lines.join("\n")
    }

    /// Asks it to end, and kills it when it does not.
    pub fn stop(&mut self) {
        if self.signal(Signal::TERM) {
            let begun = Instant::now();
            while begun.elapsed() < STOP_TIME_MAX {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(STEP);
            }
        }
        self.kill();
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        // An error says that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// False when it has ended.
    fn signal(&mut self, signal: Signal) -> bool {
        matches!(self.child.try_wait(), Ok(None))
            && kill_process(Pid::from_child(&self.child), signal).is_ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends the process that an earlier run started in `home` and did not live to stop. Only a process with that very command line
/// is taken for it, since numbers of processes are used again.
fn end_leftover(home: &Home) -> io::Result<()> {
    let Ok(text) = fs::read_to_string(home.pid()) else { return Ok(()) };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return Ok(()) };
    let end = [b"\0start\0--home\0", home.folder().as_os_str().as_bytes(), b"\0"].concat();
    // Without the folder of processes (not Linux), or when it has ended, there is nothing to read.
    let is_left =
        || fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).is_ok_and(|line| line.ends_with(&end));
    for (signal, time) in [(Signal::TERM, STOP_TIME_MAX), (Signal::KILL, STOP_TIME_MAX)] {
        if !is_left() {
            return Ok(());
        }
        tracing::warn!(pid = pid.as_raw_nonzero(), "ending a CometBFT that an earlier run left");
        // It may end in this moment.
        let _ = kill_process(pid, signal);
        let begun = Instant::now();
        while begun.elapsed() < time && is_left() {
            std::thread::sleep(STEP);
        }
    }
    if !is_left() {
        return Ok(());
    }
    Err(io::Error::other(format!("the CometBFT of an earlier run, process {pid:?}, does not end")))
}
