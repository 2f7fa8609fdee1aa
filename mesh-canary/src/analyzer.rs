//! Who judges a canary, on what evidence, with what verdict.

mod analysed;
mod contrast;
mod evidence;
mod finding;
mod mark;
mod memory;
mod share;
mod verdict;

pub use analysed::{Analysed, Standing};
pub use contrast::{Contrast, Interval};
pub use evidence::{Evidence, EvidenceError, EvidenceErrorKind, Observed, Stage, Window};
pub use finding::{Bound, Compared, Finding, Number};
pub use mark::Mark;
pub use memory::Memory;
pub use verdict::{Doubt, Reason, Verdict};

/// Judges a canary.
///
/// Judging is pure: it asks nobody, waits for nothing and knows no time but the evidence's. It is asked again
/// whenever a window is added, and always sees every window since the start, so it needs no memory of its own. Who asks
/// often brings one ([`judge_with`](Self::judge_with)), so that not all is weighed again each time.
/// A verdict is advice: the rollout acts on it as its configuration allows (`autoPromote`, `autoRollback`, the
/// least duration of a stage).
///
/// ```
/// use mesh_canary::{CanaryAnalyzer, Evidence, Finding, Number, Verdict};
///
/// /// Ten errors in a stage are too many, a thousand requests without them are enough.
/// struct TenErrors;
///
/// impl CanaryAnalyzer for TenErrors {
///     fn judge(&self, evidence: &Evidence) -> Verdict {
///         let canary = evidence.in_stage().canary;
///         let errors = Finding::at_most("errors", Number::Count(canary.errors), Number::Count(9));
///         match (canary.errors, canary.requests) {
///             (10.., _) => Verdict::Rollback(errors.into()),
///             (_, 1000..) => Verdict::Promote(errors.into()),
///             _ => Verdict::Continue(errors.into()),
///         }
///     }
/// }
///
/// # use std::time::Duration;
/// # use mesh_canary::{Stage, Window};
/// # use mesh_core::metric::Traffic;
/// let mut evidence = Evidence::new(Stage::new(0, 5, Duration::ZERO));
/// let canary = Traffic { requests: 200, errors: 12, ..Traffic::default() };
/// evidence.push(Window::new(Duration::ZERO, Duration::from_secs(5)).with_canary(canary))?;
///
/// let verdict = TenErrors.judge(&evidence);
/// assert_eq!(verdict.to_string(), "rollback: errors 12 (at most 9)");
/// # Ok::<(), mesh_canary::EvidenceError>(())
/// ```
pub trait CanaryAnalyzer: Send + Sync + 'static {
    /// What the evidence says. No evidence at all is [`Verdict::Continue`], never a success.
    fn judge(&self, evidence: &Evidence) -> Verdict;

    /// The same verdict, for less where most of the evidence was judged before with the same memory. Without an
    /// implementation of its own all of it is judged again.
    fn judge_with(&self, evidence: &Evidence, memory: &mut Memory) -> Verdict {
        let _ = memory;
        self.judge(evidence)
    }
}

const _: fn(&dyn CanaryAnalyzer) = |_| {};

impl<A: CanaryAnalyzer + ?Sized> CanaryAnalyzer for std::sync::Arc<A> {
    fn judge(&self, evidence: &Evidence) -> Verdict {
        (**self).judge(evidence)
    }

    fn judge_with(&self, evidence: &Evidence, memory: &mut Memory) -> Verdict {
        (**self).judge_with(evidence, memory)
    }
}

#[cfg(test)]
mod tests;
