//! Where the program writes: results to stdout, errors, remarks and progress to stderr.
#![allow(clippy::print_stderr)]

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

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

/// Writes to stdout. A reader that went away (`| head`) is no failure of ours.
pub fn stdout(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// What clap has to say: help and version to stdout with 0, wrong usage to stderr with 2.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}
