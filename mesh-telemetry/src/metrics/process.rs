//! What is counted of the process as a whole.

use ::metrics::{Counter, Gauge};
use mesh_core::MeshEvent;
use mesh_core::serve::Unreadable;

use crate::registry::{Series, names};

/// The metrics of the process as a whole: [`Telemetry::process`](crate::Telemetry::process).
///
/// ```
/// use mesh_telemetry::Telemetry;
/// use mesh_telemetry::metrics::{Reload, Retry};
///
/// let telemetry = Telemetry::new();
/// telemetry.process().config_reload(Reload::Success);
/// telemetry.process().retry(Retry::BudgetExhausted);
///
/// let page = telemetry.render();
/// assert!(page.contains(r#"service_mesh_config_reloads_total{result="success"} 1"#));
/// assert!(page.contains(r#"service_mesh_config_reloads_total{result="failure"} 0"#));
/// assert!(page.contains(r#"service_mesh_retries_total{outcome="budget_exhausted"} 1"#));
/// ```
pub struct ProcessMetrics {
    reloads: Family<Reload, 2>,
    retries: Family<Retry, 6>,
    faults: Family<Fault, 4>,
    mirrored: Family<Mirrored, 6>,
    spans: Family<SpanOutcome, 3>,
    log_lines: Family<LineOutcome, 3>,
    unreadable: Family<Unreadable, { Unreadable::ALL.len() }>,
    rate_limited: Counter,
    rate_limits_alone: Counter,
    authorization_audited: Counter,
    events: Family<&'static str, { MeshEvent::KINDS.len() }>,
    build_info: Gauge,
}

/// What came of a changed configuration: the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is in force.
    Success,
    /// It was refused; the one before is still in force.
    Failure,
}

/// What came of a retry: the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It was made, and is not to be retried itself.
    Success,
    /// It was made, and would have to be retried itself.
    Failure,
    /// It was wanted, but the budget had nothing left.
    BudgetExhausted,
    /// It was wanted, but every attempt was used.
    AttemptsExhausted,
    /// It was wanted, but the request's body could not be sent again.
    NotReplayable,
    /// It was wanted, but would have begun after the deadline, or later than anybody waits.
    TooLate,
}

/// An injected fault: the label `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request was held back.
    Delay,
    /// The request was answered with a status.
    Abort,
    /// The body of the response broke off.
    Reset,
    /// The body of the response came slowly.
    Throttle,
}

/// How the copy of a request ended: the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// It was answered.
    Answered,
    /// It was not begun, since enough were under way.
    Busy,
    /// Its service read too slowly.
    Lagging,
    /// The request broke off.
    CutShort,
    /// There was no answer in time.
    TimedOut,
    /// Its service could not be asked, or did not answer.
    Failed,
}

/// What became of a span: the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOutcome {
    /// A collector has it.
    Exported,
    /// There was no room for it, since its collector is slow or away.
    Dropped,
    /// Its collector did not take it.
    Failed,
}

/// What became of a line of the access log: the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineOutcome {
    /// It is written.
    Written,
    /// There was no room for it, since whoever reads the log is slow.
    Dropped,
    /// It could not be written.
    Failed,
}

impl SpanOutcome {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Exported, "exported"),
        (Self::Dropped, "dropped"),
        (Self::Failed, "failed"),
    ];
}

impl LineOutcome {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Written, "written"),
        (Self::Dropped, "dropped"),
        (Self::Failed, "failed"),
    ];
}

impl Reload {
    const ALL: [(Self, &'static str); 2] = [(Self::Success, "success"), (Self::Failure, "failure")];
}

impl Retry {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Success, "success"),
        (Self::Failure, "failure"),
        (Self::BudgetExhausted, "budget_exhausted"),
        (Self::AttemptsExhausted, "attempts_exhausted"),
        (Self::NotReplayable, "not_replayable"),
        (Self::TooLate, "too_late"),
    ];
}

impl Fault {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Delay, "delay"),
        (Self::Abort, "abort"),
        (Self::Reset, "reset"),
        (Self::Throttle, "throttle"),
    ];
}

impl Mirrored {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Answered, "answered"),
        (Self::Busy, "busy"),
        (Self::Lagging, "lagging"),
        (Self::CutShort, "cut_short"),
        (Self::TimedOut, "timed_out"),
        (Self::Failed, "failed"),
    ];
}

