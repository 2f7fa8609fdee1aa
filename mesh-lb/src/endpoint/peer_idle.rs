//! How long an endpoint lets a connection rest before it closes it: learned, so that no request is sent on one
//! that is about to be closed.
//!
//! A server that closes after a second, asked once a second, closes under the request. A request that may be
//! sent again is, others are lost; so what the endpoint says (`Keep-Alive: timeout=5`) is believed, and what it does
//! is remembered. Until then a request that cannot be sent again is trusted to a connection only that has rested for less
//! than others have outlived.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A connection that was closed sooner was closed for another reason.
const SHORTEST: Duration = Duration::from_millis(200);

/// A rest that no server ends, as far as is known: the shortest that are configured are of a second.
const HARMLESS: Duration = Duration::from_millis(500);

/// What was seen is believed for this long; the endpoint may be configured anew.
const BELIEVED_FOR: Duration = Duration::from_secs(300);

/// How long connections to one endpoint may rest.
pub(crate) struct PeerIdle {
    /// In milliseconds; 0: nothing is known. A tenth below what the endpoint does.
    limit: AtomicU64,
    /// What it said last, in milliseconds; 0: nothing. Written under the lock.
    told: AtomicU64,
    /// The longest rest after which a connection was still open, in milliseconds.
    outlived: AtomicU64,
    slow: Mutex<Slow>,
}

#[derive(Default)]
struct Slow {
    /// After how long it closed a connection last.
    closed: Option<Duration>,
    /// After how long it closes them, seen twice, and when that was.
    seen: Option<(Duration, Instant)>,
}

impl PeerIdle {
    pub(crate) fn new() -> Self {
        Self {
            limit: AtomicU64::new(0),
            told: AtomicU64::new(0),
            outlived: AtomicU64::new(0),
            slow: Mutex::default(),
        }
    }

    /// Whether a connection that has rested for so long will not be closed under the next request.
    pub(crate) fn is_safe(&self, rest: Duration) -> bool {
        match self.limit.load(Ordering::Relaxed) {
            0 => true,
            limit => rest < Duration::from_millis(limit),
        }
    }

    /// The same, for a request that is lost if it is closed: others have rested for longer, with a tenth to spare, or the
    /// endpoint says that they may.
    pub(crate) fn is_proven(&self, rest: Duration) -> bool {
        let outlived = Duration::from_millis(self.outlived.load(Ordering::Relaxed));
        self.is_safe(rest)
            && (rest < HARMLESS || rest < outlived - outlived / 10 || self.told.load(Ordering::Relaxed) > 0)
    }

    /// A connection that has rested for so long is still open.
    pub(crate) fn open_after(&self, rest: Duration) {
        let rest = in_millis(rest);
        // Nearly always another one has rested for longer.
        if self.outlived.load(Ordering::Relaxed) < rest {
            self.outlived.fetch_max(rest, Ordering::Relaxed);
        }
    }

    /// A connection was closed that had rested for so long at least: none may be expected to rest for longer.
    pub(crate) fn closed_beyond(&self, rest: Duration) {
        self.outlived.fetch_min(in_millis(rest), Ordering::Relaxed);
    }

    /// What a response says about its connection.
    pub(crate) fn read(&self, headers: &HeaderMap) {
        let Some(told) = headers.get("keep-alive").and_then(timeout_of) else {
            return;
        };
        let told = in_millis(told);
        // Nearly always it says what it said before.
        if self.told.load(Ordering::Relaxed) != told {
            let slow = self.slow.lock();
            self.told.store(told, Ordering::Relaxed);
            self.decide(&slow);
        }
    }

    /// The endpoint closed a connection that had rested for so long.
    pub(crate) fn closed_after(&self, rest: Duration, now: Instant) {
        self.closed_beyond(rest);
        if rest < SHORTEST {
            return;
        }
        let mut slow = self.slow.lock();
        let alike = |other: Duration| rest.abs_diff(other) <= rest.max(other) / 4;
        // Once may be chance: a restart closes all it has.
        if let Some(before) = slow.closed.filter(|before| alike(*before)) {
            slow.seen = Some((rest.min(before), now));
            self.decide(&slow);
        }
        slow.closed = Some(rest);
    }

