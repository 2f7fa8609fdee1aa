//! Redis, as the place where limits are counted.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};

use crate::limit::quota::Quota;

const GCRA: &str = include_str!("gcra.lua");

/// A Redis server in which replicas count limits together. Clones share one connection, which is made when it is
/// needed first, and again when it was lost. Needs Redis 5 or later: its script asks for the time.
///
/// ```no_run
/// use mesh_core::EventBus;
/// use mesh_traffic::limit::{RedisStore, SharedKey, SharedLimiter};
/// use mesh_traffic::{Quota, RateLimiter, RequestKey};
/// use tokio::time::Instant;
///
/// # async fn example() -> Result<(), mesh_core::BoxError> {
/// let store = RedisStore::new("redis://127.0.0.1:6379")?;
/// let local = RateLimiter::builder(Quota::per_second(1000)?).replicas(3).build();
/// let limiter = SharedLimiter::new("orders", local, store, EventBus::default());
/// let key = SharedKey::of(Some(RequestKey::text("acme")));
/// limiter.check(&key, Instant::now()).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    client: Client,
    timeout: Duration,
    script: Script,
    connection: OnceLock<ConnectionManager>,
}

/// Why Redis cannot be asked, or did not answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum RedisError {
    /// It did not answer in time.
    Late {
        /// How long was waited.
        after: Duration,
    },
    /// It, or the way to it, said no.
    Failed(Box<redis::RedisError>),
}

impl RedisStore {
    /// How long an answer may take unless told otherwise: 20 ms.
    pub const TIMEOUT: Duration = Duration::from_millis(20);

    /// The server at this URL, as `redis://user:password@host:6379/0`. Nothing is connected yet.
    ///
    /// # Errors
    /// It is no URL of Redis.
    pub fn new(url: &str) -> Result<Self, RedisError> {
        Self::with_timeout(url, Self::TIMEOUT)
    }

    /// The same, with so long for an answer.
    ///
    /// # Errors
    /// It is no URL of Redis.
    pub fn with_timeout(url: &str, timeout: Duration) -> Result<Self, RedisError> {
        Ok(Self(Arc::new(Inner {
            client: Client::open(url)?,
            timeout,
            script: Script::new(GCRA),
            connection: OnceLock::new(),
        })))
    }

    /// Counts a request; returns how long it came too early, 0 if it passes.
    pub(super) async fn check(
        &self,
        limit: &str,
        key: Option<&[u8; 20]>,
        quota: Quota,
    ) -> Result<Duration, RedisError> {
        let inner = &*self.0;
        let takes = quota.interval().as_secs_f64() * 1e6;
        let mut call = inner.script.key(name(limit, key));
        call.arg(takes).arg(takes * f64::from(quota.burst_size()));
        let mut connection = self.connection()?;
        let asked = call.invoke_async::<u64>(&mut connection);
        match tokio::time::timeout(inner.timeout, asked).await {
            Ok(answer) => Ok(Duration::from_micros(answer?)),
            Err(_) => Err(RedisError::Late { after: inner.timeout }),
        }
    }

    fn connection(&self) -> Result<ConnectionManager, RedisError> {
        if let Some(connection) = self.0.connection.get() {
            return Ok(connection.clone());
        }
        // Longer than a request waits: a slow connection is to come up all the same.
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(Duration::from_secs(1)))
            .set_number_of_retries(0);
        let made = ConnectionManager::new_lazy_with_config(self.0.client.clone(), config)?;
        // Whoever was first made the one that all use.
        Ok(self.0.connection.get_or_init(|| made).clone())
    }
}

/// Where the number of a key is kept.
fn name(limit: &str, key: Option<&[u8; 20]>) -> String {
    let mut name = String::with_capacity(limit.len() + 52);
    name.push_str("mesh:limit:");
    name.push_str(limit);
    name.push(':');
    match key {
        None => name.push('-'),
        Some(hash) => hash.iter().for_each(|byte| {
            let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
            name.extend([digit(byte >> 4), digit(byte & 15)]);
        }),
    }
    name
}

impl From<redis::RedisError> for RedisError {
    fn from(error: redis::RedisError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { after } => {
                write!(
                    f,
                    "Redis did not answer within {}",
                    mesh_core::duration::display(*after)
                )
            }
            Self::Failed(error) => write!(f, "Redis: {error}"),
        }
    }
}

impl std::error::Error for RedisError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Late { .. } => None,
            Self::Failed(error) => Some(&**error),
        }
    }
}

/// Without the URL: it may hold a password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("timeout", &self.0.timeout)
            .finish_non_exhaustive()
    }
}
