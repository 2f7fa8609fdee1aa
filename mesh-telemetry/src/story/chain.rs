//! A list that grows at its end, by a shared reference and without a lock.

use std::iter::successors;
use std::sync::OnceLock;

/// Its first entry needs no memory of its own.
pub(super) struct Chain<T> {
    value: OnceLock<T>,
    next: OnceLock<Box<Self>>,
}

impl<T> Default for Chain<T> {
    fn default() -> Self {
        Self {
            value: OnceLock::new(),
            next: OnceLock::new(),
        }
    }
}

impl<T> Chain<T> {
    pub(super) fn push(&self, mut value: T) {
        let mut link = self;
        while let Err(taken) = link.value.set(value) {
            value = taken;
            link = link.next.get_or_init(Box::default);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let links = successors(Some(self), |link| link.next.get().map(|next| &**next));
        links.map_while(|link| link.value.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_order() {
        let chain = Chain::default();
        assert_eq!(chain.iter().next(), None);
        for n in 0..5 {
            chain.push(n);
            assert!(chain.iter().copied().eq(0..=n));
        }
    }

    #[test]
    fn what_several_threads_push_is_all_there() {
        let chain = Chain::default();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let chain = &chain;
                scope.spawn(move || (0..100).for_each(|m| chain.push(n * 100 + m)));
            }
        });
        let mut all: Vec<i32> = chain.iter().copied().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..400));
    }
}
