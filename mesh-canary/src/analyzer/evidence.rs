//! Everything that was seen of both versions since the rollout began.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::duration::display;
use mesh_core::metric::Traffic;

use super::analysed::{Analysed, Standing};
use super::mark::{Mark, Numbers};

/// What was seen of the stable version and of the canary between two moments.
///
/// Moments are durations since the rollout began, so that evidence can be stored, replayed and simulated. Only
/// traffic that was *assigned* to a version belongs here: who asked for the canary by a header or a cookie is
/// no fair sample of it. A user that had several errors, with whichever version, counts once in
/// [`Traffic::failed_users`]: for the version and in the window of the first. Windows end where the canary's share
/// changes, since a window has one share.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Window {
    /// Its beginning.
    pub from: Duration,
    /// Its end.
    pub until: Duration,
    /// The share of the traffic that the canary was to get, in percent.
    pub weight: u8,
    /// The stable version. [`Traffic::covered`] is not looked at: a window is added when it is whole.
    pub stable: Traffic,
    /// The canary.
    pub canary: Traffic,
    /// What the analysis templates had come to at its end, if there are any.
    pub analysed: Option<Analysed>,
}

impl Window {
    /// A window in which nothing was seen.
    pub fn new(from: Duration, until: Duration) -> Self {
        Self {
            from,
            until,
            ..Self::default()
        }
    }

    /// With the share that the canary was to get, in percent.
    #[must_use]
    pub fn with_weight(mut self, percent: u8) -> Self {
        self.weight = percent;
        self
    }

    /// With the requests of the stable version.
    #[must_use]
    pub fn with_stable(mut self, traffic: Traffic) -> Self {
        self.stable = traffic;
        self
    }

    /// With the requests of the canary.
    #[must_use]
    pub fn with_canary(mut self, traffic: Traffic) -> Self {
        self.canary = traffic;
        self
    }

    /// With what the analysis templates had come to at its end.
    #[must_use]
    pub fn with_analysed(mut self, analysed: impl Into<Option<Analysed>>) -> Self {
        self.analysed = analysed.into();
        self
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.until.saturating_sub(self.from)
    }

    /// Whether all that was asked about it was answered.
    pub(crate) fn is_measured(&self) -> bool {
        let standing = self.analysed.as_ref().map(|analysed| analysed.standing);
        standing != Some(Standing::Unmeasured)
    }
}

/// The stage that a rollout is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stage {
    /// Its number, the first is 0.
    pub number: usize,
    /// The share of the traffic that the canary gets, in percent.
    pub weight: u8,
    /// When it began, since the rollout did.
    pub from: Duration,
}

impl Stage {
    /// A stage.
    pub fn new(number: usize, weight: u8, from: Duration) -> Self {
        Self { number, weight, from }
    }
}

/// All windows since the rollout began, in order of time, and the stage that is to be judged.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::{Evidence, Stage, Window};
/// use mesh_core::metric::Traffic;
///
/// let s = Duration::from_secs;
/// let counted = |requests| Traffic { requests, ..Traffic::default() };
/// let mut evidence = Evidence::new(Stage::new(0, 5, s(0))).with_planned(s(1800));
/// evidence.push(Window::new(s(0), s(5)).with_weight(5).with_canary(counted(40)))?;
/// evidence.enter(Stage::new(1, 10, s(5)));
/// evidence.push(Window::new(s(5), s(10)).with_weight(10).with_canary(counted(80)))?;
///
/// assert_eq!(evidence.in_stage().canary.requests, 80);
/// assert_eq!(evidence.total().canary.requests, 120);
/// assert!(evidence.push(Window::new(s(5), s(10))).is_err()); // a window counts once
/// # Ok::<(), mesh_canary::EvidenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    stage: Stage,
    planned: Option<Duration>,
    windows: Vec<Window>,
    numbers: Numbers,
    edges: Option<Arc<[Duration]>>,
}

