//! `GET /health/detailed` (section 3.11): each part, and how it does.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use stateset_sequencer::{PoolState, PoolStatus};
use ves_wire::Rfc3339;
use ves_wire::operations::{
    BreakerHealth, DatabaseHealth, DetailedHealthBody, HealthComponents, PoolBody, PoolHealth, QueueHealth,
    SystemBody,
};

use crate::error::ApiError;
use crate::frame::json;
use crate::peer::Operator;
use crate::router::App;

/// A store that answers later is degraded, and later than the second bound unhealthy.
const HEALTHY_MAX: Duration = Duration::from_millis(100);
const DEGRADED_MAX: Duration = Duration::from_millis(500);

/// Asks the store; how long it took, and whether writes can succeed now.
pub(crate) async fn ask_store(app: &App) -> Result<(Duration, bool), ApiError> {
    let (sequencer, started) = (app.sequencer.clone(), Instant::now());
    let asked = tokio::task::spawn_blocking(move || sequencer.ready()).await.map_err(ApiError::internal)?;
    if let Err(problem) = &asked {
        tracing::warn!(%problem, "not ready");
    }
    Ok((started.elapsed(), asked.is_ok()))
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Places of which some are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Places {
    pub taken: u64,
    /// Ready to be taken.
    pub idle: u64,
    /// Ready or not.
    pub max: u64,
}

impl Places {
    /// Of the write queue, one for each event.
    pub fn of_queue(app: &App) -> Self {
        let (taken, max) = (app.sequencer.metrics().queue_events, app.config.queue_events_max as u64);
        Self { taken, idle: max.saturating_sub(taken), max }
    }

    /// Of the database's pool; of a store that needs none, of the write queue.
    pub fn of_pool(app: &App) -> Self {
        app.sequencer.database_pool().map_or_else(|| Self::of_queue(app), Self::from)
    }

    fn percent(self) -> f64 {
        100.0 * self.taken as f64 / self.max.max(1) as f64
    }

    pub fn utilization(self) -> String {
        format!("{:.1}%", self.percent())
    }

    fn status(self) -> String {
        status_of(self.percent()).to_owned()
    }
}

impl From<PoolStatus> for Places {
    fn from(pool: PoolStatus) -> Self {
        Self { taken: pool.active(), idle: pool.idle, max: pool.max }
    }
}

/// The connections to the database, for `/ready`.
pub(crate) fn pool(app: &App) -> PoolBody {
    let pool = Places::of_pool(app);
    PoolBody {
        status: judged(app, pool).to_owned(),
        utilization: pool.utilization(),
        active: pool.taken,
        idle: pool.idle,
    }
}

/// The worse of what it is now and what the monitor says.
fn judged(app: &App, pool: Places) -> &'static str {
    let now = PoolState::of_permille((pool.percent() * 10.0) as u64);
    now.max(app.shedding.state(&app.sequencer)).text()
}

fn avg_acquisition_ms(app: &App) -> Option<f64> {
    let waits = app.sequencer.database_acquisitions().filter(|waits| waits.count > 0)?;
    Some(waits.total_us as f64 / 1000.0 / waits.count as f64)
}

fn breakers(app: &App) -> Vec<BreakerHealth> {
    let readings = app.sequencer.breakers().readings().into_iter();
    let bodies = readings.map(|(name, reading)| BreakerHealth {
        name: name.to_owned(),
        state: reading.state.text().to_owned(),
        successes: reading.successes,
        failures: reading.failures,
        rejected: reading.rejected,
    });
    bodies.collect()
}

/// How full the write queue is.
pub(crate) fn queue(app: &App) -> QueueHealth {
    let queue = Places::of_queue(app);
    QueueHealth {
        status: queue.status(),
        events: queue.taken,
        events_max: queue.max,
        utilization_percent: queue.percent(),
    }
}

/// The thresholds of section 9.
fn status_of(percent: f64) -> &'static str {
    match percent {
        p if p < 50.0 => "healthy",
        p if p < 80.0 => "moderate",
        p if p < 95.0 => "stressed",
        _ => "critical",
    }
}

