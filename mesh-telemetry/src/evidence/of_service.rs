//! The attempts at one service, by version.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Response;
use http_body::Body;
use mesh_core::error::CanaryError;
use mesh_core::metric::Traffic;
use mesh_core::outcome::Answered;
use mesh_core::{Assignment, Live, Outcome, Publisher, Version, live};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::counts::{Counts, Ended, ToldApart};
use super::record::{EvidenceBody, EvidenceRecord};

/// What requests to endpoints without a version count as.
const STABLE: &str = "stable";

const MAX_VERSIONS: usize = 64;

/// Where attempts at one service are counted: [`Evidence::service`](super::Evidence::service).
pub struct ServiceEvidence {
    since: Instant,
    versions: Live<Vec<Arc<Counts>>>,
    publisher: Mutex<Publisher<Vec<Arc<Counts>>>>,
    tells_users: AtomicBool,
    users: ToldApart,
}

impl ServiceEvidence {
    pub(super) fn new(since: Instant) -> Self {
        let (publisher, versions) = live(Vec::new());
        Self {
            since,
            versions,
            publisher: Mutex::new(publisher),
            tells_users: AtomicBool::new(false),
            users: ToldApart::default(),
        }
    }

    /// Makes room for these versions, so that the first attempt at one of them does not have to.
    pub fn know<'v>(&self, versions: impl IntoIterator<Item = Option<&'v Version>>) {
        for version in versions {
            self.counts(version);
        }
    }

    /// Whether users stay with a version, so that they are counted, and those with an error
    /// ([`Traffic::users`], [`Traffic::failed_users`]). Default: they do not.
    pub fn set_users_stay(&self, stay: bool) {
        self.tells_users.store(stay, Ordering::Relaxed);
    }

    /// An attempt is over that had no answer, or whose answer is not looked at any further. `version` is that of its
    /// endpoint, or, if there was none, the one it was meant for; without one: `stable`. `took` is the time to the head
    /// of the answer, or to its end without one.
    pub fn ended(&self, version: Option<&Version>, assignment: Assignment, outcome: Outcome, took: Duration) {
        if let Some(failed) = is_error(outcome) {
            let ended = Ended {
                assignment,
                failed,
                refused: match outcome {
                    Outcome::Refused(kind) => Some(kind),
                    _ => None,
                },
                took,
            };
            self.counts(version).count(ended, &self.users, Instant::now());
        }
    }

    /// An attempt was answered: it is counted when the body of what this returns is over.
    pub fn answered<B: Body>(
        self: &Arc<Self>,
        version: Option<&Version>,
        assignment: Assignment,
        took: Duration,
        response: Response<B>,
    ) -> Response<EvidenceBody<B>> {
        let record = self.record(version, assignment, took, Answered::by(&response));
        response.map(|body| EvidenceBody::new(body, record))
    }

    /// The same, and the caller has what this returns told of the body's end.
    pub fn record(
        self: &Arc<Self>,
        version: Option<&Version>,
        assignment: Assignment,
        took: Duration,
        answered: Answered,
    ) -> EvidenceRecord {
        match answered {
            Answered::Ended(outcome) => {
                self.ended(version, assignment, outcome, took);
                EvidenceRecord::default()
            }
            open @ Answered::Open { .. } => {
                let counts = self.counts(version);
                EvidenceRecord::new(Arc::clone(self), counts, open, assignment, took)
            }
        }
    }

    pub(super) fn over(&self, counts: &Counts, ended: Ended, at: Instant) {
        counts.count(ended, &self.users, at);
    }

    pub(super) fn forget_users(&self) {
        self.users.seen.forget();
        self.users.failed.forget();
    }

    /// Nothing if nothing was counted of this version.
    pub(super) fn traffic(&self, version: &str, window: Option<Duration>, now: Instant) -> Option<Traffic> {
        let versions = self.versions.load();
        let counts = versions.iter().find(|counts| counts.is(version))?;
        Some(counts.traffic(window, self.tells_users.load(Ordering::Relaxed), now))
    }

    /// The counts of a version, made now if there are none.
    fn counts(&self, version: Option<&Version>) -> Arc<Counts> {
        let name = version.map_or(STABLE, Version::as_str);
        let known = self
            .versions
            .load()
            .iter()
            .find(|counts| counts.is(name))
            .cloned();
        known.unwrap_or_else(|| self.first(version))
    }

    #[cold]
    fn first(&self, version: Option<&Version>) -> Arc<Counts> {
        let publisher = self.publisher.lock();
        let mut versions = publisher.current().to_vec();
        let name = version.map_or_else(|| STABLE.into(), Version::shared);
        if let Some(known) = versions.iter().find(|counts| counts.is(&name)) {
            return Arc::clone(known);
        }
        if versions.len() >= MAX_VERSIONS {
            let places = 0..versions.len();
            if let Some(silent) = places.min_by_key(|place| versions[*place].last_second()) {
                versions.remove(silent);
            }
        }
        let made = Arc::new(Counts::new(name, self.since, Instant::now()));
        versions.push(Arc::clone(&made));
        publisher.publish(versions);
        made
    }
}

/// Whether it is an error of the version; nothing if it says nothing about it.
pub(super) fn is_error(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Success => Some(false),
        Outcome::Failure => Some(true),
        // What a version is meant for is counted for it: for each version alike, or it would be no comparison.
        Outcome::Refused(kind) => match kind.canary_error() {
            CanaryError::Yes | CanaryError::IfMeantForCanary => Some(true),
            CanaryError::No => None,
        },
    }
}

impl fmt::Debug for ServiceEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceEvidence")
            .field("versions", &self.versions.load().len())
            .finish_non_exhaustive()
    }
}
