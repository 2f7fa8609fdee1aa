//! shim
use std::sync::atomic::*;
#[derive(Debug, Default)]
pub(crate) struct SwapCounts(AtomicU64, AtomicU64);
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) succeeded: u64,
    pub(crate) requests: u64,
}
impl SwapCounts {
    pub(crate) fn record(&self, ok: bool) {
        if ok {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        self.1.fetch_add(1, Ordering::Relaxed);
    }
    pub(crate) fn take(&self) -> Counts {
        Counts {
            succeeded: self.0.swap(0, Ordering::Relaxed),
            requests: self.1.swap(0, Ordering::Relaxed),
        }
    }
}
pub(crate) struct Census {
    pub(crate) total: usize,
    pub(crate) ejected: usize,
    pub(crate) available: usize,
    pub(crate) candidate_is_available: bool,
    pub(crate) max_percent: u8,
}
pub(crate) fn may_eject(c: Census) -> bool {
    let left = c.available - usize::from(c.candidate_is_available);
    left > 0 && (c.ejected == 0 || (c.ejected + 1) * 100 <= c.total * usize::from(c.max_percent))
}
/// x
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SuccessRate;
pub(crate) struct Found {
    pub(crate) at: usize,
}
impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
impl SuccessRate {
    pub(crate) fn outliers(&self, _c: &[Counts]) -> Vec<Found> {
        vec![]
    }
}
