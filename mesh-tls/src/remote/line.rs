//! How many certificates are signed at a time: a rate, and a line in which who has the least time left is first.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Where one stands in the line: who has less time left is first; among equals, who came first.
pub(super) type Place = (Duration, u64);

/// The rate, and who waits. Plain state: `T` is whoever waits.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// Between two, on average.
    interval: Duration,
    /// How far ahead of the average it may be.
    ahead: Duration,
    /// When as many as came would have come at the average rate.
    due: Instant,
    waiting: BTreeMap<Place, T>,
    most: usize,
    arrived: u64,
    /// Up to here, those who were sent away were told to come back.
    promised: Instant,
}

/// What becomes of who arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival<T> {
    /// Its turn is now.
    Admitted,
    /// It stands in the line.
    Waits(Place),
    /// It stands in the line, and the last of the line has to leave.
    WaitsInsteadOf(Place, T),
    /// The line is full of those who have less time left.
    SentAway,
}

/// Nobody is told to wait longer than this, however many are.
const LONGEST: Duration = Duration::from_secs(300);

impl<T> Line<T> {
    /// This many a second, this many of them at once, and this many that may wait.
    pub(super) fn new(a_second: u32, burst: u32, most: usize, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / a_second.max(1);
        Self {
            interval,
            ahead: interval * burst.max(1).saturating_sub(1),
            due: now,
            waiting: BTreeMap::new(),
            most,
            arrived: 0,
            promised: now,
        }
    }

    /// Somebody arrives who has this much time left.
    pub(super) fn arrive(&mut self, left: Duration, who: T, now: Instant) -> Arrival<T> {
        if self.waiting.is_empty() && self.take(now) {
            return Arrival::Admitted;
        }
        self.arrived += 1;
        let place = (left, self.arrived);
        if self.waiting.len() < self.most {
            self.waiting.insert(place, who);
            return Arrival::Waits(place);
        }
        match self.waiting.last_entry() {
            Some(last) if *last.key() > place => {
                let displaced = last.remove();
                self.waiting.insert(place, who);
                Arrival::WaitsInsteadOf(place, displaced)
            }
            _ => Arrival::SentAway,
        }
    }

    /// The first of the line, if its turn has come.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        if self.waiting.is_empty() || !self.take(now) {
            return None;
        }
        self.waiting.pop_first().map(|(_, who)| who)
    }

    /// When the turn of the first comes; `None` if nobody waits.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let turn = self.due.checked_sub(self.ahead).unwrap_or(self.due);
        (!self.waiting.is_empty()).then_some(turn)
    }

    /// Somebody waits no more.
    pub(super) fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// When who is sent away is to come back: each is told another moment, as many a second as can be served then.
    pub(super) fn promise(&mut self, now: Instant) -> Duration {
        let line = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let over = now + self.interval.saturating_mul(line).min(LONGEST);
        self.promised = (self.promised.max(over) + self.interval).min(now + LONGEST);
        self.promised.duration_since(now)
    }

    fn take(&mut self, now: Instant) -> bool {
        if self.due > now + self.ahead {
            return false;
        }
        self.due = self.due.max(now) + self.interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn who_has_the_least_time_left_is_first_and_displaces_who_has_the_most() {
        let now = Instant::now();
        let mut line = Line::new(1, 1, 2, now);
        assert_eq!(line.arrive(second(9), "first", now), Arrival::Admitted);
        assert!(matches!(
            line.arrive(second(90), "patient", now),
            Arrival::Waits(_)
        ));
        assert!(matches!(
            line.arrive(second(50), "second", now),
            Arrival::Waits(_)
        ));
        assert!(matches!(
            line.arrive(second(10), "urgent", now),
            Arrival::WaitsInsteadOf(_, "patient")
        ));
        assert_eq!(line.arrive(second(99), "late", now), Arrival::SentAway);
        assert_eq!(line.next(now), None);
        let turn = line.next_turn().expect("somebody waits");
        assert_eq!(line.next(turn), Some("urgent"));
        assert_eq!(line.next(turn), None);
        assert_eq!(line.next(turn + second(1)), Some("second"));
        assert_eq!(line.next_turn(), None);
    }

    #[test]
    fn those_who_are_sent_away_come_back_one_by_one() {
        let now = Instant::now();
        let mut line = Line::<()>::new(10, 1, 0, now);
        let waits: Vec<_> = (0..20).map(|_| line.promise(now)).collect();
        assert!(waits.windows(2).all(|pair| pair[1] - pair[0] == second(1) / 10));
        for _ in 0..10_000 {
            assert!(line.promise(now) <= LONGEST);
        }
    }

    proptest! {
        /// Over any time, no more than the burst and the rate let through, whoever comes when.
        #[test]
        fn no_more_are_admitted_than_the_rate_allows(
            a_second in 1_u32..50, burst in 1_u32..20, most in 0_usize..30,
            steps in proptest::collection::vec((0_u64..400, 0_u64..100), 1..200),
        ) {
            let begin = Instant::now();
            let (mut line, mut now, mut admitted) = (Line::new(a_second, burst, most, begin), begin, 0_u32);
            for (wait, left) in steps {
                now += Duration::from_millis(wait);
                while line.next(now).is_some() {
                    admitted += 1;
                }
                if line.arrive(second(left), (), now) == Arrival::Admitted {
                    admitted += 1;
                }
                prop_assert!(line.waiting.len() <= most);
                let allowed = burst as f64 + (now - begin).as_secs_f64() * f64::from(a_second) + 0.001;
                prop_assert!(f64::from(admitted) <= allowed, "{} of {}", admitted, allowed);
            }
        }
    }
}
