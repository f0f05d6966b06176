//! Traces: what one request did, step by step, for those requests that are sampled.
//!
//! A request that is not sampled costs one look at a task-local value in each step. A [`SpanSink`] takes what is
//! finished and must never make anybody wait. Contexts travel as the header `traceparent` (W3C Trace Context).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

/// Which span of which trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub is_sampled: bool,
}

/// Links of one span: a turn holds more requests than anybody reads.
const LINKS_MAX: usize = 64;

impl TraceContext {
    /// Reads the value of `traceparent`; `None` for one that is not of the form, whose trace begins anew then.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().splitn(4, '-');
        let (version, trace_id) = (parts.next()?, bytes::<16>(parts.next()?)?);
        let (span_id, rest) = (bytes::<8>(parts.next()?)?, parts.next()?);
        let [version] = bytes::<1>(version)?;
        // A later version may append members, which this one does not know.
        let flags = match version {
            0 => rest,
            _ => rest.split('-').next()?,
        };
        let [flags] = bytes::<1>(flags)?;
        let is_valid = version != 0xff && trace_id != [0; 16] && span_id != [0; 8];
        is_valid.then_some(Self { trace_id, span_id, is_sampled: flags & 1 == 1 })
    }
}

/// As `traceparent` has it.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (ves::hex::encode(&self.trace_id), ves::hex::encode(&self.span_id));
        write!(f, "00-{trace}-{span}-{:02x}", u8::from(self.is_sampled))
    }
}

/// Lower-case hexadecimal of exactly that length, which is all that the header allows.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_plain =
        text.len() == 2 * N && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_plain.then(|| ves::hex::decode_lenient(text).ok()).flatten()
}

/// Where a span stands between callers and callees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Server,
    Client,
    Internal,
}

/// What is told of a span. No payload, no credential, no name of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Text(Cow<'static, str>),
    Number(i64),
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}
impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}
impl From<usize> for Attribute {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
impl From<u16> for Attribute {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// A span that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedSpan {
    pub context: TraceContext,
    /// The span that it is a part of; also one of another process.
    pub parent: Option<[u8; 8]>,
    pub kind: SpanKind,
    pub name: Cow<'static, str>,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<(&'static str, Attribute)>,
    pub links: Vec<TraceContext>,
    pub is_error: bool,
}

/// Takes spans on their way out.
pub trait SpanSink: Send + Sync {
    /// Takes the span or gives it up, at once.
    fn record(&self, span: FinishedSpan);
}

/// Decides which requests are traced. Cheap to clone; the default traces none.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Source>>);

struct Source {
    sink: Arc<dyn SpanSink>,
    /// A draw below it is sampled.
    threshold: u64,
    /// Nobody's secret: ids are names.
    draws: AtomicU64,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Tracer(on)" } else { "Tracer(off)" })
    }
}

