//! What is to happen to a request, as a function of chance and time.

use std::num::NonZeroU64;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::abort::Abort;
use super::asked::Asked;
use super::chance::Chance;
use super::delay::Delay;

/// Trouble on purpose, until it ends. Each kind happens with a chance of its own, independent of the others:
///
/// | kind | what happens |
/// |---|---|
/// | delay | the request waits before it goes on |
/// | abort | it is answered with a status and goes nowhere, after its delay if it has one |
/// | reset | the body of its response breaks off |
/// | throttle | the body of its response comes slowly |
///
/// ```
/// use std::time::Duration;
/// use mesh_traffic::fault::{Abort, Chance, Delay, Faults};
/// use tokio::time::Instant;
///
/// let now = Instant::now();
/// let faults = Faults::until(now + Duration::from_secs(3600))
///     .delay(Chance::percent(10.0).expect("a share"), Delay::fixed(Duration::from_secs(1)))
///     .abort(Chance::percent(5.0).expect("a share"), Abort::new(503).expect("a status"));
///
/// let random = fastrand::u64(..);
/// let fault = faults.decide(None, random, now);
/// assert_eq!(faults.decide(None, random, now), fault, "nothing but its arguments decides");
/// assert_eq!(faults.decide(None, random, now + Duration::from_secs(3600)), None, "it is over");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    ends: Instant,
    delay: Option<(Chance, Delay)>,
    abort: Option<(Chance, Abort)>,
    reset: Option<(Chance, u64)>,
    throttle: Option<(Chance, NonZeroU64)>,
    on_request: bool,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// It waits so long.
    pub delay: Option<Duration>,
    /// It is ended so. Then it has no body to break or to slow down.
    pub abort: Option<Abort>,
    /// The body of its response breaks off after so many bytes.
    pub reset: Option<u64>,
    /// The body of its response comes with so many bytes a second.
    pub throttle: Option<NonZeroU64>,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// A request waits.
    Delay,
    /// A request is ended.
    Abort,
    /// A response breaks off.
    Reset,
    /// A response is slow.
    Throttle,
}

impl Faults {
    /// No trouble yet, and none at all from this moment on.
    pub fn until(ends: Instant) -> Self {
        Self {
            ends,
            delay: None,
            abort: None,
            reset: None,
            throttle: None,
            on_request: false,
        }
    }

    /// So many wait so long.
    #[must_use]
    pub fn delay(self, chance: Chance, delay: Delay) -> Self {
        Self {
            delay: Some((chance, delay)),
            ..self
        }
    }

    /// So many are ended so.
    #[must_use]
    pub fn abort(self, chance: Chance, abort: Abort) -> Self {
        Self {
            abort: Some((chance, abort)),
            ..self
        }
    }

    /// The responses of so many break off after so many bytes of the body. One that is shorter breaks off before the
    /// last piece of it; one without a body stays whole.
    #[must_use]
    pub fn reset(self, chance: Chance, after: u64) -> Self {
        Self {
            reset: Some((chance, after)),
            ..self
        }
    }

    /// The responses of so many come with so many bytes of the body a second.
    #[must_use]
    pub fn throttle(self, chance: Chance, bytes_per_second: NonZeroU64) -> Self {
        Self {
            throttle: Some((chance, bytes_per_second)),
            ..self
        }
    }

    /// Whether a request may [ask](Asked) for trouble of its own. Default no.
    #[must_use]
    pub fn on_request(self, allowed: bool) -> Self {
        Self {
            on_request: allowed,
            ..self
        }
    }

    /// Whether a request may ask for trouble of its own.
    pub fn is_on_request(&self) -> bool {
        self.on_request
    }

    /// When it is over.
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// What happens to a request, if anything does. `asked` is what the request asks for, if whoever sent it may ask:
    /// it takes the place of what chance would have done, one kind at a time, and is not heard unless
    /// [`on_request`](Self::on_request) allows it.
    pub fn decide(&self, asked: Option<&Asked>, random: u64, now: Instant) -> Option<Fault> {
        if now >= self.ends {
            return None;
        }
        let mut random = Rng::with_seed(random);
        // Each draws, also one that is not asked: what one kind does must not change what another does.
        let mut hits = |chance: Option<Chance>| {
            let number = random.u32(..);
            chance.is_some_and(|chance| chance.hits(number))
        };
        let [delayed, aborted, broken, slow] = [
            self.delay.map(|(chance, _)| chance),
            self.abort.map(|(chance, _)| chance),
            self.reset.map(|(chance, _)| chance),
            self.throttle.map(|(chance, _)| chance),
        ]
        .map(&mut hits);
        let mut fault = Fault {
            delay: self
                .delay
                .filter(|_| delayed)
                .map(|(_, delay)| delay.draw(&mut random)),
            abort: self.abort.filter(|_| aborted).map(|(_, abort)| abort),
            reset: self.reset.filter(|_| broken).map(|(_, after)| after),
            throttle: self.throttle.filter(|_| slow).map(|(_, rate)| rate),
        };
        if let Some(asked) = asked.filter(|_| self.on_request) {
            let Fault {
                delay,
                abort,
                reset,
                throttle,
            } = asked.fault();
            fault = Fault {
                delay: delay.or(fault.delay),
                abort: abort.or(fault.abort),
                reset: reset.or(fault.reset),
                throttle: throttle.or(fault.throttle),
            };
        }
        if fault.abort.is_some() {
            (fault.reset, fault.throttle) = (None, None);
        }
        (fault != Fault::default()).then_some(fault)
    }
}

impl Fault {
    /// The kinds of trouble it is.
    pub fn kinds(&self) -> impl Iterator<Item = FaultKind> {
        let kinds = [
            (FaultKind::Delay, self.delay.is_some()),
            (FaultKind::Abort, self.abort.is_some()),
            (FaultKind::Reset, self.reset.is_some()),
            (FaultKind::Throttle, self.throttle.is_some()),
        ];
        kinds.into_iter().filter(|(_, is)| *is).map(|(kind, _)| kind)
    }
}

#[cfg(test)]
mod tests;