/// One counter a value of a label.
struct Family<T, const N: usize>([(T, Counter); N]);

impl<T: Copy + PartialEq, const N: usize> Family<T, N> {
    fn new(series: &Series, name: &'static str, label: &'static str, values: [(T, &'static str); N]) -> Self {
        Self(values.map(|(value, text)| (value, series.counter(name, &[(label, text)]))))
    }

    fn increment(&self, value: T) {
        self.add(value, 1);
    }

    fn add(&self, value: T, count: usize) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == value) {
            counter.increment(count as u64);
        }
    }

    fn touch(&self) {
        self.0.iter().for_each(|(_, counter)| counter.increment(0));
    }
}

impl ProcessMetrics {
    pub(crate) fn new(series: &Series) -> Self {
        Self {
            reloads: Family::new(series, names::CONFIG_RELOADS, "result", Reload::ALL),
            retries: Family::new(series, names::RETRIES, "outcome", Retry::ALL),
            faults: Family::new(series, names::FAULTS, "kind", Fault::ALL),
            mirrored: Family::new(series, names::MIRRORED, "outcome", Mirrored::ALL),
            spans: Family::new(series, names::SPANS, "outcome", SpanOutcome::ALL),
            log_lines: Family::new(series, names::LOG_LINES, "outcome", LineOutcome::ALL),
            unreadable: Family::new(
                series,
                names::UNREADABLE,
                "reason",
                Unreadable::ALL.map(|why| (why, why.code())),
            ),
            rate_limited: series.counter(names::RATE_LIMITED, &[]),
            rate_limits_alone: series.counter(names::RATE_LIMITS_ALONE, &[]),
            authorization_audited: series.counter(names::AUTHORIZATION_AUDITED, &[]),
            events: Family::new(
                series,
                names::EVENTS,
                "kind",
                MeshEvent::KINDS.map(|kind| (kind, kind)),
            ),
            build_info: series.gauge(names::BUILD_INFO, &[("version", mesh_core::VERSION)]),
        }
    }

    /// Counts an attempt to load a changed configuration.
    pub fn config_reload(&self, result: Reload) {
        self.reloads.increment(result);
    }

    /// Counts a retry, made or wanted.
    pub fn retry(&self, outcome: Retry) {
        self.retries.increment(outcome);
    }

    /// Counts an injected fault.
    pub fn fault_injected(&self, kind: Fault) {
        self.faults.increment(kind);
    }

    /// Counts the copy of a request, when it is over.
    pub fn mirrored(&self, outcome: Mirrored) {
        self.mirrored.increment(outcome);
    }

    /// Counts spans.
    pub fn spans(&self, outcome: SpanOutcome, count: usize) {
        self.spans.add(outcome, count);
    }

    /// Counts lines of the access log.
    pub fn log_lines(&self, outcome: LineOutcome, count: usize) {
        self.log_lines.add(outcome, count);
    }

    /// Counts what became no request.
    pub fn unreadable(&self, why: Unreadable) {
        self.unreadable.increment(why);
    }

    /// Counts a request over its rate limit, refused or, in a dry run, not.
    pub fn rate_limited(&self) {
        self.rate_limited.increment(1);
    }

    /// Counts a request whose shared rate limit was counted by this process alone, since its store did not answer.
    pub fn rate_limit_alone(&self) {
        self.rate_limits_alone.increment(1);
    }

    /// Counts a request that its service's authorization would refuse, if it did more than audit.
    pub fn authorization_audited(&self) {
        self.authorization_audited.increment(1);
    }

    /// Counts what happened to the mesh. An [`EventLog`](crate::EventLog) does this by itself.
    pub fn event(&self, event: &MeshEvent) {
        self.events.increment(event.kind());
    }

    /// Keeps the series on the page.
    pub(crate) fn touch(&self) {
        self.reloads.touch();
        self.retries.touch();
        self.faults.touch();
        self.mirrored.touch();
        self.spans.touch();
        self.log_lines.touch();
        self.unreadable.touch();
        self.events.touch();
        self.rate_limited.increment(0);
        self.rate_limits_alone.increment(0);
        self.authorization_audited.increment(0);
        self.build_info.set(1.0);
    }
}