impl Evidence {
    /// Nothing seen yet, in this stage.
    pub fn new(stage: Stage) -> Self {
        Self {
            stage,
            planned: None,
            windows: Vec::new(),
            numbers: Numbers::default(),
            edges: None,
        }
    }

    /// With how long the whole rollout is planned to take.
    #[must_use]
    pub fn with_planned(mut self, planned: Duration) -> Self {
        self.planned = Some(planned);
        self
    }

    /// Goes to another stage. What was seen before stays evidence, but of earlier stages.
    pub fn enter(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// Adds a window.
    ///
    /// # Errors
    /// It ends before it begins, begins before the last one ended (a replayed window counts once), has more
    /// errors than requests, a weight above 100, or latencies between other edges than before. Nothing is
    /// added then.
    pub fn push(&mut self, window: Window) -> Result<(), EvidenceError> {
        let refuse = |kind| {
            Err(EvidenceError {
                kind,
                from: window.from,
                until: window.until,
            })
        };
        let after = self.elapsed();
        if window.from >= window.until {
            return refuse(EvidenceErrorKind::Empty);
        }
        if window.from < after {
            return refuse(EvidenceErrorKind::Overlap { after });
        }
        if window.weight > 100 {
            return refuse(EvidenceErrorKind::Weight {
                percent: window.weight,
            });
        }
        let mut edges = self.edges.clone();
        for arm in [&window.stable, &window.canary] {
            if arm.errors > arm.requests {
                return refuse(EvidenceErrorKind::Counts {
                    requests: arm.requests,
                    errors: arm.errors,
                });
            }
            if arm.latency.count() > 0 {
                let known = edges.get_or_insert_with(|| Arc::clone(arm.latency.edges()));
                if known != arm.latency.edges() {
                    return refuse(EvidenceErrorKind::Edges);
                }
            }
        }
        self.edges = edges;
        self.windows.push(window);
        self.numbers.push();
        Ok(())
    }

    /// The stage that is judged.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// How long the whole rollout is planned to take, if that is known.
    pub fn planned(&self) -> Option<Duration> {
        self.planned
    }

    /// Every window since the rollout began, in order of time. Between two may be a gap in which nobody
    /// counted.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The windows of the stage that is judged: those that began in it.
    pub fn stage_windows(&self) -> &[Window] {
        let first = self.windows.partition_point(|w| w.from < self.stage.from);
        &self.windows[first..]
    }

    /// How far this goes, to ask later what came [`since`](Self::since).
    ///
    /// ```
    /// use std::time::Duration;
    /// use mesh_canary::{Evidence, Stage, Window};
    ///
    /// let s = Duration::from_secs;
    /// let mut evidence = Evidence::new(Stage::new(0, 5, s(0)));
    /// evidence.push(Window::new(s(0), s(5)))?;
    /// let read = evidence.mark();
    /// evidence.push(Window::new(s(5), s(10)))?;
    /// assert_eq!(evidence.since(read), Some(&evidence.windows()[1..]));
    ///
    /// let mut other = Evidence::new(Stage::new(0, 5, s(0)));
    /// other.push(Window::new(s(0), s(5)))?;
    /// assert_eq!(other.since(read), None);
    /// # Ok::<(), mesh_canary::EvidenceError>(())
    /// ```
    pub fn mark(&self) -> Mark {
        self.numbers.mark()
    }

    /// The windows that were added after a mark; nothing if the windows before it are not those that the mark is of,
    /// or may not be. Stage and plan may have changed since then.
    pub fn since(&self, mark: Mark) -> Option<&[Window]> {
        self.windows.get(self.numbers.before(mark)?..)
    }

    /// The end of the last window: the moment up to which everything is known.
    pub fn elapsed(&self) -> Duration {
        self.windows.last().map_or(Duration::ZERO, |window| window.until)
    }

    /// All that was seen in this stage, added up.
    pub fn in_stage(&self) -> Observed {
        Observed::of(self.stage_windows())
    }

    /// All that was seen while the canary was to get this share, in percent.
    pub fn at_weight(&self, percent: u8) -> Observed {
        Observed::of(self.windows.iter().filter(|window| window.weight == percent))
    }

    /// All that was seen, added up.
    pub fn total(&self) -> Observed {
        Observed::of(&self.windows)
    }
}

/// Several windows, added up.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Observed {
    /// How long the windows are together, gaps between them left out.
    pub span: Duration,
    /// The stable version.
    pub stable: Traffic,
    /// The canary.
    pub canary: Traffic,
}

