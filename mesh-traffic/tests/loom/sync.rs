//! Loom's atomics, under the names of the usual ones.

pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
