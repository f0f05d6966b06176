//! Calls to what lies outside this process, each behind the breaker of its service (section 9).

use stateset_event_log::BreakerConfig;

use crate::config::Config;
use crate::error::ServiceError;
use crate::sequencer::Sequencer;

/// The chain that takes commitments.
pub(crate) const ANCHOR: &str = "anchor";
/// The chain that says what became of payments.
pub(crate) const SETTLEMENT: &str = "settlement";

/// A submission waits for a block, on some chains 12 s: what takes much longer is a chain that stands still. Calls are made one
/// after the other, so the window is wide enough for five slow ones.
const CHAIN: BreakerConfig = BreakerConfig {
    failures_max: 5,
    window_ms: 120_000,
    open_ms: 30_000,
    open_ms_max: 300_000,
    trials_max: 3,
    successes_to_close: 3,
    slow_ms: Some(20_000),
};

/// Makes the breakers of what is joined, so that health and metrics show them before the first call.
pub(crate) fn prepare(config: &Config) {
    let joined = [(ANCHOR, config.anchor.is_some()), (SETTLEMENT, config.payments.settlement.is_some())];
    for (service, _) in joined.into_iter().filter(|(_, is_joined)| *is_joined) {
        config.breakers.of(service, CHAIN);
    }
}

impl Sequencer {
    /// Makes one call on a thread that may block, unless its service is left alone for a while: then the answer is what
    /// `left_alone` makes of the reason. What a service refuses by its own rules is no failure of it; `is_gone` tells the two
    /// apart.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] where the call panicked.
    pub(crate) async fn outside<T: Send + 'static, E: Send + 'static>(
        &self,
        service: &'static str,
        call: impl FnOnce() -> Result<T, E> + Send + 'static,
        is_gone: impl FnOnce(&E) -> bool,
        left_alone: impl FnOnce(String) -> E,
    ) -> Result<Result<T, E>, ServiceError> {
        let leave = match self.breakers().of(service, CHAIN).ask() {
            Ok(leave) => leave,
            Err(alone) => return Ok(Err(left_alone(alone.to_string()))),
        };
        let joined = tokio::task::spawn_blocking(call).await;
        let answer = joined
            .map_err(|error| ServiceError::Internal(format!("a call to {service} stopped: {error}")))?;
        leave.end(!answer.as_ref().err().is_some_and(is_gone));
        Ok(answer)
    }
}
