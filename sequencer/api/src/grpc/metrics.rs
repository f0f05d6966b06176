//! Counters of the gRPC door (section 9): calls by name and status, their time, messages of streams.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tonic::Code;

/// Every call that is counted by its name; the last one stands for all that is unknown.
const RPCS: [&str; 20] = [
    "v2.Sequencer/Push",
    "v2.Sequencer/PullEvents",
    "v2.Sequencer/GetSyncState",
    "v2.Sequencer/GetInclusionProof",
    "v2.Sequencer/GetCommitment",
    "v2.Sequencer/GetEntityHistory",
    "v2.Sequencer/GetHealth",
    "v2.Sequencer/StreamEvents",
    "v2.Sequencer/SyncStream",
    "v2.Sequencer/SubscribeEntity",
    "v2.KeyManagement/RegisterAgentKey",
    "v2.KeyManagement/GetAgentKeys",
    "v2.KeyManagement/RevokeAgentKey",
    "v1.Sequencer/Push",
    "v1.Sequencer/Pull",
    "v1.Sequencer/GetHead",
    "v1.Sequencer/GetInclusionProof",
    "v1.Sequencer/GetCommitment",
    "v1.Sequencer/GetEntityHistory",
    "other",
];
/// Statuses 0 to 16.
const CODES: usize = 17;

#[derive(Default)]
struct Calls {
    by_code: [AtomicU64; CODES],
    time_us: AtomicU64,
}

#[derive(Default)]
pub(crate) struct GrpcMetrics {
    calls: [Calls; RPCS.len()],
    stream_messages: AtomicU64,
}

impl GrpcMetrics {
    /// One call, when its answer begins. `path` is that of the request.
    pub fn answered(&self, path: &str, code: Code, after: Duration) {
        let name = path.strip_prefix("/stateset.sequencer.").unwrap_or_default();
        let known = RPCS.iter().position(|rpc| *rpc == name).unwrap_or(RPCS.len() - 1);
        let calls = &self.calls[known];
        calls.by_code[(code as usize).min(CODES - 1)].fetch_add(1, Relaxed);
        calls.time_us.fetch_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// One message sent on a stream.
    pub fn streamed(&self) {
        self.stream_messages.fetch_add(1, Relaxed);
    }

    /// Appends Prometheus text. Calls that never came are left out.
    pub fn write(&self, out: &mut String) {
        let mut requests = String::from("# TYPE sequencer_grpc_requests_total counter\n");
        let mut latency = String::from("# TYPE sequencer_grpc_request_latency_seconds summary\n");
        for (rpc, calls) in RPCS.iter().zip(&self.calls) {
            let mut count = 0;
            for (code, calls) in calls.by_code.iter().enumerate() {
                let calls = calls.load(Relaxed);
                count += calls;
                if calls > 0 {
                    let line = format_args!("{{rpc=\"{rpc}\",code=\"{code}\"}} {calls}");
                    writeln!(requests, "sequencer_grpc_requests_total{line}").expect("to a String");
                }
            }
            if count > 0 {
                let seconds = calls.time_us.load(Relaxed) as f64 * 1e-6;
                for (part, value) in [("sum", seconds), ("count", count as f64)] {
                    let line = format_args!("{part}{{rpc=\"{rpc}\"}} {value}");
                    writeln!(latency, "sequencer_grpc_request_latency_seconds_{line}").expect("to a String");
                }
            }
        }
        out.push_str(&requests);
        out.push_str(&latency);
        let messages = self.stream_messages.load(Relaxed);
        writeln!(
            out,
            "# TYPE sequencer_grpc_stream_messages counter\nsequencer_grpc_stream_messages {messages}"
        )
        .expect("to a String");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_name_and_status_and_unknown_names_together() {
        let metrics = GrpcMetrics::default();
        let ms = Duration::from_millis(500);
        metrics.answered("/stateset.sequencer.v2.Sequencer/Push", Code::Ok, ms);
        metrics.answered("/stateset.sequencer.v2.Sequencer/Push", Code::NotFound, ms);
        for n in 0..100 {
            metrics.answered(&format!("/stateset.sequencer.v2.Sequencer/X{n}"), Code::Unimplemented, ms);
        }
        metrics.streamed();
        let mut out = String::new();
        metrics.write(&mut out);
        for line in [
            "sequencer_grpc_requests_total{rpc=\"v2.Sequencer/Push\",code=\"0\"} 1",
            "sequencer_grpc_requests_total{rpc=\"v2.Sequencer/Push\",code=\"5\"} 1",
            "sequencer_grpc_requests_total{rpc=\"other\",code=\"12\"} 100",
            "sequencer_grpc_request_latency_seconds_sum{rpc=\"v2.Sequencer/Push\"} 1",
            "sequencer_grpc_stream_messages 1",
        ] {
            assert!(out.lines().any(|found| found == line), "{line} is not in\n{out}");
        }
        assert_eq!(out.lines().count(), 3 + 1 + 3 + 4, "{out}");
    }
}
