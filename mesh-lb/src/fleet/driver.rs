//! The drivers of a fleet: what awaits, so that nothing else has to.

use std::time::Duration;

use mesh_core::backoff::Backoff;
use mesh_core::discovery::Discover;
use tokio::time::{Instant, sleep, sleep_until};

use super::Fleet;

/// How much rest a roster gets for each endpoint before the next: what follows from it, new pickers on every
/// core, takes a time that grows with their number.
const REST_AN_ENDPOINT: Duration = Duration::from_micros(20);

impl Fleet {
    /// Follows discovery for ever. Drop the future to end it.
    ///
    /// When discovery fails the last endpoints stay in use; it is asked again after a while.
    pub async fn follow(&self, mut discover: impl Discover) {
        let mut rng = fastrand::Rng::new();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        loop {
            match discover.next().await {
                Ok(set) => {
                    backoff.reset();
                    self.update(set, Instant::now());
                }
                Err(error) => {
                    let wait = backoff.next(&mut rng);
                    let service = self.service();
                    tracing::warn!(%service, %error, ?wait, "discovery failed; the last endpoints stay in use");
                    sleep(wait).await;
                }
            }
        }
    }

    /// Keeps the roster as fresh as what is known, for ever. Drop the future to end it. Without it endpoints
    /// are ejected and tried again all the same; but nobody starts slowly, nobody is compared, and there is no
    /// panic.
    pub async fn keep(&self) {
        loop {
            let next = self.tick(Instant::now());
            let endpoints = u32::try_from(self.0.state.lock().set.endpoints.len()).unwrap_or(u32::MAX);
            let rest = REST_AN_ENDPOINT.saturating_mul(endpoints);
            sleep(rest.min(Duration::from_secs(1))).await;
            let timer = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                () = self.0.stale.notified() => {}
            }
        }
    }
}
