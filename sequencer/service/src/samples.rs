//! One reading of every metric, as Prometheus text (exposition format 0.0.4).
//!
//! Each part of the service that counts something is a [`MetricSource`]. Names, kinds and helps stand in [`METRICS`],
//! and nothing is written under another name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cache::CacheCounters;
use crate::histogram::{Distribution, Histogram};
use crate::metric_table::{METRICS, Metric, MetricKind};

/// A part of the service that counts something.
pub trait MetricSource: Send + Sync {
    /// Adds what it has counted so far. Called for each reading, so it must be quick and may not wait for a store.
    fn collect(&self, out: &mut Samples);
}

/// Series of one name that are told apart by their labels; the ones beyond are folded into `other`.
pub const SERIES_MAX: usize = 100;
/// The value of each label of a series that stands for many.
const OTHER: &str = "other";
const OVERFLOW: &str = "metrics.cardinality_overflow";

/// What a reading has gathered.
#[derive(Default)]
pub struct Samples {
    /// By the place of the metric in the table, then by labels.
    families: BTreeMap<usize, BTreeMap<String, Value>>,
    folded: u64,
}

enum Value {
    Number(f64),
    Distribution(Distribution),
}

impl Samples {
    /// A counter's value so far. Values of one series are added up.
    pub fn counter(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.add(name, labels, MetricKind::Counter, Value::Number(value as f64));
    }

    /// A gauge's value now. Values of one series are added up.
    pub fn gauge(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.add(name, labels, MetricKind::Gauge, Value::Number(value));
    }

    /// A histogram so far. Those of one series and the same bounds are added up.
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], values: &Histogram) {
        self.distribution(name, labels, values.read());
    }

    /// The same of what was counted elsewhere.
    pub fn distribution(&mut self, name: &str, labels: &[(&str, &str)], values: Distribution) {
        let Some(place) = place(name) else { return };
        let kind = METRICS[place].kind;
        debug_assert!(kind.unit().is_some(), "{name} is no histogram");
        self.add(name, labels, kind, Value::Distribution(values));
    }

    /// The counters of a cache, under its name.
    pub fn cache(&mut self, name: &str, counters: &CacheCounters) {
        let labels = [("cache", name)];
        self.counter("cache.hits", &labels, counters.hits);
        self.counter("cache.misses", &labels, counters.misses);
        self.counter("cache.evictions", &labels, counters.evictions);
        self.gauge("cache.size", &labels, counters.size as f64);
    }

    /// Counts series that were not even gathered.
    pub fn left_out(&mut self, series: usize) {
        self.folded += series as u64;
    }

    /// The text, in the order of the table.
    pub fn write(mut self) -> String {
        self.gauge(OVERFLOW, &[], self.folded as f64);
        let mut out = String::with_capacity(32 << 10);
        for (place, series) in &self.families {
            let metric = &METRICS[*place];
            let name = metric.text_name();
            let (help, kind) = (metric.help, metric.kind.text());
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("to a String");
            for (labels, value) in series {
                match value {
                    Value::Number(number) => line(&mut out, &name, "", labels, "", *number),
                    Value::Distribution(read) => distribution(&mut out, metric, &name, labels, read),
                }
            }
        }
        out
    }

    fn add(&mut self, name: &str, labels: &[(&str, &str)], kind: MetricKind, value: Value) {
        let known = place(name).filter(|place| METRICS[*place].kind == kind);
        debug_assert!(known.is_some(), "{name} is not in the table as {kind:?}");
        let Some(place) = known else { return };
        let family = self.families.entry(place).or_default();
        let mut text = label_text(labels);
        if family.len() >= SERIES_MAX && !family.contains_key(&text) {
            self.folded += 1;
            // A sum of gauges of different things says nothing.
            if kind == MetricKind::Gauge {
                return;
            }
            let other: Vec<_> = labels.iter().map(|(name, _)| (*name, OTHER)).collect();
            text = label_text(&other);
        }
        match (family.get_mut(&text), value) {
            (Some(Value::Number(held)), Value::Number(more)) => *held += more,
            (Some(Value::Distribution(held)), Value::Distribution(more)) => merge(held, &more),
            (_, value) => drop(family.insert(text, value)),
        }
    }
}

fn place(name: &str) -> Option<usize> {
    METRICS.iter().position(|metric| metric.name == name)
}

/// Without the braces; a value may hold anything.
fn label_text(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let separator = if text.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(text, "{separator}{name}=\"{value}\"").expect("to a String");
    }
    text
}

