//! What a running service tells of itself: metrics and traces.

mod metrics;
mod traces;
