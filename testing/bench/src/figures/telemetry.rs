//! What watching costs: server CPU of an event with traces and a scraper of `/metrics`, and without.
//!
//! The counters themselves are always on; they are part of both sides, and of every other figure.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use stateset_sequencer_api::{ServerConfig, serve};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::events::{API_KEY, Plan, STREAMS};
use crate::figures::batch::{cpu_us_per_event, middle};
use crate::report::{Goal, Row, progress};
use crate::run::Bench;
use crate::server::{Server, Serves};

/// Most that watching may add to an event.
const RATIO_MAX: f64 = 1.05;
/// The rate for a busy service, and the one of the defaults.
const SAMPLE_RATES: [f64; 2] = [0.1, 1.0];
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);

pub fn measure(bench: &mut Bench) -> Result<()> {
    let collector = Collector::start()?;
    for sample_rate in SAMPLE_RATES {
        let plain = Server::start(&Serves::Events(bench.folder.join(format!("plain-{sample_rate}"))))?;
        let folder = bench.folder.join(format!("traced-{sample_rate}"));
        let endpoint = collector.endpoint.clone();
        let traced = Server::start(&Serves::Traced { folder, endpoint, sample_rate })?;
        let scraper = Scraper::start(traced.address);
        for (clients, events, requests) in [(32, 1, 1_000), (16, 100, 75)] {
            compare(bench, [&plain, &traced], clients, events, requests, sample_rate)?;
        }
        ensure!(scraper.stop(), "no metrics were read");
        plain.stop()?;
        traced.stop()?;
    }
    let spans = collector.spans.load(Relaxed);
    ensure!(spans > 0, "no span arrived");
    bench.rows.push(Row::new("traces: spans that arrived", spans as f64, ""));
    Ok(())
}

/// Rounds in turns, so that what else the machine does falls on both.
fn compare(
    bench: &mut Bench,
    [plain, traced]: [&Server; 2],
    clients: u64,
    events_per_request: u64,
    requests: u64,
    sample_rate: f64,
) -> Result<()> {
    let name = format!("{events_per_request} a request, traces of {:.0} %", sample_rate * 100.0);
    progress(&name);
    let plan = |requests_per_client| Plan {
        clients,
        first_stream: 1,
        streams: STREAMS,
        requests_per_client,
        events_per_request,
    };
    for server in [plain, traced] {
        bench.round(server, plan(4))?;
    }
    let requests = bench.count(requests, 20);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..bench.count(7, 1) {
        without.push(bench.round(plain, plan(requests))?);
        with.push(bench.round(traced, plan(requests))?);
    }
    let cost = |rounds: &[_]| middle(rounds, |round| cpu_us_per_event(round, events_per_request));
    let row = Row::new(format!("{name}: server CPU an event, against none"), cost(&with), "us");
    bench.rows.push(row.floor(cost(&without)).goal(Goal::AtMost(RATIO_MAX)));
    Ok(())
}

/// Takes spans and counts them; in this process, whose time is not measured.
struct Collector {
    endpoint: String,
    spans: Arc<AtomicU64>,
    /// Ends with it.
    _runtime: Runtime,
}

struct Counting(Arc<AtomicU64>);

#[tonic::async_trait]
impl TraceService for Counting {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let resources = &request.get_ref().resource_spans;
        let spans =
            resources.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len());
        self.0.fetch_add(spans.sum::<usize>() as u64, Relaxed);
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let spans = Arc::new(AtomicU64::new(0));
        let service = TraceServiceServer::new(Counting(spans.clone()));
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/{rpc}";
        let router = axum::Router::new().route_service(path, service);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        runtime.spawn(serve(listener, router, ServerConfig::default(), std::future::pending()));
        Ok(Self { endpoint, spans, _runtime: runtime })
    }
}

/// Reads `/metrics` every second, as a monitor would, only more often.
struct Scraper {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Scraper {
    fn start(address: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let thread = std::thread::spawn(move || {
            let mut read = 0;
            while !stop.load(Relaxed) {
                read +=
                    u64::from(scrape(address).is_ok_and(|text| text.contains("sequencer_events_sequenced")));
                std::thread::park_timeout(SCRAPE_INTERVAL);
            }
            read
        });
        Self { over, thread }
    }

    /// Whether anything was read.
    fn stop(self) -> bool {
        self.over.store(true, Relaxed);
        self.thread.thread().unpark();
        self.thread.join().is_ok_and(|read| read > 0)
    }
}

fn scrape(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: a\r\nx-api-key: {API_KEY}\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
