//! Dead letters on `/metrics`: `dlq.*` and `retry.*` of section 9. Counted where they are written; nothing is looked through.

use stateset_sequencer::Samples;

use crate::router::App;

pub(crate) fn collect(app: &App, out: &mut Samples) {
    let (service, counts) = (app.sequencer.metrics(), app.sequencer.dead_letter_counts(None));
    for (name, value) in [
        ("dlq.added", service.dead_letters_added),
        ("dlq.retried", service.dead_letters_ordered),
        ("dlq.discarded", service.dead_letters_discarded),
        ("retry.attempts", service.retries_applied + service.retries_refused),
        ("retry.successes", service.retries_applied),
        ("retry.failures", service.retries_refused),
        ("retry.exhausted", service.retries_exhausted),
    ] {
        out.counter(name, &[], value);
    }
    for (name, value) in [
        ("dlq.size", counts.size()),
        ("dlq.pending", counts.pending + counts.retrying),
        ("dlq.failed", counts.failed),
        ("dlq.due_for_retry", counts.due),
        ("dlq.tenants_full", app.sequencer.dead_letter_tenants_full()),
    ] {
        out.gauge(name, &[], value as f64);
    }
    out.histogram("retry.latency_seconds", &[], &app.sequencer.timings().retry);
}
