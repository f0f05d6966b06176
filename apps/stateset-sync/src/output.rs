//! Results to stdout, errors and progress to stderr.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::failure::{Failure, printable};

/// The first write to stdout that failed.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
}

impl Output {
    /// The result of a command: `value` with `--json`, else `text`, which may hold what others wrote.
    pub fn result(&self, value: &impl Serialize, text: &str) {
        match self.json {
            true => write(&format!("{}\n", serde_json::to_string(value).expect("results serialise to JSON"))),
            false => write(&format!("{}\n", printable(text.trim_end()))),
        }
    }

    /// A remark on the way; not part of the result.
    pub fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            say(&printable(text).to_string());
        }
    }

    /// A bar, drawn only for a person at a terminal.
    pub fn progress(&self, total: u64) -> ProgressBar {
        let shown = !self.json && !self.quiet && io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let style =
            ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} events  {per_sec}  {eta} left");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// A reader that went away (`| head`) is no failure of ours; of any other [`delivered`] tells.
fn write(text: &str) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// Whether everything that went to stdout arrived.
pub fn delivered() -> Result<(), Failure> {
    match LOST.get() {
        Some(error) => Err(Failure::failed("IO", format!("cannot write to stdout: {error}"))),
        None => Ok(()),
    }
}

/// A line to stderr. Whoever stopped reading there has the exit code.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

pub fn failure(failure: &Failure, json: bool) {
    let Failure { code, message, hint, .. } = failure;
    if json {
        say(&format!("{}", serde_json::json!({"error": {"code": code, "message": message, "hint": hint}})));
        return;
    }
    say(&format!("error: {message}"));
    if let Some(hint) = hint {
        say(&format!("  hint: {hint}"));
    }
}

/// What clap has to say: help and version to stdout with 0, wrong usage to stderr with 2.
pub fn usage(error: &clap::Error) -> ExitCode {
    // A closed stdout is all that can fail here, and nobody is left to be told.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
