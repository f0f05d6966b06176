//! Where the program writes: results to stdout, errors, remarks and progress to stderr.
#![allow(clippy::print_stderr)]

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

/// The first write to stdout that failed. One of the process, as stdout is: whichever command lost a result, and wherever,
/// its exit status has to tell.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// The result of a command: `value` with `--json`, else `text`.
    pub fn result(&self, value: &serde_json::Value, text: &str) {
        match self.json {
            true => stdout(&format!("{value}\n")),
            false => stdout(&format!("{}\n", text.trim_end())),
        }
    }

    pub fn failure(&self, failure: &Failure) {
        let Failure { code, message, hint, .. } = failure;
        if self.json {
            eprintln!("{}", serde_json::json!({"error": {"code": code, "message": message, "hint": hint}}));
            return;
        }
        eprintln!("error: {message}");
        if let Some(hint) = hint {
            eprintln!("  hint: {hint}");
        }
    }

    /// A bar for `total` items; drawn only for a person at a terminal.
    pub fn progress(&self, total: u64, unit: &str) -> ProgressBar {
        let shown = !self.json && std::io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let template = format!("{{bar:40}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}} left");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(total), target).with_style(style)
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

/// What clap has to say: help and version to stdout with 0, wrong usage to stderr with 2.
pub fn usage(error: &clap::Error) -> Result<ExitCode, Failure> {
    let printed = error.print();
    if error.use_stderr() {
        return Ok(ExitCode::from(2));
    }
    note_loss(printed);
    delivered().map(|()| ExitCode::SUCCESS)
}
