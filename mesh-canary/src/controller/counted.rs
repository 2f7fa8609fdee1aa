//! Counts of both versions at a moment; two of them make a window.

use std::time::Duration;

use mesh_core::clock::WallClock;
use mesh_core::metric::{
    MetricError, MetricErrorKind, MetricQuery, MetricSource, Samples, Traffic, TrafficQuery,
};
use mesh_core::{ServiceName, Version};

use crate::analyzer::Window;
use crate::rollout::{Order, Rollout};

/// What both versions had answered at a moment.
pub(super) struct Counted {
    order: Order,
    at: Duration,
    stable: Traffic,
    canary: Traffic,
}

impl Counted {
    /// As it is now.
    pub(super) async fn now(
        metrics: &impl MetricSource,
        rollout: &Rollout,
        clock: &dyn WallClock,
    ) -> Result<Self, MetricError> {
        let limit = rollout.plan().interval();
        let both = async {
            let stable = ask(metrics, rollout.service(), rollout.stable()).await?;
            Ok((stable, ask(metrics, rollout.service(), rollout.canary()).await?))
        };
        let (stable, canary) = tokio::time::timeout(limit, both).await.unwrap_or_else(|_| {
            let late = "the numbers of both versions took longer than a window is";
            Err(MetricError::new(MetricErrorKind::Unavailable, late))
        })?;
        Ok(Self {
            order: rollout.order(),
            at: rollout.clock_at(clock.now()),
            stable,
            canary,
        })
    }

    /// At which share.
    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// What was seen between two moments; nothing if it was not counted from the same beginning.
    pub(super) fn since(&self, before: &Self) -> Option<Window> {
        let window = Window::new(before.at, self.at).with_weight(self.order.percent);
        Some(
            window
                .with_stable(self.stable.since(&before.stable)?)
                .with_canary(self.canary.since(&before.canary)?),
        )
    }
}

async fn ask(
    metrics: &impl MetricSource,
    service: &ServiceName,
    version: &Version,
) -> Result<Traffic, MetricError> {
    let query = TrafficQuery::new(service.clone(), version.clone());
    match metrics.sample(&MetricQuery::Traffic(query)).await? {
        Samples::Traffic(traffic) => Ok(traffic),
        _ => Err(MetricError::new(
            MetricErrorKind::Malformed,
            "the source answered something else than counted requests",
        )),
    }
}