pub(crate) async fn detailed(State(app): State<App>, _operator: Operator) -> Result<Response, ApiError> {
    let (took, answered) = ask_store(&app).await?;
    let unopened = app.sequencer.sealing().map_or(0, |sealing| sealing.failures);
    let database = with_keys(database(took, answered), unopened);
    let (pool, queue) = (Places::of_pool(&app), queue(&app));
    // By fullness now, or worse where the monitor saw slow acquisitions or still waits whether room lasts.
    let judged = judged(&app, pool);
    let status = overall(&database.status, [judged, &queue.status]);
    let body = DetailedHealthBody {
        status: status.to_owned(),
        service: "stateset-sequencer".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timestamp: Rfc3339(app.sequencer.now()),
        components: HealthComponents {
            database,
            pool: PoolHealth {
                status: judged.to_owned(),
                total_connections: pool.taken + pool.idle,
                active_connections: pool.taken,
                idle_connections: pool.idle,
                max_connections: pool.max,
                utilization_percent: pool.percent(),
                avg_acquisition_ms: avg_acquisition_ms(&app),
            },
            queue,
            circuit_breakers: breakers(&app),
        },
        system: SystemBody {
            uptime_secs: app.started.elapsed().as_secs(),
            rust_version: env!("CARGO_PKG_RUST_VERSION").to_owned(),
        },
    };
    let mut response = json(&body)?;
    if status == "unhealthy" {
        // Not a refusal but the report itself, so it keeps its own form.
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.extensions_mut().insert(Report);
    }
    Ok(response)
}

/// Marks an answer whose status tells trouble and whose body is meant as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report;

/// Of the store, and of what may fill up.
fn overall(database: &str, filling: [&str; 2]) -> &'static str {
    let has_room = filling.iter().all(|status| matches!(*status, "healthy" | "moderate"));
    match database {
        "unhealthy" => "unhealthy",
        "healthy" if has_room => "healthy",
        _ => "degraded",
    }
}

/// A store that holds what no key opens is not whole to its readers.
fn with_keys(mut database: DatabaseHealth, unopened: u64) -> DatabaseHealth {
    if unopened > 0 && database.status == "healthy" {
        database.status = "degraded".to_owned();
        database.message =
            Some(format!("{unopened} reads of what is sealed at rest failed: a key is missing, see the log"));
    }
    database
}

fn database(took: Duration, answered: bool) -> DatabaseHealth {
    let (status, message) = match answered {
        false => ("unhealthy", Some("the event store can't be used now".to_owned())),
        true if took < HEALTHY_MAX => ("healthy", None),
        true if took < DEGRADED_MAX => ("degraded", Some("the event store answers slowly".to_owned())),
        true => ("unhealthy", Some("the event store answers very slowly".to_owned())),
    };
    DatabaseHealth {
        name: "event store".to_owned(),
        status: status.to_owned(),
        message,
        response_time_ms: milliseconds(took),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_store_is_degraded_and_a_silent_one_unhealthy() {
        let status = |ms, answered| database(Duration::from_millis(ms), answered).status;
        assert_eq!(
            [status(1, true), status(100, true), status(500, true)],
            ["healthy", "degraded", "unhealthy"]
        );
        assert_eq!(status(1, false), "unhealthy");
        let sealed = |ms, unopened| with_keys(database(Duration::from_millis(ms), true), unopened).status;
        assert_eq!([sealed(1, 0), sealed(1, 2), sealed(500, 2)], ["healthy", "degraded", "unhealthy"]);
        assert_eq!([0.0, 50.0, 80.0, 95.0].map(status_of), ["healthy", "moderate", "stressed", "critical"]);
    }

    #[test]
    fn a_pool_of_connections_is_as_full_as_those_at_work_of_those_that_may_be_open() {
        let pool = Places::from(PoolStatus { max: 20, size: 18, idle: 2, waiting: 0 });
        assert_eq!((pool.taken, pool.idle, pool.max), (16, 2, 20));
        assert_eq!((pool.utilization().as_str(), pool.status().as_str()), ("80.0%", "stressed"));
        assert_eq!(overall("healthy", ["moderate", "healthy"]), "healthy");
        assert_eq!(overall("healthy", ["stressed", "healthy"]), "degraded");
        assert_eq!(overall("healthy", ["healthy", "critical"]), "degraded");
        assert_eq!(overall("unhealthy", ["healthy", "healthy"]), "unhealthy");
    }
}