    /// Forgets what was seen long ago.
    pub(crate) fn forget(&self, now: Instant) {
        if self.limit.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut slow = self.slow.lock();
        if slow
            .seen
            .is_some_and(|(_, at)| now.saturating_duration_since(at) > BELIEVED_FOR)
        {
            slow.seen = None;
            slow.closed = None;
            self.decide(&slow);
        }
    }

    fn decide(&self, slow: &Slow) {
        let seen = slow.seen.map(|(seen, _)| seen);
        let told = Some(self.told.load(Ordering::Relaxed)).filter(|told| *told > 0);
        let limit = told.map(Duration::from_millis).into_iter().chain(seen).min();
        let millis = limit.map_or(0, |limit| {
            let before = limit - limit / 10;
            in_millis(before).max(1)
        });
        self.limit.store(millis, Ordering::Relaxed);
    }
}

fn in_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The `timeout` of a `Keep-Alive` field, in whole seconds.
fn timeout_of(value: &http::HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.split(',').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then_some(value)
    })?;
    let seconds: u32 = seconds.trim().trim_matches('"').parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn says(value: &str) -> PeerIdle {
        let idle = PeerIdle::new();
        let mut headers = HeaderMap::new();
        headers.insert("keep-alive", value.parse().expect("a value"));
        idle.read(&headers);
        idle
    }

    #[test]
    fn what_an_endpoint_says_is_believed_with_a_tenth_to_spare() {
        for value in ["timeout=5", "max=100, Timeout = 5", "timeout=\"5\""] {
            let idle = says(value);
            assert!(idle.is_safe(4 * SECOND), "{value}");
            assert!(!idle.is_safe(5 * SECOND - SECOND / 2), "{value}");
        }
        for nothing in ["", "timeout", "timeout=0", "timeout=-1", "timeout=x", "max=5"] {
            assert!(says(nothing).is_safe(1000 * SECOND), "{nothing}");
        }
    }

    #[test]
    fn what_it_did_twice_is_remembered_for_five_minutes() {
        let (idle, now) = (PeerIdle::new(), Instant::now());
        idle.closed_after(SECOND, now);
        assert!(idle.is_safe(2 * SECOND), "once may be chance");
        idle.closed_after(SECOND + SECOND / 50, now);
        assert!(idle.is_safe(SECOND / 2));
        assert!(!idle.is_safe(SECOND - SECOND / 20));
        idle.forget(now + 299 * SECOND);
        assert!(!idle.is_safe(SECOND));
        idle.forget(now + 301 * SECOND);
        assert!(idle.is_safe(SECOND));
    }

    #[test]
    fn a_request_that_cannot_be_sent_again_is_trusted_to_what_others_have_outlived() {
        let idle = PeerIdle::new();
        assert!(idle.is_safe(SECOND), "nothing is known against it");
        assert!(!idle.is_proven(SECOND), "nor for it");
        assert!(idle.is_proven(SECOND / 4), "no server closes so soon");
        idle.open_after(SECOND);
        assert!(idle.is_proven(SECOND - SECOND / 5));
        assert!(!idle.is_proven(SECOND - SECOND / 20), "a tenth to spare");
        idle.open_after(30 * SECOND);
        assert!(idle.is_proven(26 * SECOND));
        idle.closed_beyond(4 * SECOND);
        assert!(
            !idle.is_proven(4 * SECOND),
            "a restarted one lets them rest for less"
        );
        assert!(idle.is_proven(3 * SECOND));
        assert!(says("timeout=5").is_proven(4 * SECOND));
        assert!(!says("timeout=5").is_proven(5 * SECOND));
    }

    #[test]
    fn a_restart_that_closes_everything_at_once_teaches_nothing() {
        let (idle, now) = (PeerIdle::new(), Instant::now());
        for rest in [
            3 * SECOND,
            SECOND,
            20 * SECOND,
            SECOND / 10,
            SECOND / 10,
            9 * SECOND,
        ] {
            idle.closed_after(rest, now);
        }
        assert!(idle.is_safe(100 * SECOND));
    }
}
