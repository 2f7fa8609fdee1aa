//! Values that live as long as somebody uses them, and a while longer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) struct Leases<K, V> {
    held: HashMap<K, Lease<V>>,
}

struct Lease<V> {
    value: Arc<V>,
    /// Since which sweep nobody but this table has held it.
    unused_since: Option<Instant>,
}

impl<K: Eq + Hash, V> Leases<K, V> {
    pub(crate) fn new() -> Self {
        Self { held: HashMap::new() }
    }

    /// The value of `key`, made now if there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce(&K) -> V) -> Arc<V> {
        let lease = self.held.entry(key).or_insert_with_key(|key| Lease {
            value: Arc::new(make(key)),
            unused_since: None,
        });
        lease.unused_since = None;
        Arc::clone(&lease.value)
    }

    /// Forgets what no sweep of the last `retention` has found in use. A value is forgotten by the second
    /// sweep that finds it unused at the earliest, so nothing has happened to it since the first.
    pub(crate) fn sweep(&mut self, now: Instant, retention: Duration) {
        self.held.retain(|_, lease| {
            // Nobody can take it meanwhile: the table alone holds it, and we hold the table.
            if Arc::strong_count(&lease.value) > 1 {
                lease.unused_since = None;
                return true;
            }
            match lease.unused_since {
                Some(since) => now.saturating_duration_since(since) < retention,
                None => {
                    lease.unused_since = Some(now);
                    true
                }
            }
        });
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.held.values().map(|lease| &*lease.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETENTION: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_held_is_never_forgotten() {
        let (mut leases, now) = (Leases::new(), Instant::now());
        let held = leases.get_or_insert_with("a", |_| 1);
        for minutes in 0..10 {
            leases.sweep(now + Duration::from_secs(60 * minutes), RETENTION);
        }
        assert_eq!(leases.values().collect::<Vec<_>>(), [&1]);
        drop(held);
    }

    #[test]
    fn what_nobody_holds_is_forgotten_after_the_retention() {
        let (mut leases, now) = (Leases::new(), Instant::now());
        drop(leases.get_or_insert_with("a", |_| 1));
        leases.sweep(now, RETENTION);
        leases.sweep(now + RETENTION - Duration::from_millis(1), RETENTION);
        assert_eq!(leases.values().count(), 1);
        leases.sweep(now + RETENTION, RETENTION);
        assert_eq!(leases.values().count(), 0);
    }

    #[test]
    fn what_is_asked_for_again_in_time_is_the_same_value() {
        let (mut leases, now) = (Leases::new(), Instant::now());
        drop(leases.get_or_insert_with("a", |_| 1));
        leases.sweep(now, RETENTION);
        assert_eq!(*leases.get_or_insert_with("a", |_| 2), 1);
        leases.sweep(now + RETENTION, RETENTION);
        assert_eq!(
            leases.values().count(),
            1,
            "asking for it has begun its time anew"
        );
    }

    #[test]
    fn even_without_retention_the_first_sweep_forgets_nothing() {
        let (mut leases, now) = (Leases::new(), Instant::now());
        drop(leases.get_or_insert_with("a", |_| 1));
        leases.sweep(now, Duration::ZERO);
        assert_eq!(leases.values().count(), 1);
        leases.sweep(now, Duration::ZERO);
        assert_eq!(leases.values().count(), 0);
    }
}
