//! How copies ended, counted.

use std::fmt;

/// How the copy of a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// It was answered, with whatever status.
    Answered,
    /// It was not begun: enough were under way.
    Busy,
    /// Its service read slower than the request brought, by more than the buffer holds.
    Lagging,
    /// The request broke off before its body was whole, or was answered before.
    CutShort,
    /// There was no answer in time.
    TimedOut,
    /// Its service could not be asked, or did not answer.
    Failed,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Answered,
        Self::Busy,
        Self::Lagging,
        Self::CutShort,
        Self::TimedOut,
        Self::Failed,
    ];

    /// `answered`, `busy`, `lagging`, `cut_short`, `timed_out` or `failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::Lagging => "lagging",
            Self::CutShort => "cut_short",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of the copies of a [`Mirror`](super::Mirror).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorCounts {
    pub(super) ended: [u64; Ending::ALL.len()],
    pub(super) in_flight: usize,
}

impl MirrorCounts {
    /// How many ended so.
    pub fn of(&self, ending: Ending) -> u64 {
        self.ended.get(ending.index()).copied().unwrap_or_default()
    }

    /// How many are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }
}
