//! What a CA does without being asked: fresh lists, and the steps of a rotation when they are due.
//!
//! There is no task for it: whoever waits for the next bundle wakes each second, and one of all who wake looks.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Inner;
use super::book::{Book, Told};
use super::lifecycle::Due;
use super::lists::FRESH_FOR;
use super::material::Material;
use crate::authority::{CaError, Follower, RotationStep};

/// How often somebody looks.
pub(super) const GLANCE: Duration = Duration::from_secs(1);
/// How far the wall clock may move against the one that never jumps.
const JUMP: Duration = Duration::from_secs(30);
/// How long nothing is done of itself after it jumped: whoever set it wrong has that time to see it.
const REST: Duration = Duration::from_secs(3_600);
/// More than there can be to do at once.
const MOST: usize = 8;

/// When somebody looked last, and what the clocks said then.
#[derive(Debug, Default)]
pub(super) struct Glance {
    last: Option<(Instant, SystemTime)>,
    jumped: Option<Instant>,
}

impl Glance {
    /// Whether it is time to look again; then who asked looks.
    pub(super) fn is_due(&mut self, now: Instant, wall: SystemTime) -> bool {
        let Some((last, wall_then)) = self.last else {
            self.last = Some((now, wall));
            return true;
        };
        let passed = now.saturating_duration_since(last);
        if passed < GLANCE {
            return false;
        }
        let expected = wall_then.checked_add(passed).unwrap_or(wall);
        let apart = wall
            .duration_since(expected)
            .unwrap_or_else(|back| back.duration());
        if apart > JUMP {
            tracing::warn!(
                ?apart,
                "the wall clock jumped: the CA does nothing of itself for an hour"
            );
            self.jumped = Some(now);
        }
        self.last = Some((now, wall));
        true
    }

    fn rests(&self, now: Instant) -> bool {
        let since = |jumped| now.saturating_duration_since(jumped);
        self.jumped.is_some_and(|jumped| since(jumped) < REST)
    }
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// A bundle with new lists.
    Lists,
    Rotation(Due),
}

impl Inner {
    /// Does what is due, step by step, each stored by itself.
    pub(super) fn look_after(&self) -> Result<(), CaError> {
        for _ in 0..MOST {
            let followers = self.live_followers()?;
            let (task, material) = {
                let book = self.read()?;
                let Some(task) = self.task(&book, &followers) else {
                    return Ok(());
                };
                match task {
                    Task::Rotation(Due::Step(RotationStep::Prepare)) => {
                        let design = book.record.design()?;
                        drop(book);
                        // While nobody waits for it.
                        (task, Some(Material::make(&design, self.clock.now())?))
                    }
                    _ => (task, None),
                }
            };
            let (mut book, _lock) = self.write()?;
            // Another process may have done it meanwhile.
            if self.task(&book, &followers) != Some(task) {
                continue;
            }
            self.perform(&mut book, task, material, &followers)?;
        }
        Ok(())
    }

    fn perform(
        &self,
        book: &mut Book,
        task: Task,
        material: Option<Material>,
        followers: &[(Follower, u64)],
    ) -> Result<(), CaError> {
        match (task, material) {
            (Task::Lists, _) => self.commit(book, Told::Yes, self.clock.now(), |_, _, _| Ok(())),
            (Task::Rotation(Due::Distribute), _) => self.distribute(book, followers),
            (Task::Rotation(Due::Step(_)), Some(material)) => self.prepare(book, material).map(drop),
            (Task::Rotation(Due::Step(step)), None) => self.step(book, step, false, followers).map(drop),
        }
    }

    fn task(&self, book: &Book, followers: &[(Follower, u64)]) -> Option<Task> {
        let now = self.clock.now();
        let is_behind = self.highest(book) > book.record.sequence();
        if is_behind || book.record.lists_lack(&book.index) {
            return Some(Task::Lists);
        }
        if self.glance.lock().rests(Instant::now()) {
            return None;
        }
        let due = book.record.lifecycle().due(&book.situation(now, followers));
        if let Some(due) = due {
            return Some(Task::Rotation(due));
        }
        let age = now.duration_since(book.record.listed_at());
        age.is_ok_and(|age| age >= FRESH_FOR).then_some(Task::Lists)
    }
}