impl Observed {
    pub(crate) fn of<'w>(windows: impl IntoIterator<Item = &'w Window>) -> Self {
        let mut sum = Self::default();
        windows.into_iter().for_each(|window| sum.add(window));
        sum
    }

    /// Adds one more window of the same evidence.
    fn add(&mut self, window: &Window) {
        self.span = self.span.saturating_add(window.length());
        add(&mut self.stable, &window.stable, window.length());
        add(&mut self.canary, &window.canary, window.length());
    }
}

fn add(sum: &mut Traffic, more: &Traffic, length: Duration) {
    // Each user counts in one window, that of the first error or request, so that windows can be added up.
    let is_first = sum.covered.is_zero();
    let both = |before: Option<u64>, more: Option<u64>| match (before, more) {
        (Some(before), Some(more)) => Some(before.saturating_add(more)),
        (None, first) if is_first => first,
        _ => None,
    };
    sum.failed_users = both(sum.failed_users, more.failed_users);
    sum.users = both(sum.users, more.users);
    sum.refusals = sum.refusals.plus(more.refusals);
    sum.repeats.requests = sum.repeats.requests.saturating_add(more.repeats.requests);
    sum.repeats.errors = sum.repeats.errors.saturating_add(more.repeats.errors);
    sum.requests = sum.requests.saturating_add(more.requests);
    sum.errors = sum.errors.saturating_add(more.errors);
    sum.pinned = sum.pinned.saturating_add(more.pinned);
    sum.covered = sum.covered.saturating_add(length);
    if sum.latency.count() == 0 {
        sum.latency = more.latency.clone();
    } else if let Some(both) = sum.latency.plus(&more.latency) {
        // Nothing else is left to add: `Evidence::push` saw to it that edges differ only where nothing was counted.
        sum.latency = both;
    }
}

/// Why a window was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceError {
    kind: EvidenceErrorKind,
    from: Duration,
    until: Duration,
}

/// What is wrong with a window.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvidenceErrorKind {
    /// It ends before it begins, or at once.
    Empty,
    /// It begins before the one before it ended.
    Overlap {
        /// When that was.
        after: Duration,
    },
    /// The canary's share is more than everything.
    Weight {
        /// The share, in percent.
        percent: u8,
    },
    /// A version has more errors than requests.
    Counts {
        /// Its requests.
        requests: u64,
        /// Its errors.
        errors: u64,
    },
    /// Its latencies were counted between other edges than those before.
    Edges,
}

impl EvidenceError {
    /// What is wrong.
    pub fn kind(&self) -> &EvidenceErrorKind {
        &self.kind
    }
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the window from {} to {} ",
            display(self.from),
            display(self.until)
        )?;
        match &self.kind {
            EvidenceErrorKind::Empty => f.write_str("has no length: its end must lie after its beginning"),
            EvidenceErrorKind::Overlap { after } => {
                write!(f, "was seen already: expected one that begins at {} or later", display(*after))
            }
            EvidenceErrorKind::Weight { percent } => {
                write!(f, "gives the canary {percent}%: expected 0 to 100")
            }
            EvidenceErrorKind::Counts { requests, errors } => {
                write!(f, "has {errors} errors among {requests} requests: expected no more errors than requests")
            }
            EvidenceErrorKind::Edges => f.write_str(
                "has latencies between other edges than the windows before: begin a new rollout after the edges \
                 were changed",
            ),
        }
    }
}

impl std::error::Error for EvidenceError {}
