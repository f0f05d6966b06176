//! Where the program writes: results to stdout, errors and progress to stderr.

use stateset_sequencer_app::terminal::say;

use crate::error::CliError;

pub use stateset_sequencer_app::terminal::{Output, delivered, usage};

/// Of wrong options and arguments.
const USAGE: &str = "USAGE";

/// Writes an error to stderr in the form asked for.
pub fn error(error: &CliError, json: bool) {
    if json {
        let body =
            serde_json::json!({"error": {"code": error.code, "message": error.message, "hint": error.hint}});
        say(&body);
        return;
    }
    say(&format!("error: {}", error.message));
    // By which an error is looked up; what clap says has none.
    if error.code != USAGE {
        say(&format!("  code: {}", error.code));
    }
    if let Some(hint) = &error.hint {
        say(&format!("  hint: {hint}"));
    }
}
