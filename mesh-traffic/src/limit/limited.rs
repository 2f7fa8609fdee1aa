//! What a request gets that is one too many.

use std::fmt;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response};
use mesh_core::reject::{RejectBody, reject};
use mesh_core::{Error, ErrorKind};

use super::quota::Quota;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// A request was one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    quota: Quota,
    wait: Duration,
    keyless: bool,
}

impl Limited {
    pub(super) fn new(quota: Quota, wait: Duration, keyless: bool) -> Self {
        Self { quota, wait, keyless }
    }

    /// How long until the next one passes, if nobody with the same key comes before.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// The same in whole seconds, rounded up: who waits so long does not come too early.
    pub fn retry_after(&self) -> u64 {
        let begun = u64::from(self.wait.subsec_nanos() > 0);
        self.wait.as_secs().saturating_add(begun).max(1)
    }

    /// The refusal. `grpc` says in which of the two languages ([`mesh_core::reject::is_grpc`]).
    ///
    /// | field | |
    /// |---|---|
    /// | `retry-after` | [`retry_after`](Self::retry_after) |
    /// | `ratelimit-policy` | `"default";q=200;w=1`: 200 requests in a window of one second |
    /// | `ratelimit` | `"default";r=0;t=1`: nothing is left, for one second |
    /// | `grpc-retry-pushback-ms` | for gRPC: [`wait`](Self::wait) in milliseconds, rounded up |
    ///
    /// The `ratelimit` fields are those of draft-ietf-httpapi-ratelimit-headers-11. They tell of the rate and not
    /// of the burst: who spreads its requests over the window is not refused. Responses that pass have none.
    ///
    /// ```
    /// use mesh_core::body::Body;
    /// use mesh_traffic::{Quota, RateLimiter};
    /// use tokio::time::Instant;
    ///
    /// let limiter = RateLimiter::new(Quota::per_minute(20)?.burst(1)?);
    /// let now = Instant::now();
    /// assert!(limiter.check(None, now).is_ok());
    /// let limited = limiter.check(None, now).expect_err("one too many");
    ///
    /// let refusal = limited.refusal::<Body>(false);
    /// assert_eq!(refusal.status(), 429);
    /// assert_eq!(refusal.headers()["x-mesh-error"], "rate_limited");
    /// assert_eq!(refusal.headers()["retry-after"], "3");
    /// assert_eq!(refusal.headers()["ratelimit-policy"], r#""default";q=20;w=60"#);
    /// assert_eq!(refusal.headers()["ratelimit"], r#""default";r=0;t=3"#);
    /// # Ok::<(), mesh_traffic::limit::QuotaError>(())
    /// ```
    pub fn refusal<B>(&self, grpc: bool) -> Response<RejectBody<B>> {
        let mut response = reject(&Error::from(*self), grpc);
        self.tell(response.headers_mut());
        if grpc {
            // gRPC reads it as 32 bits with a sign, and a negative one as "never again".
            let milliseconds = self.wait.as_nanos().div_ceil(1_000_000);
            let milliseconds = i32::try_from(milliseconds).unwrap_or(i32::MAX);
            response
                .headers_mut()
                .insert(GRPC_PUSHBACK, HeaderValue::from(milliseconds));
        }
        response
    }

    fn tell(&self, headers: &mut HeaderMap) {
        let (requests, window) = (self.quota.requests(), self.quota.window().as_secs());
        let seconds = self.retry_after();
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        for (name, value) in [
            (RATE_LIMIT_POLICY, format!("\"default\";q={requests};w={window}")),
            (RATE_LIMIT, format!("\"default\";r=0;t={seconds}")),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.keyless {
            " for all requests without a key together"
        } else {
            ""
        };
        let Self { quota, .. } = self;
        let wait = mesh_core::duration::display(Duration::from_secs(self.retry_after()));
        write!(
            f,
            "over the rate limit of {quota}{whose}: come again after {wait}"
        )
    }
}

impl std::error::Error for Limited {}

impl From<Limited> for Error {
    fn from(limited: Limited) -> Self {
        Self::new(ErrorKind::RateLimited, limited.to_string())
    }
}
