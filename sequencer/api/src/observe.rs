//! What is told of each request once it is answered: a line of the log and, where it is traced, a span.
//!
//! Both name the route by its pattern, never by the path that came, and neither holds a header, a body or a query.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use stateset_sequencer::trace::{Span, SpanKind, TraceContext, Tracer};

/// W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Names the trace to the caller (W3C Trace Context, level 2).
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
/// A request that takes longer is warned of.
const SLOW: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The id of the request that this task answers.
    static REQUEST: HeaderValue;
}

/// One request, from its head to its answer.
pub(crate) struct Observed {
    pub started: Instant,
    pub id: HeaderValue,
    name: Name,
    span: Option<Span>,
}

/// What a request is called.
enum Name {
    Rest {
        method: Method,
        route: Option<MatchedPath>,
    },
    #[cfg(feature = "grpc")]
    Grpc(&'static str),
}

impl Name {
    fn method(&self) -> &str {
        match self {
            Self::Rest { method, .. } => method.as_str(),
            #[cfg(feature = "grpc")]
            Self::Grpc(_) => "POST",
        }
    }

    fn pattern(&self) -> &str {
        match self {
            Self::Rest { route, .. } => route.as_ref().map_or("none", MatchedPath::as_str),
            #[cfg(feature = "grpc")]
            Self::Grpc(rpc) => rpc,
        }
    }
}

/// How a request was answered.
#[derive(Clone, Copy)]
pub(crate) struct Ending {
    /// Of HTTP, or of gRPC.
    pub status: u16,
    /// The service is at fault, not the caller.
    pub is_failure: bool,
}

impl Observed {
    pub fn rest(tracer: &Tracer, id: HeaderValue, request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        let name = Name::Rest { method: request.method().clone(), route };
        Self::new(tracer, id, name, request.headers())
    }

    /// `rpc` is one of a known few.
    #[cfg(feature = "grpc")]
    pub fn grpc(tracer: &Tracer, id: HeaderValue, rpc: &'static str, headers: &HeaderMap) -> Self {
        Self::new(tracer, id, Name::Grpc(rpc), headers)
    }

    fn new(tracer: &Tracer, id: HeaderValue, name: Name, headers: &HeaderMap) -> Self {
        let started = Instant::now();
        let span = tracer.is_on().then(|| begin(tracer, &name, headers)).flatten();
        Self { started, id, name, span }
    }

    /// Answers the request: what `work` logs and traces belongs to it.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        REQUEST.scope(self.id.clone(), stateset_sequencer::trace::within(self.span.as_ref(), work)).await
    }

    /// Tells how it ended, and adds the headers that name it.
    pub fn end(mut self, ending: Ending, headers: &mut HeaderMap) {
        let took = self.started.elapsed();
        let trace_id = self.span.as_ref().map(|span| ves::hex::encode(&span.context().trace_id));
        self.log(ending, took, trace_id.as_deref());
        if let Some(span) = &mut self.span {
            let status = match self.name {
                Name::Rest { .. } => "http.response.status_code",
                #[cfg(feature = "grpc")]
                Name::Grpc(_) => "rpc.grpc.status_code",
            };
            span.set(status, ending.status);
            if ending.is_failure {
                span.fail();
            }
            if let Ok(context) = HeaderValue::from_str(&span.context().to_string()) {
                headers.insert(TRACERESPONSE, context);
            }
        }
    }

    fn log(&self, Ending { status, is_failure }: Ending, took: Duration, trace_id: Option<&str>) {
        let (method, route) = (self.name.method(), self.name.pattern());
        let (request_id, ms) = (self.id.to_str().unwrap_or_default(), took.as_secs_f64() * 1e3);
        if is_failure {
            tracing::warn!(target: "request", request_id, trace_id, method, route, status, ms, "failed");
        } else if took >= SLOW {
            tracing::warn!(target: "request", request_id, trace_id, method, route, status, ms, "slow");
        } else {
            tracing::debug!(target: "request", request_id, trace_id, method, route, status, ms, "answered");
        }
    }
}

fn begin(tracer: &Tracer, name: &Name, headers: &HeaderMap) -> Option<Span> {
    let caller = caller(headers);
    let mut span = match name {
        Name::Rest { .. } => {
            let title = format!("{} {}", name.method(), name.pattern());
            tracer.begin(caller, SpanKind::Server, title)?
        }
        #[cfg(feature = "grpc")]
        Name::Grpc(rpc) => tracer.begin(caller, SpanKind::Server, *rpc)?,
    };
    match name {
        Name::Rest { .. } => {
            span.set("http.request.method", name.method().to_owned());
            span.set("http.route", name.pattern().to_owned());
        }
        #[cfg(feature = "grpc")]
        Name::Grpc(rpc) => {
            span.set("rpc.system", "grpc");
            span.set("rpc.method", *rpc);
        }
    }
    Some(span)
}

/// The trace that the caller of a request is in.
pub(crate) fn caller(headers: &HeaderMap) -> Option<TraceContext> {
    TraceContext::parse(headers.get(TRACEPARENT)?.to_str().ok()?)
}

/// The id of the request that this task answers, for lines of the log that tell of its troubles.
pub(crate) fn request_id() -> Option<String> {
    REQUEST.try_with(|id| id.to_str().unwrap_or_default().to_owned()).ok()
}
