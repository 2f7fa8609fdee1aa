//! The time of day. Only what is dated needs it: certificates, and faults that end at a date.
//!
//! Everything else is measured with [`tokio::time::Instant`], which never jumps and which tests can advance.

use std::fmt::Debug;
use std::time::SystemTime;

/// Tells the time of day.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use mesh_core::clock::{SystemClock, WallClock};
///
/// fn is_expired(not_after: SystemTime, clock: &dyn WallClock) -> bool {
///     clock.now() > not_after
/// }
///
/// assert!(is_expired(SystemTime::UNIX_EPOCH, &SystemClock));
/// assert!(!is_expired(SystemTime::now() + Duration::from_secs(3600), &SystemClock));
/// ```
pub trait WallClock: Debug + Send + Sync + 'static {
    /// The time now. It may jump in both directions.
    fn now(&self) -> SystemTime;
}

const _: fn(&dyn WallClock) = |_| {};

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
