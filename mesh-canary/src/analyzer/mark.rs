//! How far somebody has read evidence.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far evidence was read: [`Evidence::mark`](super::Evidence::mark) gives one, and
/// [`Evidence::since`](super::Evidence::since) what was added after it. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// How many windows there were.
    windows: usize,
    /// The number of the last one.
    last: u64,
}

/// A number for each window, which no other one has in this process. Windows are only ever added at the end, so
/// evidence with the same number at the same place is the same up to there: copies of it too, until they part.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers(Vec<u64>);

impl Numbers {
    pub(super) fn push(&mut self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.0.push(NEXT.fetch_add(1, Ordering::Relaxed));
    }

    pub(super) fn mark(&self) -> Mark {
        let windows = self.0.len();
        self.0
            .last()
            .map_or_else(Mark::default, |last| Mark { windows, last: *last })
    }

    /// How many windows there were at the mark; nothing if it is of other evidence.
    pub(super) fn before(&self, mark: Mark) -> Option<usize> {
        let Some(last) = mark.windows.checked_sub(1) else {
            return Some(0);
        };
        (self.0.get(last) == Some(&mark.last)).then_some(mark.windows)
    }
}

/// Evidence of the same windows is the same, whoever numbered them.
impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
    }
}
