//! The thread that drives the connections, and waiting for them from threads of others.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

/// One thread that reads and writes the sockets of a store. The callers wait on their own.
pub(super) struct Driver {
    runtime: Option<Runtime>,
    handle: Handle,
}

/// No answer came in time.
pub(super) struct TimedOut;

impl Driver {
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_io()
            .enable_time()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    /// Waits for an answer on this thread.
    ///
    /// A thread that runs asynchronous work should not come here, since it keeps others waiting; on a runtime with
    /// several threads it hands its other work over first.
    pub fn wait<T>(&self, at_most: Duration, answer: impl Future<Output = T>) -> Result<T, TimedOut> {
        let wait = || {
            self.handle.block_on(async { tokio::time::timeout(at_most, answer).await.map_err(|_| TimedOut) })
        };
        match Handle::try_current() {
            Ok(around) if around.runtime_flavor() != RuntimeFlavor::CurrentThread => {
                tokio::task::block_in_place(wait)
            }
            _ => wait(),
        }
    }

    /// Whether [`Driver::wait`] is allowed here for sure.
    pub fn may_wait() -> bool {
        Handle::try_current().map_or(true, |around| around.runtime_flavor() != RuntimeFlavor::CurrentThread)
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Driver {
    /// The last holder may be dropped where one must not wait.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