impl Tracer {
    /// Traces this part of the requests, from 0 to 1. A request that comes with a context is traced if its sender
    /// traces it, unless the part is 0.
    pub fn new(sink: Arc<dyn SpanSink>, part: f64) -> Self {
        let mut seed = [0; 8];
        // Without random bytes two processes may give the same ids; nothing else depends on them.
        let _ = getrandom::fill(&mut seed);
        // The cast saturates.
        let threshold = (part.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
        match threshold {
            0 => Self(None),
            _ => Self(Some(Arc::new(Source {
                sink,
                threshold,
                draws: AtomicU64::new(u64::from_ne_bytes(seed)),
            }))),
        }
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a trace, or goes on with that of a caller; `None` where it is not sampled.
    pub fn begin(
        &self,
        caller: Option<TraceContext>,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
    ) -> Option<Span> {
        let source = self.0.as_ref()?;
        let is_sampled = match caller {
            Some(caller) => caller.is_sampled,
            None => source.threshold == u64::MAX || source.draw() < source.threshold,
        };
        is_sampled.then(|| Span::new(source.clone(), caller, kind, name.into()))
    }

    /// Begins a trace of what was done for several others; `None` where none of them is sampled.
    pub(crate) fn begin_for(&self, mut links: Vec<TraceContext>, name: &'static str) -> Option<Span> {
        let source = self.0.as_ref().filter(|_| !links.is_empty())?;
        let mut span = Span::new(source.clone(), None, SpanKind::Internal, name.into());
        links.truncate(LINKS_MAX);
        span.finished.links = links;
        Some(span)
    }
}

impl Source {
    /// SplitMix64.
    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut x = self.draws.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn span_id(&self) -> [u8; 8] {
        self.draw().max(1).to_be_bytes()
    }

    fn trace_id(&self) -> [u8; 16] {
        ((u128::from(self.draw()) << 64) | u128::from(self.draw())).max(1).to_be_bytes()
    }
}

/// A span that goes on. Its drop ends it.
pub struct Span {
    source: Arc<Source>,
    started: Instant,
    finished: Box<FinishedSpan>,
}

impl Span {
    fn new(
        source: Arc<Source>,
        parent: Option<TraceContext>,
        kind: SpanKind,
        name: Cow<'static, str>,
    ) -> Self {
        let trace_id = parent.map_or_else(|| source.trace_id(), |parent| parent.trace_id);
        let context = TraceContext { trace_id, span_id: source.span_id(), is_sampled: true };
        let start = SystemTime::now();
        let finished = FinishedSpan {
            context,
            parent: parent.map(|parent| parent.span_id),
            kind,
            name,
            start,
            end: start,
            attributes: Vec::new(),
            links: Vec::new(),
            is_error: false,
        };
        Self { source, started: Instant::now(), finished: Box::new(finished) }
    }

    pub fn context(&self) -> TraceContext {
        self.finished.context
    }

    pub fn set(&mut self, name: &'static str, value: impl Into<Attribute>) {
        self.finished.attributes.push((name, value.into()));
    }

    /// What was done failed.
    pub fn fail(&mut self) {
        self.finished.is_error = true;
    }

    /// Joins another span that this one had to do with.
    pub(crate) fn link(&mut self, other: TraceContext) {
        self.finished.links.push(other);
    }

    /// A part of this one.
    pub fn child(&self, name: &'static str) -> Self {
        self.parent().child(name)
    }

    /// For parts that other tasks or threads make.
    pub(crate) fn parent(&self) -> Parent {
        Parent { source: self.source.clone(), context: self.context() }
    }

    /// Its start was earlier.
    pub(crate) fn begun_at(mut self, at: Instant) -> Self {
        self.finished.start -= self.started.saturating_duration_since(at);
        self.started = at;
        self
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let finished = &mut *self.finished;
        self.source.sink.record(FinishedSpan {
            end: finished.start + self.started.elapsed(),
            name: std::mem::take(&mut finished.name),
            attributes: std::mem::take(&mut finished.attributes),
            links: std::mem::take(&mut finished.links),
            ..*finished
        });
    }
}

/// The span that new ones are parts of.
#[derive(Clone)]
pub(crate) struct Parent {
    source: Arc<Source>,
    pub context: TraceContext,
}

impl Parent {
    pub fn child(&self, name: &'static str) -> Span {
        Span::new(self.source.clone(), Some(self.context), SpanKind::Internal, name.into())
    }
}

tokio::task_local! {
    static CURRENT: Parent;
}

/// Does `work` as a part of `span`: what it begins with [`child`] hangs below it.
pub async fn within<T>(span: Option<&Span>, work: impl Future<Output = T>) -> T {
    match span {
        Some(span) => CURRENT.scope(span.parent(), work).await,
        None => work.await,
    }
}

/// Begins a part of what this task does; `None` where that is not traced.
pub fn child(name: &'static str) -> Option<Span> {
    CURRENT.try_with(|parent| parent.child(name)).ok()
}

/// The trace that this task works for, if it is sampled.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|parent| parent.context).ok()
}

pub(crate) fn parent() -> Option<Parent> {
    CURRENT.try_with(Parent::clone).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<FinishedSpan>>);

    impl SpanSink for Kept {
        fn record(&self, span: FinishedSpan) {
            self.0.lock().unwrap().push(span);
        }
    }

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_read_and_written_as_w3c_has_it() {
        let context = TraceContext::parse(HEADER).unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.to_string(), HEADER);
        assert!(!TraceContext::parse(&HEADER.replace("-01", "-00")).unwrap().is_sampled);
        let later = format!("{}-more", HEADER.replacen("00", "01", 1));
        assert_eq!(TraceContext::parse(&later), Some(context));
        for bad in [
            "",
            "00",
            &HEADER[1..],
            &HEADER.to_uppercase(),
            &HEADER.replacen("00", "ff", 1),
            &format!("{HEADER}-more"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn part_of_the_requests_is_sampled_and_a_callers_word_counts_unless_the_part_is_0() {
        let caller = TraceContext::parse(HEADER);
        let unsampled = TraceContext::parse(&HEADER.replace("-01", "-00"));
        let begun = |tracer: &Tracer, caller| tracer.begin(caller, SpanKind::Server, "request").is_some();
        let tracer = |part| Tracer::new(Arc::new(Kept::default()), part);
        let (all, none, tenth) = (tracer(1.0), tracer(0.0), tracer(0.1));
        assert!((0..100).all(|_| begun(&all, None)));
        assert!(!begun(&none, None) && !begun(&none, caller) && !none.is_on());
        assert!(begun(&tenth, caller) && !begun(&all, unsampled));
        let sampled = (0..10_000).filter(|_| begun(&tenth, None)).count();
        assert!((700..1300).contains(&sampled), "{sampled} of 10,000");
    }

    #[tokio::test]
    async fn parts_hang_below_the_span_of_their_task() {
        let kept = Arc::new(Kept::default());
        let tracer = Tracer::new(kept.clone(), 1.0);
        let root = tracer.begin(TraceContext::parse(HEADER), SpanKind::Server, "request");
        within(root.as_ref(), async {
            let mut part = child("verify").expect("it is traced");
            part.set("events", 3_usize);
        })
        .await;
        assert!(child("verify").is_none() && current().is_none());
        drop(root);
        let spans = kept.0.lock().unwrap();
        let [part, root] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(
            (part.parent, root.parent),
            (Some(root.context.span_id), Some(*b"\xb7\xad\x6b\x71\x69\x20\x33\x31"))
        );
        assert_eq!(part.context.trace_id, root.context.trace_id);
        assert_eq!(part.attributes, [("events", Attribute::Number(3))]);
        assert!(root.start <= part.start && part.end <= root.end);
    }
}
