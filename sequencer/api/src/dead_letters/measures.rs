//! Dead letters on `/metrics`: `dlq.*` and `retry.*` of section 9. Counted where they are written; nothing is looked through.

use crate::metrics::{histogram, line};
use crate::router::App;

pub(crate) fn write(app: &App, out: &mut String) {
    let (service, counts) = (app.sequencer.metrics(), app.sequencer.dead_letter_counts(None));
    for (name, value) in [
        ("dlq_added", service.dead_letters_added),
        ("dlq_retried", service.dead_letters_ordered),
        ("dlq_discarded", service.dead_letters_discarded),
        ("retry_attempts", service.retries_applied + service.retries_refused),
        ("retry_successes", service.retries_applied),
        ("retry_failures", service.retries_refused),
        ("retry_exhausted", service.retries_exhausted),
    ] {
        line(out, name, "counter", value);
    }
    for (name, value) in [
        ("dlq_size", counts.size()),
        ("dlq_pending", counts.pending + counts.retrying),
        ("dlq_failed", counts.failed),
        ("dlq_due_for_retry", counts.due),
    ] {
        line(out, name, "gauge", value);
    }
    histogram(out, "retry_latency_seconds", &app.sequencer.timings().retry, 1e6);
}
