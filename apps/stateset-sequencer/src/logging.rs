//! The log, on stderr.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Settings};
use crate::failure::Failure;

/// Begins the log. A second call in one process keeps the first.
///
/// # Errors
/// When RUST_LOG is no list of directives.
pub fn start(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.log_filter).map_err(|error| {
        let form = "write a level such as info, or target=level, separated by commas";
        Failure::input(
            "CONFIGURATION",
            format!("RUST_LOG: {:?} is not a filter ({error}); {form}", settings.log_filter),
        )
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match settings.log_format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(())
}
