//! Traces on their way out: what is asked for, and the exporter where this build has one.

#[cfg(feature = "telemetry")]
mod otlp;

use stateset_sequencer::trace::Tracer;
use stateset_sequencer::{Breakers, Sequencer};

use crate::failure::Failure;

/// Where traces go, and how many there are.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetrySettings {
    /// `http://HOST:PORT` of a collector; `None` makes no traces.
    pub endpoint: Option<String>,
    pub service_name: String,
    pub service_version: String,
    /// Part of the requests, from 0 to 1.
    pub sample_rate: f64,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            service_name: "stateset-sequencer".to_owned(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            sample_rate: 1.0,
        }
    }
}

/// The tracer of a program and what carries its spans away.
#[derive(Default)]
pub struct Telemetry {
    tracer: Tracer,
    breakers: Breakers,
    #[cfg(feature = "telemetry")]
    exporter: Option<otlp::Exporter>,
}

impl Telemetry {
    /// Starts the exporter, where one is asked for; on the runtime that calls it.
    ///
    /// # Errors
    /// When the endpoint is none that can be spoken to, or this build makes no traces. A collector that does not answer
    /// is no error: it may come later, and the service never waits for it.
    pub fn start(settings: &TelemetrySettings) -> Result<Self, Failure> {
        let Some(endpoint) = &settings.endpoint else { return Ok(Self::default()) };
        Self::to(endpoint, settings)
    }

    #[cfg(feature = "telemetry")]
    fn to(endpoint: &str, settings: &TelemetrySettings) -> Result<Self, Failure> {
        let breakers = Breakers::default();
        let exporter = otlp::Exporter::start(endpoint, settings, &breakers).map_err(|problem| {
            Failure::input("CONFIGURATION", format!("OTEL_EXPORTER_OTLP_ENDPOINT: {problem}"))
        })?;
        let tracer = Tracer::new(exporter.sink(), settings.sample_rate);
        Ok(Self { tracer, breakers, exporter: Some(exporter) })
    }

    #[cfg(not(feature = "telemetry"))]
    fn to(_: &str, _: &TelemetrySettings) -> Result<Self, Failure> {
        let problem = "this program was built without the feature telemetry; leave it out";
        Err(Failure::input("CONFIGURATION", format!("OTEL_EXPORTER_OTLP_ENDPOINT: {problem}")))
    }

    /// For the configuration of the service.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// The breakers of the program, with the one around the collector; the service puts its own beside it.
    pub fn breakers(&self) -> Breakers {
        self.breakers.clone()
    }

    /// Joins what the exporter counts to the metrics of a term.
    pub fn join(&self) -> impl Fn(&Sequencer) + Send + Sync + 'static {
        #[cfg(feature = "telemetry")]
        let sink = self.exporter.as_ref().map(otlp::Exporter::sink);
        move |sequencer| {
            #[cfg(feature = "telemetry")]
            if let Some(sink) = &sink {
                sequencer.add_metrics(sink.clone());
            }
            #[cfg(not(feature = "telemetry"))]
            let _ = sequencer;
        }
    }

    /// Sends what is left, for two seconds at most.
    pub async fn stop(self) {
        #[cfg(feature = "telemetry")]
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
    }
}
