//! Waiting for something to become true.

use std::time::Duration;

use tokio::time::Instant;

/// Far longer than anything takes here that will come true at all.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until there is something to see, and returns it.
///
/// # Panics
/// If there is nothing to see within [`LIMIT`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let limit = Instant::now() + LIMIT;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < limit, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