fn line(out: &mut String, name: &str, suffix: &str, labels: &str, more: &str, value: f64) {
    let separator = if labels.is_empty() || more.is_empty() { "" } else { "," };
    let written = match labels.is_empty() && more.is_empty() {
        true => writeln!(out, "{name}{suffix} {value}"),
        false => writeln!(out, "{name}{suffix}{{{labels}{separator}{more}}} {value}"),
    };
    written.expect("to a String");
}

fn distribution(out: &mut String, metric: &Metric, name: &str, labels: &str, read: &Distribution) {
    let per = metric.kind.unit().map_or(1.0, |unit| unit.per());
    for (bound, count) in &read.cumulative {
        let bound = format!("le=\"{}\"", *bound as f64 / per);
        line(out, name, "_bucket", labels, &bound, *count as f64);
    }
    line(out, name, "_bucket", labels, "le=\"+Inf\"", read.count as f64);
    line(out, name, "_sum", labels, "", read.sum as f64 / per);
    line(out, name, "_count", labels, "", read.count as f64);
}

fn merge(held: &mut Distribution, more: &Distribution) {
    let is_same =
        held.cumulative.iter().map(|(bound, _)| bound).eq(more.cumulative.iter().map(|(bound, _)| bound));
    debug_assert!(is_same, "histograms of one series have the same bounds");
    for ((_, count), (_, others)) in held.cumulative.iter_mut().zip(&more.cumulative) {
        *count += others;
    }
    held.count += more.count;
    held.sum += more.sum;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::LATENCY_US;

    #[test]
    fn a_reading_has_help_and_type_once_and_values_of_one_series_added_up() {
        let mut samples = Samples::default();
        samples.counter("ratelimit.allowed", &[], 2);
        samples.counter("ratelimit.allowed", &[], 3);
        samples.counter("http.requests_total", &[("status", "2xx")], 1);
        let text = samples.write();
        let lines: Vec<_> = text.lines().collect();
        let allowed = lines.iter().position(|line| *line == "sequencer_ratelimit_allowed 5");
        let allowed = allowed.unwrap_or_else(|| panic!("no sum in {text}"));
        assert!(lines[allowed - 2].starts_with("# HELP sequencer_ratelimit_allowed "), "{text}");
        assert_eq!(lines[allowed - 1], "# TYPE sequencer_ratelimit_allowed counter");
        assert!(lines.contains(&"sequencer_http_requests_total{status=\"2xx\"} 1"), "{text}");
        assert!(lines.contains(&"sequencer_metrics_cardinality_overflow 0"), "{text}");
    }

    #[test]
    fn a_histogram_is_written_in_the_unit_of_its_name() {
        let histogram = Histogram::new(LATENCY_US);
        histogram.observe(700);
        histogram.observe(1_500_000);
        let mut samples = Samples::default();
        samples.histogram("db.query_latency_seconds", &[("query", "read")], &histogram);
        samples.histogram("db.query_latency_seconds", &[("query", "read")], &histogram);
        let text = samples.write();
        for line in [
            "sequencer_db_query_latency_seconds_bucket{query=\"read\",le=\"0.0005\"} 0",
            "sequencer_db_query_latency_seconds_bucket{query=\"read\",le=\"0.001\"} 2",
            "sequencer_db_query_latency_seconds_bucket{query=\"read\",le=\"+Inf\"} 4",
            "sequencer_db_query_latency_seconds_sum{query=\"read\"} 3.0014",
            "sequencer_db_query_latency_seconds_count{query=\"read\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn series_beyond_the_bound_are_folded_and_counted() {
        let mut samples = Samples::default();
        for n in 0..SERIES_MAX + 7 {
            samples.counter("grpc.requests_total", &[("rpc", &n.to_string())], 1);
            samples.gauge("head_sequence", &[("tenant_id", &n.to_string())], 1.0);
        }
        let text = samples.write();
        let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(count("sequencer_grpc_requests_total{"), SERIES_MAX + 1);
        assert!(text.contains("sequencer_grpc_requests_total{rpc=\"other\"} 7\n"), "{text}");
        assert_eq!(count("sequencer_head_sequence{"), SERIES_MAX);
        assert!(text.contains("sequencer_metrics_cardinality_overflow 14\n"), "{text}");
    }

    #[test]
    fn a_label_may_hold_anything() {
        assert_eq!(label_text(&[("a", "x\"y\\z\nw"), ("b", "é")]), "a=\"x\\\"y\\\\z\\nw\",b=\"é\"");
    }

    #[test]
    fn names_of_the_table_are_their_own_and_fit_the_format() {
        let mut names: Vec<_> = METRICS.iter().map(Metric::text_name).collect();
        for (metric, name) in METRICS.iter().zip(&names) {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert!(!metric.help.contains(['\n', '\\', '|']) && !metric.help.ends_with('.'), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }
}
