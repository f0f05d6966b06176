//! Where the program writes: results to stdout, errors and progress to stderr.
#![allow(clippy::print_stderr)]

use crate::error::CliError;

pub use stateset_sequencer_app::terminal::{Output, delivered, usage};

/// Writes an error to stderr in the form asked for.
pub fn error(error: &CliError, json: bool) {
    if json {
        let body =
            serde_json::json!({"error": {"code": error.code, "message": error.message, "hint": error.hint}});
        eprintln!("{body}");
        return;
    }
    eprintln!("error: {}", error.message);
    if let Some(hint) = &error.hint {
        eprintln!("  hint: {hint}");
    }
}
