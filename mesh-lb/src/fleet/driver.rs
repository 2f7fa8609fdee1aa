//! The drivers of a fleet: what awaits, so that nothing else has to.

use std::time::Duration;

use mesh_core::EndpointId;
use mesh_core::discovery::Discover;
use tokio::time::{Instant, sleep, sleep_until};

use super::Fleet;
use crate::discovery::Follower;
use crate::health::{Change, HealthCheck, HealthDriver, HealthSettings, HealthSink};

/// How much rest a roster gets for each endpoint before the next: what follows from it, new pickers on every
/// core, takes a time that grows with their number.
const REST_AN_ENDPOINT: Duration = Duration::from_micros(20);

impl Fleet {
    /// Follows discovery for ever, and tells of it. Drop the future to end it.
    ///
    /// When discovery fails the last endpoints stay in use; it is asked again after a while. What is known of it
    /// is in [`discovery`](Fleet::discovery).
    pub async fn follow(&self, discover: impl Discover) {
        let events = self.0.events.clone().unwrap_or_default();
        let follower = Follower::start(self.service().clone(), discover, &events);
        let mut watch = follower.watch();
        self.0.state.lock().discovery = Some(follower.clone());
        let _followed = Followed {
            fleet: self,
            follower,
        };
        // Its failures are told where it is followed.
        while let Ok(set) = watch.next().await {
            self.update(set, Instant::now());
        }
    }

    /// Waits until there is an endpoint, taking requests or not: what a start waits for. Cancel-safe.
    pub async fn known(&self) {
        let mut roster = self.roster();
        while self.endpoints().endpoints.is_empty() {
            roster.changed().await;
        }
    }

    /// Asks the endpoints whether they are well, for as long as what is answered lives.
    /// What new ones are taken for, the policy says.
    pub fn check_health(&self, check: impl HealthCheck, mut settings: HealthSettings) -> HealthDriver {
        settings.new_endpoints = self.policy().new_endpoints;
        HealthDriver::start(check, self.0.endpoints.subscribe(), settings, self.clone())
    }

    /// Keeps the roster as fresh as what is known, for ever. Drop the future to end it. Without it, and without
    /// calls of [`tick`](Fleet::tick), endpoints that fail are ejected all the same, but nobody is tried again, starts
    /// slowly or is compared, and there is no panic.
    pub async fn keep(&self) {
        loop {
            let next = self.tick(Instant::now());
            let endpoints = u32::try_from(self.0.state.lock().set.endpoints.len()).unwrap_or(u32::MAX);
            let rest = REST_AN_ENDPOINT.saturating_mul(endpoints);
            sleep(rest.min(Duration::from_secs(1))).await;
            let timer = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                () = self.0.stale.notified() => {}
            }
        }
    }
}

/// A discovery that is followed, and no longer asked when this is dropped.
struct Followed<'a> {
    fleet: &'a Fleet,
    follower: Follower,
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        let mut state = self.fleet.0.state.lock();
        // Another may have taken its place.
        state.discovery.take_if(|known| known.is_same_as(&self.follower));
    }
}

impl HealthSink for Fleet {
    fn last_success(&self, endpoint: &EndpointId) -> Option<Instant> {
        Self::last_success(self, endpoint)
    }

    fn report(&self, endpoint: &EndpointId, change: Change) {
        let health = match change.healthy {
            true => Ok(()),
            false => Err(change.cause),
        };
        Self::report(self, endpoint, health, Instant::now());
    }

    fn confirm(&self, endpoint: &EndpointId, healthy: bool) {
        self.confirm_health(endpoint, healthy, Instant::now());
    }
}

#[cfg(test)]
mod tests;
