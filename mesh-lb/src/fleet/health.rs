//! What health checks say about endpoints.

use std::borrow::Cow;

use mesh_core::EndpointId;
use mesh_core::event::MeshEvent;
use tokio::time::Instant;

use super::Fleet;

impl Fleet {
    /// What a health check found out about an endpoint that was otherwise before. An endpoint that is gone is
    /// ignored.
    pub fn report(&self, endpoint: &EndpointId, health: Result<(), Cow<'static, str>>, now: Instant) {
        match health {
            Ok(()) => self.hear(endpoint, true, "its checks succeed".into(), now),
            Err(cause) => self.hear(endpoint, false, cause, now),
        }
    }

    /// Nobody asks the endpoints any more: those that were found unhealthy take requests again.
    pub fn forget_health(&self, now: Instant) {
        let state = self.0.state.lock();
        let unhealthy = state.members.values().filter(|member| member.is_unhealthy());
        let unhealthy: Vec<_> = unhealthy.map(|member| member.id().clone()).collect();
        drop(state);
        for endpoint in unhealthy {
            self.hear(&endpoint, true, "nobody asks it any more".into(), now);
        }
    }

    /// Health checks still think this of an endpoint: told again if it left and came back in between.
    pub(super) fn confirm_health(&self, endpoint: &EndpointId, healthy: bool, now: Instant) {
        let state = self.0.state.lock();
        let forgotten = state
            .members
            .get(endpoint)
            .is_some_and(|member| member.is_unhealthy() == healthy);
        drop(state);
        if forgotten {
            let health = match healthy {
                true => Ok(()),
                false => Err("its checks still fail".into()),
            };
            self.report(endpoint, health, now);
        }
    }

    fn hear(&self, endpoint: &EndpointId, healthy: bool, cause: Cow<'static, str>, now: Instant) {
        let mut state = self.0.state.lock();
        let Some(member) = state.members.get(endpoint) else {
            return;
        };
        match healthy {
            true => member.set_healthy(now),
            false => member.set_unhealthy(cause.clone(), now),
        }
        self.make_stale(&mut state);
        drop(state);
        self.emit(|| MeshEvent::HealthChanged {
            service: self.0.service.clone(),
            endpoint: endpoint.clone(),
            healthy,
            cause,
        });
    }
}
