//! What is under way and who waits, shared by all cores.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use mesh_core::{Error, ErrorKind, duration};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::config::{ConcurrencyLimit, Kind, Waiting};
use super::gradient::{Gradient, Sample};
use super::line::{Line, Place};
use super::priority::Priority;
use super::ticket::Ticket;

/// Lets so many requests be under way at once, and others wait for their turn. Clones are one limiter.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), mesh_core::BoxError> {
/// use mesh_core::ErrorKind;
/// use mesh_traffic::concurrency::{ConcurrencyLimit, ConcurrencyLimiter, Priority, Waiting};
///
/// let limiter = ConcurrencyLimiter::new(ConcurrencyLimit::fixed(1)?, Waiting::new(1)?);
/// let ticket = limiter.acquire(Priority::Normal, None).await?;
/// assert_eq!((limiter.in_flight(), limiter.waiting()), (1, 0));
///
/// let refused = limiter.acquire(Priority::Normal, None).await.expect_err("nothing ended for 3 s");
/// assert_eq!(refused.kind(), ErrorKind::Overloaded);
/// assert_eq!(refused.message(), "waited 3s, while 1 requests were under way, the limit is 1, and 0 more waited");
///
/// drop(ticket);
/// assert!(limiter.acquire(Priority::Normal, None).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ConcurrencyLimiter(Arc<Shared>);

struct Shared {
    /// How many are under way, and below that how many wait: a [`Count`]. In one word, so that whoever ends and whoever
    /// begins to wait cannot miss each other. While somebody waits it is changed only under the lock of `line`.
    count: AtomicU64,
    limit: AtomicU32,
    waiting: Waiting,
    line: Mutex<Line<oneshot::Sender<Ticket>>>,
    gradient: Option<Mutex<Gradient>>,
    refused: AtomicU64,
}

#[derive(Clone, Copy)]
struct Count {
    in_flight: u32,
    waiting: u32,
}

/// What becomes of a request that asks for leave.
pub(super) enum Entry {
    Passed(Ticket),
    Waits(InLine),
}

impl ConcurrencyLimiter {
    /// A limiter with nothing under way.
    pub fn new(limit: ConcurrencyLimit, waiting: Waiting) -> Self {
        let (limit, gradient) = match limit.0 {
            Kind::Fixed(limit) => (limit, None),
            Kind::Adaptive(config) => {
                let gradient = Gradient::new(config, Instant::now());
                (gradient.limit(), Some(Mutex::new(gradient)))
            }
        };
        Self(Arc::new(Shared {
            count: AtomicU64::new(0),
            limit: AtomicU32::new(limit),
            waiting,
            line: Mutex::new(Line::new(waiting)),
            gradient,
            refused: AtomicU64::new(0),
        }))
    }

