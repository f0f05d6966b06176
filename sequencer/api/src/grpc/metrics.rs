//! Counters of the gRPC door (section 9): calls by name and status, their time, messages of streams.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use stateset_sequencer::{Histogram, LATENCY_US, MetricSource, Samples};
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

struct Calls {
    by_code: [AtomicU64; CODES],
    times: Histogram,
}

impl Default for Calls {
    fn default() -> Self {
        Self { by_code: Default::default(), times: Histogram::new(LATENCY_US) }
    }
}

#[derive(Default)]
pub(crate) struct GrpcMetrics {
    calls: [Calls; RPCS.len()],
    stream_messages: AtomicU64,
}

/// The name of the call at the path of a request.
pub(super) fn known(path: &str) -> &'static str {
    let name = path.strip_prefix("/stateset.sequencer.").unwrap_or_default();
    RPCS.iter().find(|rpc| **rpc == name).unwrap_or(&RPCS[RPCS.len() - 1])
}

impl GrpcMetrics {
    /// One call, when its answer begins. `rpc` is [`known`].
    pub fn answered(&self, rpc: &str, code: Code, after: Duration) {
        let known = RPCS.iter().position(|known| *known == rpc).unwrap_or(RPCS.len() - 1);
        let calls = &self.calls[known];
        calls.by_code[(code as usize).min(CODES - 1)].fetch_add(1, Relaxed);
        calls.times.observe_time(after);
    }

    /// One message sent on a stream.
    pub fn streamed(&self) {
        self.stream_messages.fetch_add(1, Relaxed);
    }
}

impl MetricSource for GrpcMetrics {
    /// Calls that never came are left out.
    fn collect(&self, out: &mut Samples) {
        for (rpc, calls) in RPCS.iter().zip(&self.calls) {
            let mut came = false;
            for (code, calls) in calls.by_code.iter().enumerate() {
                let calls = calls.load(Relaxed);
                if calls > 0 {
                    came = true;
                    out.counter("grpc.requests_total", &[("rpc", rpc), ("code", &code.to_string())], calls);
                }
            }
            if came {
                out.histogram("grpc.request_latency_seconds", &[("rpc", rpc)], &calls.times);
            }
        }
        out.counter("grpc.stream_messages", &[], self.stream_messages.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_name_and_status_and_unknown_names_together() {
        let metrics = GrpcMetrics::default();
        let ms = Duration::from_millis(500);
        metrics.answered(known("/stateset.sequencer.v2.Sequencer/Push"), Code::Ok, ms);
        metrics.answered(known("/stateset.sequencer.v2.Sequencer/Push"), Code::NotFound, ms);
        for n in 0..100 {
            metrics.answered(
                known(&format!("/stateset.sequencer.v2.Sequencer/X{n}")),
                Code::Unimplemented,
                ms,
            );
        }
        metrics.streamed();
        let mut samples = Samples::default();
        metrics.collect(&mut samples);
        let out = samples.write();
        for line in [
            "sequencer_grpc_requests_total{rpc=\"v2.Sequencer/Push\",code=\"0\"} 1",
            "sequencer_grpc_requests_total{rpc=\"v2.Sequencer/Push\",code=\"5\"} 1",
            "sequencer_grpc_requests_total{rpc=\"other\",code=\"12\"} 100",
            "sequencer_grpc_request_latency_seconds_sum{rpc=\"v2.Sequencer/Push\"} 1",
            "sequencer_grpc_stream_messages 1",
        ] {
            assert!(out.lines().any(|found| found == line), "{line} is not in\n{out}");
        }
        assert!(!out.contains("X1"), "{out}");
    }
}
