//! One lookup for a whole process, and what is known of it.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::discovery::{Discover, DiscoverError};
use mesh_core::{Backoff, EndpointSet, EventBus, Live, MeshEvent, Publisher, ServiceName, live};
use tokio::time::{Instant, sleep};

use super::task::Task;

/// Follows the endpoints of one service, for every balancer of it in the process.
///
/// A source that fails is asked again with back-off, 30 s at most; the last good set stays in use. Whether it
/// works is in the [`status`](Self::status), and told as [`MeshEvent::DiscoverySynced`] and
/// [`MeshEvent::DiscoveryStale`] when it changes. The task ends with the last clone and the last watch.
///
/// ```
/// use mesh_core::{Endpoint, EndpointSet, EventBus, Live};
/// use mesh_lb::Balance;
/// use mesh_lb::discovery::{Follower, LiveWatch};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let source = LiveWatch::following(Live::fixed(EndpointSet::new([Endpoint::new("10.0.0.7:3001".parse()?)])));
/// let orders = Follower::start("orders".parse()?, source, &EventBus::default());
/// assert_eq!(orders.known().await.endpoints.len(), 1);
/// assert!(orders.status().synced);
///
/// let balance = Balance::builder("orders".parse()?).discover(orders.watch()).start();
/// # let _ = balance;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Follower {
    status: Live<DiscoveryStatus>,
    task: Arc<Task>,
}

impl Follower {
    /// Starts to follow. Must be called within a tokio runtime, one that lives as long as the follower: the
    /// balancers may run on others.
    pub fn start(service: ServiceName, discover: impl Discover, events: &EventBus) -> Self {
        let (publisher, status) = live(DiscoveryStatus::default());
        let task = Task::start(follow(service, discover, publisher, events.clone()));
        Self {
            status,
            task: Arc::new(task),
        }
    }

    /// Whether both are one.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.task, &other.task)
    }

    /// What is known now.
    pub fn status(&self) -> Arc<DiscoveryStatus> {
        self.status.load_full()
    }

    /// Waits until endpoints are known, and answers with them: what readiness waits for.
    pub async fn known(&self) -> Arc<EndpointSet> {
        let mut status = self.status.clone();
        loop {
            if let Some(set) = &status.load().endpoints {
                return Arc::clone(set);
            }
            status.changed().await;
        }
    }

    /// Follows along, for one balancer. It waits until endpoints are known, and never fails: that is told
    /// here, once.
    pub fn watch(&self) -> FollowerWatch {
        FollowerWatch {
            status: self.status.clone(),
            told: None,
            _task: Arc::clone(&self.task),
        }
    }
}

/// Follows what a [`Follower`] knows.
#[derive(Debug)]
pub struct FollowerWatch {
    status: Live<DiscoveryStatus>,
    told: Option<Arc<EndpointSet>>,
    _task: Arc<Task>,
}

impl Discover for FollowerWatch {
    async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
        loop {
            let known = self.status.load().endpoints.clone();
            if let Some(set) = known
                && self.told.as_ref().is_none_or(|told| !Arc::ptr_eq(told, &set))
            {
                self.told = Some(Arc::clone(&set));
                return Ok(EndpointSet::clone(&set));
            }
            self.status.changed().await;
        }
    }
}

/// What discovery knows of a service.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DiscoveryStatus {
    /// The last good set; `None` until there is one.
    pub endpoints: Option<Arc<EndpointSet>>,
    /// Whether the newest answer was a good one.
    pub synced: bool,
    /// When the last good answer came, whether it changed anything or not.
    pub last_good: Option<Instant>,
    /// What is wrong, while something is.
    pub error: Option<Arc<str>>,
}

impl DiscoveryStatus {
    /// How old the last good answer is; nothing if there was none.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.last_good
            .map(|last_good| now.saturating_duration_since(last_good))
    }

    /// What is known after a good answer. An unchanged set stays the same allocation, so that watches can tell.
    fn after_set(&self, set: EndpointSet, now: Instant) -> Self {
        let endpoints = match &self.endpoints {
            Some(known) if **known == set => Arc::clone(known),
            _ => Arc::new(set),
        };
        Self {
            endpoints: Some(endpoints),
            synced: true,
            last_good: Some(now),
            error: None,
        }
    }

    fn after_error(&self, error: String) -> Self {
        Self {
            synced: false,
            error: Some(error.into()),
            ..self.clone()
        }
    }

    /// What there is to tell of the way from this state to that one.
    fn event_towards(&self, after: &Self, service: &ServiceName, now: Instant) -> Option<MeshEvent> {
        match (&after.error, &after.endpoints) {
            (None, Some(set)) if !self.synced => Some(MeshEvent::DiscoverySynced {
                service: service.clone(),
                endpoints: set.endpoints.len(),
            }),
            (Some(cause), _) if self.error.is_none() => Some(MeshEvent::DiscoveryStale {
                service: service.clone(),
                age: after.age(now),
                cause: cause.to_string().into(),
            }),
            _ => None,
        }
    }
}

async fn follow(
    service: ServiceName,
    mut discover: impl Discover,
    status: Publisher<DiscoveryStatus>,
    events: EventBus,
) {
    let mut random = fastrand::Rng::new();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
    loop {
        let answer = discover.next().await;
        let (now, before) = (Instant::now(), status.current());
        let (after, wait) = match answer {
            Ok(set) => {
                backoff.reset();
                (before.after_set(set, now), None)
            }
            Err(error) => {
                let error = with_causes(&error);
                if before.error.as_deref() != Some(&*error) {
                    tracing::warn!(%service, %error, "discovery fails; the last endpoints stay in use");
                }
                (before.after_error(error), Some(backoff.next(&mut random)))
            }
        };
        let event = before.event_towards(&after, &service, now);
        // Who is told of the change finds it made.
        status.publish(after);
        if let Some(event) = event {
            events.emit(event);
        }
        if let Some(wait) = wait {
            sleep(wait).await;
        }
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _infallible = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
