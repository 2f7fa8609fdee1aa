//! The task that empties the exporter's sample queues.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// The running task of [`Telemetry::start_upkeep`](crate::Telemetry::start_upkeep). Dropped, it stops.
#[derive(Debug)]
#[must_use = "dropping it stops the task"]
pub struct Upkeep {
    task: JoinHandle<()>,
}

impl Upkeep {
    pub(crate) fn start(handle: PrometheusHandle, every: Duration) -> Self {
        Self {
            task: tokio::spawn(run(handle, every)),
        }
    }
}

#[cfg(test)]
impl Upkeep {
    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    pub(crate) fn abort_handle(&self) -> tokio::task::AbortHandle {
        self.task.abort_handle()
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(handle: PrometheusHandle, every: Duration) {
    // An interval of nothing would panic.
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let handle = handle.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || handle.run_upkeep()).await {
            tracing::warn!(%error, "upkeep of the application's histograms failed; it is tried again");
        }
    }
}
