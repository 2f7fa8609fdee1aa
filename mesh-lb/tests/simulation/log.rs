//! What happened in a world, and what is to be known of it.

use std::ops::Range;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) served: Vec<Served>,
    /// In the order of time.
    pub(crate) sent: Vec<Sent>,
    /// How many endpoints were ejected at a time, of all clients together.
    pub(crate) ejected: Vec<(Duration, usize)>,
    /// How many attempts found no endpoint.
    pub(crate) nobody: usize,
}

/// A request that has ended.
pub(crate) struct Served {
    pub(crate) began: Duration,
    pub(crate) took: Duration,
    pub(crate) ok: bool,
}

/// An attempt.
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) client: usize,
    pub(crate) server: usize,
    pub(crate) trial: bool,
    /// Whether the server served then.
    pub(crate) well: bool,
}

/// Windows in which convergence is looked for.
const WINDOW: Duration = Duration::from_millis(500);

impl Log {
    /// The requests that began then.
    fn during(&self, when: Range<Duration>) -> impl Iterator<Item = &Served> {
        self.served
            .iter()
            .filter(move |served| when.contains(&served.began))
    }

    /// The attempts of then.
    pub(crate) fn sent(&self, when: Range<Duration>) -> impl Iterator<Item = &Sent> {
        let at = |time: Duration| self.sent.partition_point(|sent| sent.at < time);
        self.sent[at(when.start)..at(when.end)].iter()
    }

    /// How many requests in a hundred failed.
    pub(crate) fn errors(&self, when: Range<Duration>) -> f64 {
        percent(self.during(when), |served| !served.ok)
    }

    /// How many attempts in a hundred went to such a server.
    pub(crate) fn share(&self, when: Range<Duration>, of: impl Fn(usize) -> bool) -> f64 {
        percent(self.sent(when), |sent| of(sent.server))
    }

    /// 99 of a hundred of those that succeeded took no longer.
    pub(crate) fn p99(&self, when: Range<Duration>) -> Duration {
        let mut took: Vec<Duration> = self.during(when).filter(|s| s.ok).map(|s| s.took).collect();
        took.sort_unstable();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default()
    }

    /// How long after `from` it took until this held in every window.
    pub(crate) fn converged(
        &self,
        from: Duration,
        until: Duration,
        holds: impl Fn(Range<Duration>) -> bool,
    ) -> Duration {
        let mut converged = from;
        let mut at = from;
        while at + WINDOW <= until {
            if !holds(at..at + WINDOW) {
                converged = at + WINDOW;
            }
            at += WINDOW / 5;
        }
        converged - from
    }

    /// How long after `from` it took until so many endpoints were ejected, of all clients together.
    pub(crate) fn ejected(&self, from: Duration, many: usize) -> Option<Duration> {
        let later = self.ejected.iter().filter(|(at, _)| *at >= from);
        let mut enough = later.filter(|(_, ejected)| *ejected >= many);
        enough.next().map(|(at, _)| *at - from)
    }

    /// The most that a server was asked, for what it was asked on average.
    pub(crate) fn spread(&self, when: Range<Duration>, servers: usize) -> f64 {
        let mut asked = vec![0_u32; servers];
        for sent in self.sent(when) {
            asked[sent.server] += 1;
        }
        let most = asked.iter().max().copied().unwrap_or_default();
        let mean = f64::from(asked.iter().sum::<u32>()) / servers as f64;
        f64::from(most) / mean
    }
}

fn percent<T>(all: impl Iterator<Item = T>, is: impl Fn(&T) -> bool) -> f64 {
    let (mut count, mut those) = (0_u32, 0_u32);
    for one in all {
        count += 1;
        those += u32::from(is(&one));
    }
    100.0 * f64::from(those) / f64::from(count.max(1))
}
