//! Asks the endpoints of a service, and tells what changed.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::duration::display;
use mesh_core::{EndpointId, EndpointSet, Live};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::agenda::{Agenda, Opinion, Question};
use super::schedule::Schedule;
use super::state::{Change, NewEndpoints, Thresholds};
use super::{HealthCheck, HealthError};

/// How the endpoints of a service are asked.
///
/// ```
/// use std::time::Duration;
/// use mesh_lb::health::{HealthSettings, Schedule};
///
/// let mut settings = HealthSettings::default();
/// settings.schedule = Schedule::new(Duration::from_secs(5));
/// assert_eq!(settings.at_once, 64);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthSettings {
    /// When they are asked. Default: every 30 s.
    pub schedule: Schedule,
    /// How many answers in a row count. Default: 2 good ones, 3 bad ones.
    pub thresholds: Thresholds,
    /// What a new endpoint is taken for. Default: healthy.
    pub new_endpoints: NewEndpoints,
    /// How many are asked at the same time, at least one. Default 64.
    pub at_once: usize,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            thresholds: Thresholds::default(),
            new_endpoints: NewEndpoints::default(),
            at_once: 64,
        }
    }
}

/// What is told about the health of endpoints, and what the traffic knows of it.
///
/// ```
/// use mesh_core::EndpointId;
/// use mesh_lb::health::{Change, HealthSink};
/// use tokio::time::Instant;
///
/// /// Writes down who is ill.
/// struct Notes(parking_lot::Mutex<Vec<EndpointId>>);
///
/// impl HealthSink for Notes {
///     fn last_success(&self, _: &EndpointId) -> Option<Instant> {
///         None // always ask
///     }
///
///     fn report(&self, endpoint: &EndpointId, change: Change) {
///         let mut ill = self.0.lock();
///         ill.retain(|other| other != endpoint);
///         if !change.healthy {
///             ill.push(endpoint.clone());
///         }
///     }
/// }
/// ```
pub trait HealthSink: Send + Sync + 'static {
    /// When a request to this endpoint last succeeded. Questions that are answered by that are not asked.
    fn last_success(&self, endpoint: &EndpointId) -> Option<Instant>;

    /// Takes note of a new opinion of an endpoint. An endpoint nothing was told of is what
    /// [`HealthSettings::new_endpoints`] says, also if it left and is back.
    fn report(&self, endpoint: &EndpointId, change: Change);

    /// Told after an answer that changed nothing: this is still thought of the endpoint. Only a sink that forgets
    /// by itself needs it, as one that drops an endpoint which is back before the driver saw it leave. Default:
    /// does nothing.
    fn confirm(&self, endpoint: &EndpointId, healthy: bool) {
        let _ = (endpoint, healthy);
    }
}

const _: fn(&dyn HealthSink) = |_| {};

/// Asks the endpoints of one service for as long as it lives: one task for all of them, which holds a list of who
/// is due. Dropped, it stops at once, and so do the questions under way.
///
/// A new set is followed as soon as it is published: endpoints that are new in it are asked, endpoints that have
/// left are forgotten. Those that discovery calls not ready are not asked. A check that gives no answer within
/// the interval, or panics, gave a bad one.
///
/// ```
/// use mesh_core::{Endpoint, EndpointId, EndpointSet, Live};
/// use mesh_lb::health::{Change, HealthDriver, HealthSettings, HealthSink, TcpCheck};
/// use tokio::sync::mpsc;
/// use tokio::time::Instant;
///
/// struct Tell(mpsc::UnboundedSender<(EndpointId, bool)>);
///
/// impl HealthSink for Tell {
///     fn last_success(&self, _: &EndpointId) -> Option<Instant> {
///         None
///     }
///
///     fn report(&self, endpoint: &EndpointId, change: Change) {
///         self.0.send((endpoint.clone(), change.healthy)).ok();
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let nobody = Endpoint::new("127.0.0.1:1".parse()?);
/// let endpoints = Live::fixed(EndpointSet::new([nobody.clone()]));
/// let (tell, mut told) = mpsc::unbounded_channel();
/// let driver = HealthDriver::start(TcpCheck::default(), endpoints, HealthSettings::default(), Tell(tell));
/// assert_eq!(told.recv().await, Some((nobody.id().clone(), false)));
///
/// drop(driver);
/// assert_eq!(told.recv().await, None);
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "dropped, it stops asking"]
pub struct HealthDriver(JoinHandle<()>);

