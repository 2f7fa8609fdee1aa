//! The atomics of hand-written algorithms: the usual ones here. `tests/loom.rs` compiles the same algorithms over
//! loom's, which try every order of what threads may see.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
