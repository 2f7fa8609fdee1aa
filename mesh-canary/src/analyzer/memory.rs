//! What an analyzer made of evidence before.

use std::any::Any;
use std::fmt;

/// What an analyzer made of evidence that it was asked about before, so that it need not weigh all of it again.
///
/// One memory goes with one rollout. It never changes a verdict, only what the verdict costs: it need not be stored,
/// may be empty at any time, and an analyzer that finds what it did not put there, or what belongs to other evidence,
/// begins anew.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::judge::Sequential;
/// use mesh_canary::{CanaryAnalyzer, Evidence, Memory, Stage, Window};
///
/// let s = Duration::from_secs;
/// let (judge, mut memory) = (Sequential::default(), Memory::default());
/// let mut evidence = Evidence::new(Stage::new(0, 5, s(0)));
/// for at in (0..1800).step_by(5) {
///     evidence.push(Window::new(s(at), s(at + 5)).with_weight(5))?;
///     let verdict = judge.judge_with(&evidence, &mut memory); // weighs one window
///     assert_eq!(verdict.word(), "continue");
/// }
/// assert_eq!(judge.judge_with(&evidence, &mut memory), judge.judge(&evidence));
/// # Ok::<(), mesh_canary::EvidenceError>(())
/// ```
#[derive(Default)]
pub struct Memory {
    kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Memory {
    /// Takes out what was kept; nothing if there is nothing of this type. The memory is empty afterwards.
    pub fn take<T: Any + Send + Sync>(&mut self) -> Option<Box<T>> {
        self.kept.take()?.downcast().ok()
    }

    /// Keeps something for the next time, instead of what was there.
    pub fn keep<T: Any + Send + Sync>(&mut self, made: Box<T>) {
        self.kept = Some(made);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("empty", &self.kept.is_none())
            .finish()
    }
}
