//! An endpoint that serves: some requests at once, a few more in a queue, each for a time that chance says.

use std::collections::VecDeque;
use std::time::Duration;

/// What an endpoint does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Serves,
    /// Answers 503 at once.
    Fails,
    /// Takes requests and never answers.
    Hangs,
    /// Refuses connections.
    Refuses,
    /// Answers no connection at all.
    Silent,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) mode: Mode,
    /// How long it serves a request on average; the times are exponentially distributed.
    pub(crate) mean: Duration,
    /// How many requests it serves at once.
    pub(crate) workers: usize,
    /// How many wait beyond that. Others are answered 503.
    pub(crate) queue: usize,
    /// A process that has just started serves more slowly, until it has run for a while.
    pub(crate) cold: Option<Cold>,
    /// Attempts.
    pub(crate) serving: Vec<usize>,
    pub(crate) waiting: VecDeque<usize>,
}

/// How a process is at its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cold {
    pub(crate) until: Duration,
    /// Serving takes so many times as long.
    pub(crate) factor: u32,
}

/// What came of a request that reached it.
pub(crate) enum Taken {
    /// It is served now, for so long.
    Serves(Duration),
    Waits,
    Rejected,
}

impl Default for Server {
    /// 16 at once, 5 ms each, as many again waiting: 3200 requests a second.
    fn default() -> Self {
        Self {
            mode: Mode::Serves,
            mean: Duration::from_millis(5),
            workers: 16,
            queue: 16,
            cold: None,
            serving: Vec::new(),
            waiting: VecDeque::new(),
        }
    }
}

impl Server {
    /// So many times slower than another.
    pub(crate) fn slower(mut self, factor: u32) -> Self {
        self.mean *= factor;
        self
    }

    pub(crate) fn take(&mut self, attempt: usize, now: Duration, random: &mut fastrand::Rng) -> Taken {
        if self.serving.len() < self.workers {
            self.serving.push(attempt);
            return Taken::Serves(self.time(now, random));
        }
        if self.waiting.len() < self.queue {
            self.waiting.push_back(attempt);
            return Taken::Waits;
        }
        Taken::Rejected
    }

    /// It served an attempt: which one it serves instead, and for how long.
    pub(crate) fn served(
        &mut self,
        attempt: usize,
        now: Duration,
        random: &mut fastrand::Rng,
    ) -> Option<(usize, Duration)> {
        self.serving.retain(|other| *other != attempt);
        let next = self.waiting.pop_front()?;
        self.serving.push(next);
        Some((next, self.time(now, random)))
    }

    /// All that it has is lost.
    pub(crate) fn lose(&mut self) -> Vec<usize> {
        self.serving.drain(..).chain(self.waiting.drain(..)).collect()
    }

    fn time(&self, now: Duration, random: &mut fastrand::Rng) -> Duration {
        let factor = self
            .cold
            .filter(|cold| now < cold.until)
            .map_or(1, |cold| cold.factor);
        exponential(self.mean * factor, random)
    }
}

/// A time that is exponentially distributed.
pub(crate) fn exponential(mean: Duration, random: &mut fastrand::Rng) -> Duration {
    mean.mul_f64(-(1.0 - random.f64()).ln())
}
