//! Who waits, in which order: plain state.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::config::Waiting;
use super::priority::Priority;

/// Those who wait. The important go first, among equals who came first. `T` is how one is told that it is its turn.
#[derive(Debug)]
pub(super) struct Line<T> {
    waiting: Waiting,
    /// By priority, and within it by when they came: places are numbered upwards.
    lanes: [BTreeMap<u64, Waiter<T>>; 3],
    next: u64,
}

#[derive(Debug)]
struct Waiter<T> {
    /// After this its turn is of no use to it.
    until: Instant,
    token: T,
}

/// A place in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    priority: Priority,
    number: u64,
}

/// Somebody who joined.
#[derive(Debug)]
pub(super) struct Joined<T> {
    pub(super) place: Place,
    /// Who had to leave for it.
    pub(super) displaced: Option<T>,
}

impl<T> Line<T> {
    pub(super) fn new(waiting: Waiting) -> Self {
        Self {
            waiting,
            lanes: Default::default(),
            next: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(BTreeMap::len).sum()
    }

    /// Joins the line. If it is full, whoever came last of the least important leaves for somebody more important.
    /// Gives the token back if there is no place.
    pub(super) fn join(&mut self, priority: Priority, until: Instant, token: T) -> Result<Joined<T>, T> {
        if self.lanes[priority as usize].len() >= self.waiting.places(priority) as usize {
            return Err(token);
        }
        let mut displaced = None;
        if self.len() >= self.waiting.length() as usize {
            let below = &mut self.lanes[..priority as usize];
            displaced = below.iter_mut().find_map(|lane| lane.pop_last());
            if displaced.is_none() {
                return Err(token);
            }
        }
        let number = self.next;
        self.next += 1;
        self.lanes[priority as usize].insert(number, Waiter { until, token });
        Ok(Joined {
            place: Place { priority, number },
            displaced: displaced.map(|(_, waiter)| waiter.token),
        })
    }

    /// Whose turn it is. Those for whom it comes too late go to `late`.
    pub(super) fn turn(&mut self, now: Instant, late: &mut Vec<T>) -> Option<T> {
        for lane in self.lanes.iter_mut().rev() {
            while let Some((_, waiter)) = lane.pop_first() {
                if waiter.until > now {
                    return Some(waiter.token);
                }
                late.push(waiter.token);
            }
        }
        None
    }

    /// Leaves the line. `None` if its turn came, or it was displaced.
    pub(super) fn leave(&mut self, place: Place) -> Option<T> {
        let left = self.lanes[place.priority as usize].remove(&place.number);
        left.map(|waiter| waiter.token)
    }
}

#[cfg(test)]
mod tests;
