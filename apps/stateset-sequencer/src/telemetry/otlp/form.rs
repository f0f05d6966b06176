//! Spans in the form of OTLP.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind as Kind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use stateset_sequencer::trace::{Attribute, FinishedSpan, SpanKind, TraceContext};

/// Who sends.
pub(super) fn resource(service_name: &str, service_version: &str) -> Resource {
    let text = |key, text: &str| pair(key, Value::StringValue(text.to_owned()));
    Resource {
        attributes: vec![text("service.name", service_name), text("service.version", service_version)],
        ..Resource::default()
    }
}

/// One message.
pub(super) fn request(
    resource: &Resource,
    spans: impl Iterator<Item = FinishedSpan>,
) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope { name: "stateset-sequencer".to_owned(), ..Default::default() };
    let scope_spans =
        vec![ScopeSpans { scope: Some(scope), spans: spans.map(span).collect(), ..Default::default() }];
    let resource = Some(resource.clone());
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }],
    }
}

fn span(span: FinishedSpan) -> Span {
    let kind = match span.kind {
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
        SpanKind::Internal => Kind::Internal,
    };
    let code = if span.is_error { StatusCode::Error } else { StatusCode::Unset };
    Span {
        trace_id: span.context.trace_id.to_vec(),
        span_id: span.context.span_id.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        flags: u32::from(span.context.is_sampled),
        name: span.name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.end),
        attributes: span.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        links: span.links.iter().map(link).collect(),
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..Span::default()
    }
}

fn link(context: &TraceContext) -> Link {
    Link {
        trace_id: context.trace_id.to_vec(),
        span_id: context.span_id.to_vec(),
        flags: u32::from(context.is_sampled),
        ..Link::default()
    }
}

fn attribute(key: &str, value: Attribute) -> KeyValue {
    pair(
        key,
        match value {
            Attribute::Text(text) => Value::StringValue(text.into_owned()),
            Attribute::Number(number) => Value::IntValue(number),
        },
    )
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

/// Since 1970; 0 before.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
