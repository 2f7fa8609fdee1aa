//! What is tried again, how often and when.

use std::time::Duration;

use mesh_core::Backoff;

use super::condition::RetryOn;

/// What is tried again, how often and when. How much in all, a [`RetryBudget`](super::RetryBudget) says.
///
/// ```
/// use std::time::Duration;
/// use mesh_traffic::retry::{RetryOn, RetryPolicy};
///
/// let mut policy = RetryPolicy::default();
/// policy.per_try_timeout = Some(Duration::from_secs(1));
/// policy.on.push("429".parse()?);
/// assert_eq!(policy.attempts, 2);
/// assert!(policy.on.contains(&RetryOn::Reset));
/// # Ok::<(), mesh_traffic::retry::RetryOnError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// So many times after the first, at most. Default 2. With 0 nothing is tried again.
    pub attempts: u32,
    /// After these failures. Default: [`RetryOn::DEFAULT`].
    pub on: Vec<RetryOn>,
    /// How long one try may take until the head of its response; then it is a `timeout`, of which its endpoint is told.
    /// Default `None`: as long as all may.
    pub per_try_timeout: Option<Duration>,
    /// How long to wait before each retry. Default: full jitter up to 25 ms, then doubled up to 250 ms
    /// ([`Backoff::for_retries`]).
    pub backoff: Backoff,
    /// The longest body that is kept to be sent again, in bytes. One that outgrows it is sent on, but not again. Default
    /// 64 KiB, as Linkerd's.
    pub max_body: usize,
    /// The longest wait that an answer may ask for (`Retry-After`, `grpc-retry-pushback-ms`). An answer that asks for more
    /// is handed on. Default 10 s.
    pub max_wait: Duration,
    /// Whether every request is idempotent, whatever its method. Default `false`: those that HTTP says are, and those that
    /// are [marked](super::Idempotent). One that asks for a tunnel never is.
    pub idempotent: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: RetryOn::DEFAULT.to_vec(),
            per_try_timeout: None,
            backoff: Backoff::for_retries(),
            max_body: 64 * 1024,
            max_wait: Duration::from_secs(10),
            idempotent: false,
        }
    }
}