    /// How many may be under way at once, now.
    pub fn limit(&self) -> u32 {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// How many are under way. While an adaptive limit falls these may be more than it.
    pub fn in_flight(&self) -> u32 {
        self.0.count().in_flight
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        self.0.count().waiting
    }

    /// How many were refused, ever.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Leave for one request, as soon as there is room: until it is dropped, the request is under way. Waits in line as
    /// long as [`Waiting`] allows, and not beyond `deadline`.
    ///
    /// # Errors
    /// `overloaded`: there is no place in line, or it had to go to somebody more important, or it waited in vain.
    pub async fn acquire(&self, priority: Priority, deadline: Option<Instant>) -> Result<Ticket, Error> {
        match self.enter(priority, deadline)? {
            Entry::Passed(ticket) => Ok(ticket),
            Entry::Waits(in_line) => in_line.turn().await,
        }
    }

    pub(super) fn enter(&self, priority: Priority, deadline: Option<Instant>) -> Result<Entry, Error> {
        if self.0.pass() {
            return Ok(Entry::Passed(Ticket::new(self.clone())));
        }
        let now = Instant::now();
        let longest = now + self.0.waiting.longest();
        let until = deadline.map_or(longest, |deadline| deadline.min(longest));
        let (tell, turn) = oneshot::channel();
        let mut line = self.0.line.lock();
        if self.0.pass_or_count() {
            drop(line);
            return Ok(Entry::Passed(Ticket::new(self.clone())));
        }
        let joined = match until > now {
            true => line.join(priority, until, tell),
            false => Err(tell),
        };
        match joined {
            Ok(joined) => {
                if joined.displaced.is_some() {
                    self.0.no_longer_waiting(1);
                }
                drop(line);
                Ok(Entry::Waits(InLine {
                    limiter: self.clone(),
                    place: Some(joined.place),
                    turn,
                    since: now,
                    until,
                }))
            }
            Err(_tell) => {
                self.0.no_longer_waiting(1);
                drop(line);
                Err(self.refusal(Refusal::Full(priority)))
            }
        }
    }

    /// A request is over: the next one's turn comes.
    pub(super) fn leave(&self) {
        if self.0.leave_unless_awaited() {
            return;
        }
        let now = Instant::now();
        let mut late = Vec::new();
        let mut line = self.0.line.lock();
        // Asked again under the lock: there may be nobody any more, and more may be under way than the limit allows.
        let next = match self.0.count().in_flight <= self.limit() {
            true => line.turn(now, &mut late),
            false => None,
        };
        self.0.no_longer_waiting(late.len() + usize::from(next.is_some()));
        if next.is_none() {
            self.0.count.fetch_sub(Count::ONE_IN_FLIGHT, Ordering::AcqRel);
        }
        drop(line);
        if let Some(next) = next {
            self.give(next);
        }
    }

    /// There is a new limit: if it is higher, several have their turn.
    fn make_room(&self) {
        // The lock is taken even if nobody seems to wait: who is about to has read the old limit.
        let now = Instant::now();
        let (mut late, mut next) = (Vec::new(), Vec::new());
        let mut line = self.0.line.lock();
        while self.0.count().in_flight < self.limit() {
            let before = late.len();
            let turn = line.turn(now, &mut late);
            self.0.no_longer_waiting(late.len() - before);
            let Some(turn) = turn else { break };
            // One step: between two, somebody could pass in front.
            let passed = Count::ONE_IN_FLIGHT - Count::ONE_WAITING;
            self.0.count.fetch_add(passed, Ordering::AcqRel);
            next.push(turn);
        }
        drop(line);
        next.into_iter().for_each(|next| self.give(next));
    }

    /// Without the lock: a ticket that nobody takes any more comes back, and is the next one's.
    fn give(&self, next: oneshot::Sender<Ticket>) {
        drop(next.send(Ticket::new(self.clone())));
    }

    pub(super) fn is_adaptive(&self) -> bool {
        self.0.gradient.is_some()
    }

    /// A request that began then has been answered, and well.
    pub(super) fn answered(&self, began: Instant) {
        // While another core is at it this answer is not looked at: there are others, and nobody waits for a lock.
        let Some(mut gradient) = self.0.gradient.as_ref().and_then(Mutex::try_lock) else {
            return;
        };
        let sample = Sample {
            began,
            answered: Instant::now(),
            in_flight: self.in_flight(),
        };
        gradient.on_answer(sample, fastrand::u32(..));
        let limit = gradient.limit();
        let before = self.0.limit.swap(limit, Ordering::SeqCst);
        drop(gradient);
        if before < limit {
            self.make_room();
        }
    }

    fn refusal(&self, why: Refusal) -> Error {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        let Count { in_flight, waiting } = self.0.count();
        let limit = self.limit();
        let state =
            format!("{in_flight} requests were under way, the limit is {limit}, and {waiting} more waited");
        let waited = |time: Duration| {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            duration::display(Duration::from_millis(millis)).to_string()
        };
        let message = match why {
            Refusal::Full(priority) => {
                let places = self.0.waiting.places(priority);
                format!(
                    "{state}: there was no place in line for one of {priority} priority, which has {places} at most"
                )
            }
            Refusal::InVain(time) => format!("waited {}, while {state}", waited(time)),
            Refusal::Displaced(time) => format!(
                "waited {}, then the place in line went to a request of higher priority: {state}",
                waited(time)
            ),
        };
        Error::new(ErrorKind::Overloaded, message)
    }
}

/// Why a request was refused, after it waited so long.
#[derive(Clone, Copy)]
enum Refusal {
    Full(Priority),
    InVain(Duration),
    Displaced(Duration),
}

/// A request in line; leaves it when dropped.
pub(super) struct InLine {
    limiter: ConcurrencyLimiter,
    place: Option<Place>,
    turn: oneshot::Receiver<Ticket>,
    since: Instant,
    until: Instant,
}

impl InLine {
    pub(super) async fn turn(mut self) -> Result<Ticket, Error> {
        let turn = timeout_at(self.until, &mut self.turn).await;
        if let Ok(Ok(ticket)) = turn {
            self.place = None;
            return Ok(ticket);
        }
        // Left before it is told, so that it is not among those who wait.
        self.leave();
        let now = Instant::now();
        let waited = now.saturating_duration_since(self.since);
        let why = match now < self.until {
            true => Refusal::Displaced(waited),
            false => Refusal::InVain(waited),
        };
        Err(self.limiter.refusal(why))
    }

