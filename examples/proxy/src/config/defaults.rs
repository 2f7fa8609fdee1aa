//! The defaults, as the interface description of the mesh gives them (its section 2, "Configuration keys"), or
//! where it shows none, as named here. Each stands here once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::share::{Percent, Ratio};

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What cannot fail for the constants below.
const fn percent(number: f64) -> Percent {
    match Percent::new(number) {
        Some(percent) => percent,
        None => Percent::ZERO,
    }
}

const fn ratio(number: f64) -> Ratio {
    match Ratio::new(number) {
        Some(ratio) => ratio,
        None => Ratio::ZERO,
    }
}

pub(super) const NAMESPACE: &str = "default";
pub(super) const TRUST_DOMAIN: &str = "cluster.local";
pub(super) const IDENTITY: &str = "service-mesh-proxy";

pub(super) const LISTENER_NAME: &str = "inbound";
pub(super) const LISTENER_BIND: SocketAddr = SocketAddr::new(ANY, 8080);
pub(super) const METRICS_BIND: SocketAddr = SocketAddr::new(ANY, 9090);
pub(super) const ADMIN_BIND: SocketAddr = SocketAddr::new(LOOPBACK, 9091);

pub(super) const REQUEST_HEAD: Duration = Duration::from_secs(10);
pub(super) const IDLE: Duration = Duration::from_secs(60);
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(60);
pub(super) const MAX_HEAD_BYTES: u64 = 64 * 1024;
pub(super) const MAX_HEADERS: u32 = 100;
pub(super) const MAX_URI_BYTES: u64 = 16 * 1024;
pub(super) const MAX_CONNECTIONS: u32 = 10_000;
pub(super) const MAX_STREAMS: u32 = 100;

pub(super) const HEALTH_CHECK_INTERVAL: Duration = Duration::from_secs(30);
pub(super) const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(1);
pub(super) const HEALTHY_THRESHOLD: u32 = 2;
pub(super) const UNHEALTHY_THRESHOLD: u32 = 3;
pub(super) const PANIC_THRESHOLD: Percent = percent(50.0);

pub(super) const BREAKER_CONSECUTIVE_FAILURES: u32 = 5;
pub(super) const BREAKER_ERROR_RATE: Ratio = ratio(0.5);
pub(super) const BREAKER_MINIMUM_REQUESTS: u32 = 20;
pub(super) const BREAKER_WINDOW: Duration = Duration::from_secs(10);
pub(super) const BREAKER_OPEN_FOR: Duration = Duration::from_secs(30);
pub(super) const BREAKER_HALF_OPEN_REQUESTS: u32 = 3;
pub(super) const BREAKER_MAX_CONNECTIONS: u32 = 1024;
pub(super) const BREAKER_MAX_PENDING_REQUESTS: u32 = 1024;
pub(super) const BREAKER_MAX_REQUESTS: u32 = 4096;

pub(super) const OUTLIER_CONSECUTIVE_FAILURES: u32 = 5;
pub(super) const OUTLIER_INTERVAL: Duration = Duration::from_secs(10);
pub(super) const OUTLIER_BASE_EJECTION: Duration = Duration::from_secs(30);
pub(super) const OUTLIER_MAX_EJECTION: Percent = percent(50.0);

pub(super) const FAULTS_MAX_ACTIVE: u32 = 1024;
pub(super) const LIMIT_STORE_TIMEOUT: Duration = Duration::from_millis(20);
pub(super) const RATE_LIMIT_MAX_KEYS: u32 = 10_000;

pub(super) const RETRY_ATTEMPTS: u32 = 2;
pub(super) const RETRY_BUDGET_PERCENT: Percent = percent(20.0);
pub(super) const RETRY_BUDGET_MIN_PER_SECOND: u32 = 10;
pub(super) const RETRY_BUDGET_TTL: Duration = Duration::from_secs(10);

pub(super) const COMPRESSION_MIN_SIZE: u64 = 1024;
pub(super) const MIRROR_PERCENTAGE: Percent = percent(100.0);
pub(super) const VERSION_LABEL: &str = "version";

pub(super) const CERTIFICATE_VALIDITY_DAYS: u32 = 90;
pub(super) const MUTUAL_TLS_STATE_DIR: &str = "./mesh-state/ca";

pub(super) const SAMPLE_RATIO: Ratio = ratio(1.0);
pub(super) const SLOW: Duration = Duration::from_secs(1);

pub(super) const SUCCESS_ERROR_RATE: Ratio = ratio(0.01);
pub(super) const SUCCESS_RESPONSE_TIME: Duration = Duration::from_millis(500);
pub(super) const SUCCESS_DURATION: Duration = Duration::from_secs(300);
pub(super) const ROLLBACK_ERROR_RATE: Ratio = ratio(0.05);
pub(super) const ROLLBACK_RESPONSE_TIME: Duration = Duration::from_millis(1000);
pub(super) const ROLLBACK_DURATION: Duration = Duration::from_secs(60);
/// Weight in percent, and minutes.
pub(super) const STAGES: [(u8, Option<Duration>); 5] = [
    (5, Some(Duration::from_secs(5 * 60))),
    (10, Some(Duration::from_secs(5 * 60))),
    (20, Some(Duration::from_secs(10 * 60))),
    (50, Some(Duration::from_secs(10 * 60))),
    (100, None),
];
/// In percent.
pub(super) const AB_TEST_WEIGHT: u8 = 50;
pub(super) const AB_TEST_DURATION: Duration = Duration::from_secs(86_400);
pub(super) const FALSE_ROLLBACK: Ratio = ratio(0.01);
pub(super) const CANARY_HEADER: &str = "x-canary-user";
pub(super) const CANARY_COOKIE: &str = "canary";
pub(super) const CANARY_STATE_DIR: &str = "./mesh-state/canary";
