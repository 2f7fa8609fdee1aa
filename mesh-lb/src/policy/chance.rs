//! Draws by chance that leave out what was tried.

use crate::balancer::{PickContext, Picker};

/// Something to draw slots from.
pub(super) trait Chances: Send + Sync + 'static {
    /// A slot, from 64 random bits; nothing if there is none.
    fn draw(&self, random: u64) -> Option<usize>;

    /// Every slot that can be drawn, each once, with its share of the draws.
    fn shares(&self) -> impl Iterator<Item = (usize, u32)> + Clone;
}

/// Picks by chance.
pub(super) struct ByChance<C>(pub(super) C);

/// Draws again when one was tried: most of the time a few draws find another, and what they find has the
/// right share. Only then are all looked at.
const DRAWS: usize = 4;

impl<C: Chances> Picker for ByChance<C> {
    fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
        let Self(chances) = self;
        let first = chances.draw(cx.random)?;
        if !cx.was_tried(first) {
            return Some(first);
        }
        let mut random = fastrand::Rng::with_seed(cx.random);
        for _ in 0..DRAWS {
            let slot = chances.draw(random.u64(..))?;
            if !cx.was_tried(slot) {
                return Some(slot);
            }
        }
        let untried = || chances.shares().filter(|(slot, _)| !cx.was_tried(*slot));
        let total: u64 = untried().map(|(_, share)| u64::from(share)).sum();
        let mut point = random.u64(..total.max(1));
        for (slot, share) in untried() {
            match point.checked_sub(u64::from(share)) {
                Some(rest) => point = rest,
                None => return Some(slot),
            }
        }
        Some(first)
    }
}

/// A number below `end`, from 32 random bits.
pub(super) fn below(end: usize, random: u32) -> usize {
    ((random as u64 * end as u64) >> 32) as usize
}
