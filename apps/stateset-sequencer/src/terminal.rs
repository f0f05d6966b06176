//! Where programs write: results to stdout, errors, remarks and progress to stderr.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::failure::Failure;

/// The first write to stdout that failed. One of the process, as stdout is: whichever command lost a result, and wherever,
/// its exit status has to tell.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// The result of a command: `value` with `--json`, else `text`.
    pub fn result(&self, value: &impl Serialize, text: &str) {
        if self.json {
            stdout(&format!("{}\n", serde_json::to_string(value).expect("results serialise to JSON")));
        } else {
            stdout(&format!("{}\n", text.trim_end()));
        }
    }

    /// Bytes that are the result whatever the form asked for, such as a signed event.
    pub fn raw(&self, text: &str) {
        stdout(text);
    }

    /// A remark on the way; not part of the result.
    pub fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            stdout(&format!("{text}\n"));
        }
    }

    /// A bar for `total` items; drawn only for a person at a terminal.
    pub fn progress(&self, total: u64, unit: &str) -> ProgressBar {
        let shown = !self.json && !self.quiet && std::io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let template = format!("{{bar:40}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}} left");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// Writes to stdout. A reader that went away (`| head`) is no failure of ours; of any other [`delivered`] tells.
pub fn stdout(text: &str) {
    let mut stdout = std::io::stdout().lock();
    note_loss(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

fn note_loss(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        // A second one says nothing more.
        let _ = LOST.set(error);
    }
}

/// Whether everything that went to stdout arrived, asked when a command is done.
///
/// # Errors
/// The first write that failed, but for a reader that went away.
pub fn delivered() -> Result<(), Failure> {
    match LOST.get() {
        Some(error) => Err(Failure::failed("IO", format!("cannot write to stdout: {error}"))),
        None => Ok(()),
    }
}

/// A line to stderr. Whoever stopped reading there has the exit code.
pub fn say(text: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Something an operator should know, though nothing failed.
pub fn warning(text: &str) {
    say(&format!("warning: {text}"));
}

/// Writes a failure to stderr in the form asked for.
pub fn failure(failure: &Failure, json: bool) {
    let Failure { code, message, hint, .. } = failure;
    if json {
        say(&serde_json::json!({"error": {"code": code, "message": message, "hint": hint}}));
        return;
    }
    say(&format!("error: {message}"));
    if let Some(hint) = hint {
        say(&format!("  hint: {hint}"));
    }
}

/// What clap has to say: help and version to stdout with 0, wrong usage to stderr with 2.
pub fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if error.use_stderr() {
        return ExitCode::from(2);
    }
    note_loss(printed);
    match delivered() {
        Ok(()) => ExitCode::SUCCESS,
        Err(lost) => {
            failure(&lost, false);
            ExitCode::from(lost.exit)
        }
    }
}
