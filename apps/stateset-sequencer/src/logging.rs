//! The log, on stderr.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Settings};
use crate::failure::Failure;

/// Begins the log of the service. A second call in one process keeps the first.
///
/// # Errors
/// When RUST_LOG is no list of directives.
pub fn start(settings: &Settings) -> Result<(), Failure> {
    begin(&settings.log_filter, settings.log_format, false)?;
    warn(settings);
    Ok(())
}

/// Says what an operator should read of his settings.
pub fn warn(settings: &Settings) {
    settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}

/// Begins a log. `is_coloured` is for a terminal, not for a file.
///
/// # Errors
/// When `filter` is no list of directives.
pub fn begin(filter: &str, format: LogFormat, is_coloured: bool) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        let form = "write a level such as info, or target=level, separated by commas";
        Failure::input("CONFIGURATION", format!("RUST_LOG: {filter:?} is not a filter ({error}); {form}"))
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match format {
        LogFormat::Text => log.with_ansi(is_coloured).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    Ok(())
}
