//! All rollouts of a service: what its log comes to.

use std::fmt;
use std::time::{Duration, SystemTime};

use mesh_core::{ServiceName, Version};

use super::{Entry, LogError, LogProblem, Record, Started};
use crate::plan::Plan;
use crate::rollout::{Action, End, Outcome, Phase, Rollout};

/// So many versions that were rolled back are remembered.
const MOST_REJECTED: usize = 32;

/// All rollouts of a service.
///
/// ```
/// use std::time::SystemTime;
/// use mesh_canary::log::{History, Request};
/// use mesh_canary::plan::Plan;
/// use mesh_canary::rollout::Action;
///
/// let mut history = History::new("orders".parse()?);
/// let request = Request::new("v1".parse()?, "v2".parse()?, Plan::default());
/// let started = history.start(request.clone(), SystemTime::now())?;
/// let error = history.start(request, SystemTime::now()).expect_err("one is under way");
/// assert_eq!(error.to_string(), "v2 of orders is being rolled out: expected its end first");
///
/// // What was to be persisted makes the same history.
/// let records = started.actions.into_iter().filter_map(|action| match action {
///     Action::Persist { position, record } => Some((position, *record)),
///     _ => None,
/// });
/// assert_eq!(History::read("orders".parse()?, records)?, history);
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    service: ServiceName,
    next: u64,
    rejected: Vec<Version>,
    stable: Option<Version>,
    rollout: Option<Rollout>,
}

/// A new version is to be rolled out.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The version that has the traffic.
    pub stable: Version,
    /// The version that is to have it.
    pub canary: Version,
    /// How it is to go.
    pub plan: Plan,
    /// Whether a version that was rolled back before is tried again.
    pub retry: bool,
}

impl Request {
    /// This version is to be rolled out.
    pub fn new(stable: Version, canary: Version, plan: Plan) -> Self {
        Self {
            stable,
            canary,
            plan,
            retry: false,
        }
    }

    /// Even if it was rolled back before.
    #[must_use]
    pub fn retry(mut self, retry: bool) -> Self {
        self.retry = retry;
        self
    }
}

/// Why a rollout does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// Another one is under way.
    Running {
        /// The service.
        service: ServiceName,
        /// The version.
        canary: Version,
    },
    /// It is the stable version already.
    IsStable(Version),
    /// It was rolled back before.
    Rejected(Version),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { service, canary } => {
                write!(
                    f,
                    "{canary} of {service} is being rolled out: expected its end first"
                )
            }
            Self::IsStable(version) => write!(f, "{version} is the stable version: expected another one"),
            Self::Rejected(version) => {
                write!(
                    f,
                    "{version} was rolled back before: say that it is to be tried again, if it is"
                )
            }
        }
    }
}

impl std::error::Error for StartError {}

impl History {
    /// Nothing has happened yet.
    pub fn new(service: ServiceName) -> Self {
        Self {
            service,
            next: 0,
            rejected: Vec::new(),
            stable: None,
            rollout: None,
        }
    }

    /// What a log comes to: its records with their positions, which may begin at any that starts a rollout.
    ///
    /// # Errors
    /// It says what cannot have been.
    pub fn read(
        service: ServiceName,
        records: impl IntoIterator<Item = (u64, Record)>,
    ) -> Result<Self, LogError> {
        let mut history = Self::new(service);
        for (position, record) in records {
            history
                .apply(position, &record)
                .map_err(|problem| LogError::new(position, problem))?;
        }
        Ok(history)
    }

    pub(super) fn apply(&mut self, position: u64, record: &Record) -> Result<(), LogProblem> {
        // Where a log begins, what is before it was forgotten.
        let expected = self.position();
        if position != expected && expected != 0 {
            return Err(LogProblem::Position(expected));
        }
        if let Entry::Started(started) = &record.entry {
            if self
                .rollout
                .as_ref()
                .is_some_and(|rollout| !rollout.phase().has_ended())
            {
                return Err(LogProblem::Running);
            }
            if started.service != self.service {
                return Err(LogProblem::OtherService(started.service.clone()));
            }
            self.settle();
            self.rejected = started.rejected.clone();
            self.stable = Some(started.stable.clone());
            self.rollout = Some(Rollout::started(position, record, started));
            self.next = position.saturating_add(1);
        } else {
            let rollout = self.rollout.as_mut().ok_or(LogProblem::NotStarted)?;
            rollout.read(position, record)?;
        }
        Ok(())
    }

    /// Starts a rollout.
    ///
    /// # Errors
    /// Nothing starts: another one is under way, the version is the stable one, or it was rolled back before.
    pub fn start(&mut self, request: Request, now: SystemTime) -> Result<Outcome, StartError> {
        if let Some(rollout) = &self.rollout
            && !rollout.phase().has_ended()
        {
            return Err(StartError::Running {
                service: self.service.clone(),
                canary: rollout.canary().clone(),
            });
        }
        if request.canary == request.stable {
            return Err(StartError::IsStable(request.canary));
        }
        self.settle();
        if self.rejected.contains(&request.canary) && !request.retry {
            return Err(StartError::Rejected(request.canary));
        }
        let mut rejected = self.rejected.clone();
        rejected.retain(|version| *version != request.canary);
        let started = Started {
            service: self.service.clone(),
            stable: request.stable,
            canary: request.canary,
            plan: request.plan,
            rejected,
        };
        let record = Record {
            at: Duration::ZERO,
            written: now.max(SystemTime::UNIX_EPOCH),
            entry: Entry::Started(Box::new(started)),
        };
        let position = self.position();
        if let Entry::Started(started) = &record.entry {
            self.rejected.clone_from(&started.rejected);
            self.stable = Some(started.stable.clone());
            self.rollout = Some(Rollout::started(position, &record, started));
        }
        self.next = position.saturating_add(1);
        Ok(Outcome {
            actions: vec![Action::Persist {
                position,
                record: Box::new(record),
            }],
            ignored: None,
        })
    }

    /// Takes over what the last rollout came to.
    fn settle(&mut self) {
        self.next = self.position();
        let (stable, rejected) = (self.stable_version().cloned(), self.all_rejected());
        self.stable = stable;
        self.rejected = rejected;
        self.rollout = None;
    }

    fn all_rejected(&self) -> Vec<Version> {
        let mut rejected = self.rejected.clone();
        if let Some(rollout) = &self.rollout
            && matches!(rollout.phase(), Phase::Ended(End::RolledBack | End::Halted))
        {
            rejected.push(rollout.canary().clone());
        }
        let surplus = rejected.len().saturating_sub(MOST_REJECTED);
        rejected.drain(..surplus);
        rejected
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The version that the last rollout left the traffic with; nothing if there was none.
    pub fn stable_version(&self) -> Option<&Version> {
        match &self.rollout {
            Some(rollout) if rollout.phase() == Phase::Ended(End::Succeeded) => Some(rollout.canary()),
            Some(rollout) => Some(rollout.stable()),
            None => self.stable.as_ref(),
        }
    }

    /// The position of the next record.
    pub fn position(&self) -> u64 {
        let after = self
            .rollout
            .as_ref()
            .map(|rollout| rollout.position().saturating_add(1));
        after.unwrap_or(0).max(self.next)
    }

    /// The last rollout, which may be over.
    pub fn rollout(&self) -> Option<&Rollout> {
        self.rollout.as_ref()
    }

    /// The last rollout, to be told what happens.
    pub fn rollout_mut(&mut self) -> Option<&mut Rollout> {
        self.rollout.as_mut()
    }
}
