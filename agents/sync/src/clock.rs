//! The time, as its caller has it.

use ves::TimestampMs;

/// Says what time it is. A moment does, and so does a function: what takes long asks again, since a key directory that was
/// signed meanwhile is not of the future.
pub trait Clock {
    fn now(&self) -> TimestampMs;
}

impl Clock for TimestampMs {
    fn now(&self) -> TimestampMs {
        *self
    }
}

impl<F: Fn() -> TimestampMs> Clock for F {
    fn now(&self) -> TimestampMs {
        self()
    }
}
