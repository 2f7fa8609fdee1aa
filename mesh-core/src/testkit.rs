//! Tools for tests: services that do what a script says, a clock that stands still, seeds, and hostile input.
//!
//! ```
//! use mesh_core::testkit::{NotReadyClone, Scripted, Step};
//! use tower_service::Service;
//! # use std::future::poll_fn;
//!
//! # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
//! let (service, calls) = Scripted::new([Step::Answer("hello"), Step::Fail("gone")]);
//! let mut service = NotReadyClone::new(service);
//! for request in [1, 2] {
//!     poll_fn(|cx| service.poll_ready(cx)).await.expect("ready");
//!     let answer = service.call(request).await;
//!     assert_eq!(answer, if request == 1 { Ok("hello") } else { Err("gone") });
//! }
//! assert_eq!(calls.requests(), [1, 2]);
//! # });
//! ```

use std::future::Future;

mod clock;
pub mod mutate;
mod ready;
mod scripted;

pub use clock::ManualClock;
pub use ready::NotReadyClone;
pub use scripted::{Calls, Scripted, ScriptedFuture, Step};

/// A random source that gives the same numbers in every run.
///
/// ```
/// use mesh_core::testkit::seeded_rng;
///
/// assert_eq!(seeded_rng(7).u64(..), seeded_rng(7).u64(..));
/// assert_ne!(seeded_rng(7).u64(..), seeded_rng(8).u64(..));
/// ```
pub fn seeded_rng(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

/// Checks that a future is no larger than `limit` bytes. Futures grow by what they hold across an `await`, and
/// every layer adds; a test that pins the size notices when one doubles.
///
/// ```
/// let buffer = [0_u8; 64];
/// let future = async move { buffer.len() };
/// mesh_core::testkit::assert_future_size(&future, 128);
/// ```
///
/// # Panics
/// If it is larger.
#[track_caller]
pub fn assert_future_size<F: Future>(future: &F, limit: usize) {
    let size = size_of_val(future);
    assert!(
        size <= limit,
        "the future takes {size} bytes: expected at most {limit}"
    );
}

#[cfg(test)]
mod tests;
