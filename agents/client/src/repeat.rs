//! How often a request is sent, whichever way it goes.

use std::thread;
use std::time::Duration;

use crate::ClientError;

/// A request is sent at most this often.
const ATTEMPTS_MAX: u32 = 6;
/// Pause before the second attempt; it doubles from one to the next.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// A server that asks for a longer pause than this is believed to be down.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Why an attempt did not succeed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub error: ClientError,
    /// The same request may succeed in a moment.
    pub is_passing: bool,
    /// Pause that the server asks for.
    pub retry_after: Option<Duration>,
}

impl Failed {
    /// Nothing but another request would help. Over REST the status says so, and [`Failed::refused`] reads it.
    #[cfg(any(feature = "grpc", test))]
    pub fn lasting(error: ClientError) -> Self {
        Self { error, is_passing: false, retry_after: None }
    }

    /// The server said no.
    pub fn refused(error: ClientError, retry_after: Option<Duration>) -> Self {
        let is_passing = matches!(error, ClientError::Refused { status: 429 | 503 | 504, .. });
        Self { error, is_passing, retry_after }
    }

    /// Of a request that can be sent in parts: what was cut off is not sent again as it was.
    pub fn of_parts(self) -> Self {
        Self { is_passing: self.is_passing && !self.error.is_cut(), ..self }
    }
}

/// Sends until there is an answer, or sending again helps no more. Every request of this crate may be repeated: the server
/// answers a repetition like the first.
pub(crate) fn repeat<T>(mut send: impl FnMut() -> Result<T, Failed>) -> Result<T, ClientError> {
    let mut pause = PAUSE_FIRST;
    for attempt in 1.. {
        match send() {
            Ok(answer) => return Ok(answer),
            Err(failed) => {
                let asked = failed.retry_after.unwrap_or(pause);
                if attempt == ATTEMPTS_MAX || !failed.is_passing || asked > PAUSE_MAX {
                    return Err(failed.error);
                }
                thread::sleep(asked);
            }
        }
        pause *= 2;
    }
    unreachable!("the last attempt returns")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> ClientError {
        ClientError::Refused { status, code: "X".to_owned(), message: String::new(), request_id: None }
    }

    #[test]
    fn what_may_pass_is_sent_again_and_what_will_not_is_not() {
        let attempts = |failed: fn() -> Failed, good_at: u32| {
            let mut count = 0;
            let done = repeat(|| {
                count += 1;
                if count == good_at { Ok(()) } else { Err(failed()) }
            });
            (done.is_ok(), count)
        };
        assert_eq!(attempts(|| Failed::refused(refused(503), Some(Duration::from_millis(1))), 3), (true, 3));
        assert_eq!(
            attempts(|| Failed::refused(refused(429), Some(Duration::from_millis(1))), 99),
            (false, 6)
        );
        assert_eq!(attempts(|| Failed::refused(refused(400), None), 3), (false, 1));
        assert_eq!(attempts(|| Failed::refused(refused(503), Some(Duration::from_secs(60))), 3), (false, 1));
        assert_eq!(attempts(|| Failed::lasting(refused(503)), 3), (false, 1));
    }
}
