//! Where the program writes: results to stdout, errors and progress to stderr.
#![allow(clippy::print_stderr)]

use crate::error::CliError;

pub use stateset_sequencer_app::terminal::{Output, delivered, usage};

/// Of wrong options and arguments.
const USAGE: &str = "USAGE";

/// Writes an error to stderr in the form asked for.
pub fn error(error: &CliError, json: bool) {
    if json {
        let body =
            serde_json::json!({"error": {"code": error.code, "message": error.message, "hint": error.hint}});
        eprintln!("{body}");
        return;
    }
    eprintln!("error: {}", error.message);
    // By which an error is looked up; what clap says has none.
    if error.code != USAGE {
        eprintln!("  code: {}", error.code);
    }
    if let Some(hint) = &error.hint {
        eprintln!("  hint: {hint}");
    }
}