    fn leave(&mut self) {
        let Some(place) = self.place.take() else { return };
        let shared = &self.limiter.0;
        let mut line = shared.line.lock();
        let left = line.leave(place);
        shared.no_longer_waiting(usize::from(left.is_some()));
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Shared {
    fn count(&self) -> Count {
        Count::unpack(self.count.load(Ordering::Acquire))
    }

    fn change(&self, next: impl Fn(Count) -> Option<Count>) -> bool {
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                next(Count::unpack(now)).map(Count::pack)
            })
            .is_ok()
    }

    /// One more is under way, if there is room and nobody waits for it.
    fn pass(&self) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        self.change(|now| now.passed(limit))
    }

    /// The same, or one more waits. Under the lock of the line.
    fn pass_or_count(&self) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        let mut passed = false;
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                let now = Count::unpack(now);
                let next = now.passed(limit);
                passed = next.is_some();
                Some(next.unwrap_or_else(|| now.waits()).pack())
            })
            .is_ok_and(|_| passed)
    }

    /// One less is under way, unless somebody waits for its end.
    fn leave_unless_awaited(&self) -> bool {
        self.change(|now| {
            (now.waiting == 0).then_some(Count {
                in_flight: now.in_flight.saturating_sub(1),
                ..now
            })
        })
    }

    /// So many less wait. Under the lock of the line.
    fn no_longer_waiting(&self, count: usize) {
        self.count
            .fetch_sub(Count::ONE_WAITING * count as u64, Ordering::AcqRel);
    }
}

impl Count {
    const ONE_IN_FLIGHT: u64 = 1 << 32;
    const ONE_WAITING: u64 = 1;

    fn unpack(packed: u64) -> Self {
        Self {
            in_flight: (packed >> 32) as u32,
            waiting: packed as u32,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.in_flight) << 32 | u64::from(self.waiting)
    }

    fn passed(self, limit: u32) -> Option<Self> {
        (self.waiting == 0 && self.in_flight < limit).then(|| Self {
            in_flight: self.in_flight + 1,
            ..self
        })
    }

    fn waits(self) -> Self {
        Self {
            waiting: self.waiting + 1,
            ..self
        }
    }
}

impl fmt::Debug for ConcurrencyLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimiter")
            .field("limit", &self.limit())
            .field("in_flight", &self.in_flight())
            .field("waiting", &self.waiting())
            .field("refused", &self.refused())
            .finish()
    }
}

#[cfg(test)]
mod tests;
