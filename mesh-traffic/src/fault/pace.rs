//! How fast a slow body comes.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

/// How often a piece is sent, about: a twentieth of a second.
const PIECES_A_SECOND: u64 = 20;

/// Sends so many bytes a second, in even pieces.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: NonZeroU64,
    /// Before this, nothing goes.
    next: Instant,
}

impl Pace {
    pub(super) fn new(bytes_per_second: NonZeroU64, now: Instant) -> Self {
        Self {
            bytes_per_second,
            next: now,
        }
    }

    /// How many of so many bytes go at once.
    pub(super) fn piece(&self, bytes: usize) -> usize {
        let most = (self.bytes_per_second.get() / PIECES_A_SECOND).max(1);
        bytes.min(usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// So many bytes went. Returns when the next may go.
    pub(super) fn sent(&mut self, bytes: usize, now: Instant) -> Instant {
        let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        let takes = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        // What was not sent while nobody asked is lost: it comes no faster later.
        let begun = self.next.max(now);
        self.next = begun.checked_add(takes).unwrap_or(begun);
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_bytes_go_in_a_second() {
        for rate in [1, 7, 19, 1_000, 1_000_000] {
            let start = Instant::now();
            let mut pace = Pace::new(NonZeroU64::new(rate).expect("a rate"), start);
            let (mut left, mut now) = (3 * usize::try_from(rate).expect("small"), start);
            while left > 0 {
                let piece = pace.piece(left);
                left -= piece;
                now = pace.sent(piece, now);
            }
            let took = now.duration_since(start).as_secs_f64();
            assert!((took - 3.0).abs() < 0.001, "{rate} a second: {took}");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(NonZeroU64::new(100).expect("a rate"), start);
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.sent(5, later), later + Duration::from_millis(50));
    }
}
