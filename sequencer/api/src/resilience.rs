//! Measurements of what keeps the service up: breakers and the pool (section 9).

use std::fmt::Write as _;

use stateset_sequencer::BreakerState;

use crate::health::Places;
use crate::router::App;

/// Appends the lines of `circuit_breaker.*` and `pool.*`.
pub(crate) fn write(app: &App, out: &mut String) {
    let breakers = app.sequencer.breakers().readings();
    for (name, kind) in
        [("state", "gauge"), ("failures", "counter"), ("successes", "counter"), ("rejections", "counter")]
    {
        head(out, &format!("circuit_breaker_{name}"), kind);
        for (service, reading) in &breakers {
            let value = match name {
                "state" => match reading.state {
                    BreakerState::Closed => 0,
                    BreakerState::HalfOpen => 1,
                    BreakerState::Open => 2,
                },
                "failures" => reading.failures,
                "successes" => reading.successes,
                _ => reading.rejected,
            };
            line(out, &format!("circuit_breaker_{name}{{service=\"{service}\"}}"), &value);
        }
    }
    let pool = Places::of_pool(app);
    let waits = app.sequencer.database_acquisitions().unwrap_or_default();
    for (name, kind, value) in [
        ("pool_active_connections", "gauge", pool.taken),
        ("pool_idle_connections", "gauge", pool.idle),
        ("pool_total_connections", "gauge", pool.taken + pool.idle),
        ("pool_max_connections", "gauge", pool.max),
        ("pool_slow_acquisitions", "counter", waits.slow),
        ("pool_timed_out_acquisitions", "counter", waits.given_up),
        ("pool_requests_shed", "counter", app.shedding.shed()),
    ] {
        head(out, name, kind);
        line(out, name, &value);
    }
    head(out, "pool_utilization", "gauge");
    line(out, "pool_utilization", &(pool.taken as f64 / pool.max.max(1) as f64));
    head(out, "pool_acquisition_latency_ms", "summary");
    line(out, "pool_acquisition_latency_ms_sum", &(waits.total_us as f64 / 1000.0));
    line(out, "pool_acquisition_latency_ms_count", &waits.count);
}

fn head(out: &mut String, name: &str, kind: &str) {
    writeln!(out, "# TYPE sequencer_{name} {kind}").expect("to a String");
}

fn line(out: &mut String, name: &str, value: &dyn std::fmt::Display) {
    writeln!(out, "sequencer_{name} {value}").expect("to a String");
}
