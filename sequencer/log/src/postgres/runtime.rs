//! The thread that drives the connections, and waiting for them from threads of others.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

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

    /// Waits for an answer on this thread, which must be one that may block.
    pub fn wait<T>(&self, at_most: Duration, answer: impl Future<Output = T>) -> Result<T, TimedOut> {
        self.handle.block_on(async { tokio::time::timeout(at_most, answer).await.map_err(|_| TimedOut) })
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
