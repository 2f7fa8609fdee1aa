//! The broom: looks at the connections at rest now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::pool::EndpointPool;
use super::settings::PoolSettings;

/// How often connections at rest are looked at. A connection the endpoint closed is noticed at its next use
/// anyway; the broom keeps sockets from lingering half closed when there is no next use.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// The task that sweeps. It ends when this is dropped.
pub(crate) struct Sweeper(JoinHandle<()>);

impl Sweeper {
    /// Sweeps the pools that `pools` names, each time anew.
    pub(crate) fn start(
        settings: &PoolSettings,
        pools: impl Fn() -> Option<Vec<Arc<EndpointPool>>> + Send + 'static,
    ) -> Self {
        let max_rest = u32::try_from(settings.idle_timeout.as_millis().div_ceil(INTERVAL.as_millis()))
            .unwrap_or(u32::MAX);
        // A task may look at a bounded number of sockets a turn, and the others would seem to be open: not this
        // one.
        Self(tokio::spawn(tokio::task::unconstrained(async move {
            let mut tick = tokio::time::interval(INTERVAL);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let Some(pools) = pools() else { return };
                for pool in pools {
                    pool.sweep(max_rest);
                }
            }
        })))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
