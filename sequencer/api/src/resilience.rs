//! Measurements of what keeps the service up: breakers and the pool (section 9).

use stateset_sequencer::{Acquisitions, BreakerState, Distribution, Samples};

use crate::health::Places;
use crate::router::App;

/// `circuit_breaker.*` and `pool.*`.
pub(crate) fn collect(app: &App, out: &mut Samples) {
    for (service, reading) in app.sequencer.breakers().readings() {
        let labels = [("service", service)];
        let state = match reading.state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        out.gauge("circuit_breaker.state", &labels, state);
        out.counter("circuit_breaker.failures", &labels, reading.failures);
        out.counter("circuit_breaker.successes", &labels, reading.successes);
        out.counter("circuit_breaker.rejections", &labels, reading.rejected);
    }
    let pool = Places::of_pool(app);
    for (name, value) in [
        ("pool.active_connections", pool.taken),
        ("pool.idle_connections", pool.idle),
        ("pool.total_connections", pool.taken + pool.idle),
        ("pool.max_connections", pool.max),
    ] {
        out.gauge(name, &[], value as f64);
    }
    out.gauge("pool.utilization", &[], pool.taken as f64 / pool.max.max(1) as f64);
    out.counter("pool.requests_shed", &[], app.shedding.shed());
    let waits = app.sequencer.database_acquisitions().unwrap_or_default();
    out.counter("pool.slow_acquisitions", &[], waits.slow);
    out.counter("pool.timed_out_acquisitions", &[], waits.given_up);
    out.distribution("pool.acquisition_latency_ms", &[], distribution(&waits));
}

/// The pool tells apart those up to 100 ms from the slower ones.
fn distribution(waits: &Acquisitions) -> Distribution {
    Distribution {
        cumulative: vec![(100_000, waits.count.saturating_sub(waits.slow))],
        count: waits.count,
        sum: waits.total_us,
    }
}