impl HealthDriver {
    /// Starts to ask, on the runtime this is called on.
    pub fn start(
        check: impl HealthCheck,
        endpoints: Live<EndpointSet>,
        settings: HealthSettings,
        sink: impl HealthSink,
    ) -> Self {
        let asking = Asking {
            check: Arc::new(check),
            sink,
            at_once: settings.at_once.max(1),
            limit: settings.schedule.interval(),
            agenda: Agenda::new(settings),
            random: fastrand::Rng::new(),
            answers: JoinSet::new(),
            under_way: HashMap::new(),
        };
        Self(tokio::spawn(asking.run(endpoints)))
    }
}

impl Drop for HealthDriver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Asking<C, S> {
    check: Arc<C>,
    sink: S,
    agenda: Agenda,
    random: fastrand::Rng,
    at_once: usize,
    limit: Duration,
    answers: JoinSet<Result<(), HealthError>>,
    under_way: HashMap<Id, Question>,
}

impl<C: HealthCheck, S: HealthSink> Asking<C, S> {
    async fn run(mut self, mut endpoints: Live<EndpointSet>) {
        self.follow(&endpoints);
        loop {
            self.ask();
            let idle = self.answers.len() < self.at_once;
            let due = self.agenda.next_due().filter(|_| idle);
            tokio::select! {
                () = endpoints.changed() => self.follow(&endpoints),
                Some(ended) = self.answers.join_next_with_id() => self.note(ended),
                () = until(due) => {}
            }
        }
    }

    fn follow(&mut self, endpoints: &Live<EndpointSet>) {
        self.agenda
            .follow(&endpoints.load(), Instant::now(), &mut self.random);
    }

    fn ask(&mut self) {
        let now = Instant::now();
        while self.answers.len() < self.at_once {
            let sink = &self.sink;
            let last_success = |id: &EndpointId| sink.last_success(id);
            let Some(question) = self.agenda.question(now, &mut self.random, last_success) else {
                return;
            };
            let (check, limit) = (Arc::clone(&self.check), self.limit);
            let endpoint = Arc::clone(&question.endpoint);
            let answer = self.answers.spawn(async move {
                timeout(limit, check.check(&endpoint)).await.unwrap_or_else(|_| {
                    let (id, limit) = (endpoint.id(), display(limit));
                    Err(HealthError::new(format!(
                        "the check of {id} did not end within {limit}"
                    )))
                })
            });
            self.under_way.insert(answer.id(), question);
        }
    }

    fn note(&mut self, ended: Result<(Id, Result<(), HealthError>), JoinError>) {
        let (task, answer) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(panicked(error))),
        };
        let Some(question) = self.under_way.remove(&task) else {
            return;
        };
        let id = question.endpoint.id();
        match self
            .agenda
            .answer(&question, answer, Instant::now(), &mut self.random)
        {
            Some(Opinion::Changed(change)) => self.sink.report(id, change),
            Some(Opinion::Same { healthy }) => self.sink.confirm(id, healthy),
            None => {}
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn panicked(error: JoinError) -> HealthError {
    let text = error.try_into_panic().ok().and_then(|panic| text_of(&*panic));
    HealthError::new(format!(
        "the check panicked: {}",
        text.as_deref().unwrap_or("without a text")
    ))
}

fn text_of(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
}

#[cfg(test)]
mod tests;
