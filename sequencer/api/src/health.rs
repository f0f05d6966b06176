//! `GET /health/detailed` (section 3.11): each part, and how it does.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ves_wire::Rfc3339;
use ves_wire::operations::{
    DatabaseHealth, DetailedHealthBody, HealthComponents, PoolBody, PoolHealth, SystemBody,
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

/// How full the write queue is.
pub(crate) fn pool(app: &App) -> (PoolBody, f64) {
    let (active, max) = (app.sequencer.metrics().queue_events, app.config.queue_events_max.max(1) as u64);
    let percent = 100.0 * active as f64 / max as f64;
    let body = PoolBody {
        status: pool_status(percent).to_owned(),
        utilization: format!("{percent:.1}%"),
        active,
        idle: max.saturating_sub(active),
    };
    (body, percent)
}

/// The thresholds of section 9.
fn pool_status(percent: f64) -> &'static str {
    match percent {
        p if p < 50.0 => "healthy",
        p if p < 80.0 => "moderate",
        p if p < 95.0 => "stressed",
        _ => "critical",
    }
}

pub(crate) async fn detailed(State(app): State<App>, _operator: Operator) -> Result<Response, ApiError> {
    let (took, answered) = ask_store(&app).await?;
    let database = database(took, answered);
    let (pool, utilization_percent) = pool(&app);
    let status = match (database.status.as_str(), pool.status.as_str()) {
        ("unhealthy", _) => "unhealthy",
        ("healthy", "healthy" | "moderate") => "healthy",
        _ => "degraded",
    };
    let body = DetailedHealthBody {
        status: status.to_owned(),
        service: "stateset-sequencer".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timestamp: Rfc3339(app.sequencer.now()),
        components: HealthComponents {
            database,
            pool: PoolHealth {
                status: pool.status,
                total_connections: pool.active + pool.idle,
                active_connections: pool.active,
                idle_connections: pool.idle,
                max_connections: pool.active + pool.idle,
                utilization_percent,
            },
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
        assert_eq!([0.0, 50.0, 80.0, 95.0].map(pool_status), ["healthy", "moderate", "stressed", "critical"]);
    }
}
