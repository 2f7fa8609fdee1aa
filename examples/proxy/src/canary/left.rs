//! Rollouts of services that the configuration does not roll out any more.

use std::sync::Arc;

use mesh_canary::controller::{Controller, ControllerError};
use mesh_canary::rollout::Input;
use mesh_canary::store::AnyStore;
use mesh_core::clock::WallClock;
use mesh_core::split::{SplitError, TrafficSplit, Weights};
use mesh_core::{EventBus, ServiceName};

use super::Numbers;
use super::refusal::what_to_do;
use crate::config::Config;
use crate::plan::ServicePlan;

/// Why a service is not rolled out, or not from the log it was.
pub(super) fn why(config: &Config, service: &ServiceName, services: &[ServicePlan]) -> String {
    let plan = services.iter().find(|plan| plan.name == *service);
    match (&config.canary, plan) {
        (None, _) => "there is no canaryDeployment".to_owned(),
        (Some(canary), _) if !canary.enabled => "canaryDeployment is not enabled".to_owned(),
        (_, None) => format!("the configuration has no service {service}"),
        (Some(canary), _)
            if canary
                .services
                .as_ref()
                .is_some_and(|listed| !listed.contains(service)) =>
        {
            format!("canaryDeployment.services does not name {service}")
        }
        (_, Some(plan)) if plan.split.is_none() => format!("{service} has no second version"),
        _ => "canaryDeployment.stateDir is another".to_owned(),
    }
}

/// Where the rollouts of a service are written that nobody looks after.
pub(super) struct Log {
    pub(super) store: AnyStore,
    pub(super) numbers: Numbers,
    pub(super) events: EventBus,
    pub(super) clock: Arc<dyn WallClock>,
}

impl Log {
    /// Ends the rollout that is under way there, if one is.
    pub(super) async fn end(self, service: ServiceName, why: String) {
        match self.ended(service.clone(), why.clone()).await {
            Ok(false) => {}
            Ok(true) => tracing::warn!(%service, "a rollout that was under way is ended: {why}"),
            Err(error) => tracing::error!(
                %service,
                "a rollout may be under way that nobody looks after ({why}): {}", what_to_do(&error)
            ),
        }
    }

    async fn ended(self, service: ServiceName, why: String) -> Result<bool, ControllerError> {
        let controller = Controller::open(service, self.store, self.numbers, Arc::new(Unrouted)).await?;
        let mut controller = controller.with_events(self.events).with_clock(self.clock);
        let is_under_way = |controller: &Controller<Numbers>| {
            let rollout = controller.history().rollout();
            rollout.is_some_and(|rollout| !rollout.phase().has_ended())
        };
        if !is_under_way(&controller) {
            return Ok(false);
        }
        // One that was being rolled back already goes on with that.
        controller.happened(Input::Left { why }).await?;
        controller.tick().await?;
        Ok(!is_under_way(&controller))
    }
}

/// Nobody shares the requests of such a service: whatever is wanted is so.
struct Unrouted;

impl TrafficSplit for Unrouted {
    fn set_weights(&self, _: &Weights) -> Result<(), SplitError> {
        Ok(())
    }
}
