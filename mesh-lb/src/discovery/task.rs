//! A task that belongs to its handle.

use std::future::Future;

use tokio::task::JoinHandle;

/// Ends its task when it is dropped.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn start(run: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(run))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
