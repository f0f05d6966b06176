//! What is told of a running service, and where: its log, its traces. The part of the settings that every program shares.

use std::ffi::OsString;

use super::gather::Gathered;
use super::settings::{LogFormat, is_word};
use super::table::GROUPS;
use super::value::check;
use super::{Problem, gather};
use crate::telemetry::TelemetrySettings;

/// The log and the traces of a program that is not configured by all the settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Observing {
    pub log_format: LogFormat,
    /// Directives of `RUST_LOG`, where they were given.
    pub log_filter: Option<String>,
    pub telemetry: TelemetrySettings,
}

impl Observing {
    /// Reads the variables about logs and traces; others are left alone.
    ///
    /// # Errors
    /// Every problem, not only the first.
    pub fn read(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Vec<Problem>> {
        let ours = || GROUPS.iter().filter(|group| group.title == TITLE).flat_map(|group| group.settings);
        let is_ours = |name: &OsString| ours().any(|setting| name.to_str() == Some(setting.name));
        let gathered = gather(environment.into_iter().filter(|(name, _)| is_ours(name)), None)?;
        let forms = ours().filter_map(|setting| {
            let problem = check(setting, gathered.set(setting.name)?).err()?;
            Some(Problem::new(setting.name, &problem))
        });
        let problems: Vec<Problem> = forms.chain(problem(&gathered)).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            log_format: log_format(&gathered),
            log_filter: gathered.set("RUST_LOG").map(str::to_owned),
            telemetry: telemetry(&gathered),
        })
    }
}

/// Of the group in the table.
pub(super) const TITLE: &str = "Logs and traces";

pub(super) fn log_format(gathered: &Gathered) -> LogFormat {
    match is_word(gathered, "LOG_FORMAT", "json") {
        true => LogFormat::Json,
        false => LogFormat::Text,
    }
}

/// What keeps traces from being sent.
pub(super) fn problem(gathered: &Gathered) -> Option<Problem> {
    let endpoint = gathered.set(ENDPOINT)?.trim();
    if !cfg!(feature = "telemetry") {
        let problem = "this program was built without the feature telemetry; leave it out";
        return Some(Problem::new(ENDPOINT, problem));
    }
    let cure = "write http://HOST:PORT of a collector beside the service that takes OTLP over gRPC, in clear";
    (!endpoint.starts_with("http://")).then(|| Problem::new(ENDPOINT, &format!("{endpoint:?}: {cure}")))
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Where traces go; the forms of its values were checked.
pub(super) fn telemetry(gathered: &Gathered) -> TelemetrySettings {
    let default = TelemetrySettings::default();
    let text = |name: &str| gathered.set(name).map(|text| text.trim().to_owned());
    let rate = text("OTEL_SAMPLE_RATE").and_then(|text| text.parse().ok());
    TelemetrySettings {
        endpoint: text("OTEL_EXPORTER_OTLP_ENDPOINT"),
        service_name: text("OTEL_SERVICE_NAME").unwrap_or(default.service_name),
        service_version: text("OTEL_SERVICE_VERSION").unwrap_or(default.service_version),
        sample_rate: rate.unwrap_or(default.sample_rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Observing, String> {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Observing::read(variables).map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn only_variables_about_logs_and_traces_are_read() {
        let others = [("PORT", "no port"), ("LOG_FORMAT", "json"), ("OTEL_SAMPLE_RATE", "0.25")];
        let observing = read(&others).unwrap();
        assert_eq!((observing.log_format, observing.log_filter), (LogFormat::Json, None));
        assert_eq!(
            observing.telemetry,
            TelemetrySettings { sample_rate: 0.25, ..TelemetrySettings::default() }
        );
        for bad in [("OTEL_SAMPLE_RATE", "2"), (ENDPOINT, "https://collector:4317")] {
            assert!(read(&[bad]).unwrap_err().contains(bad.0), "{bad:?}");
        }
    }
}
