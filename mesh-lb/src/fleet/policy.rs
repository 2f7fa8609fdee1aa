//! What a fleet goes by.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::Version;
use mesh_core::breaker::{BreakerConfig, BreakerConfigError, BreakerPolicy};

use crate::endpoint::Limits;
use crate::health::NewEndpoints;
use crate::outlier::SuccessRate;

/// What a [`Fleet`](super::Fleet) goes by.
///
/// ```
/// use mesh_lb::fleet::FleetPolicy;
///
/// let mut policy = FleetPolicy::default();
/// policy.slow_start = Some(std::time::Duration::from_secs(30));
/// assert_eq!(policy.panic_threshold, 50);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FleetPolicy {
    /// Which version is the stable one, when endpoints have several. Default `None`: all are.
    pub stable: Option<Version>,
    /// When an endpoint that fails gets no requests for a while. Default [`Ejection::default`]; `None`: never.
    pub ejection: Option<Ejection>,
    /// What an endpoint is taken for before its first health check. Default: healthy.
    pub new_endpoints: NewEndpoints,
    /// How long an endpoint takes to get its whole share, from when it first was ready, was found healthy again
    /// or came back from ejection. Default `None`: no time.
    pub slow_start: Option<Duration>,
    /// If fewer than this share of the endpoints (in percent, by number) takes requests, all that are ready do.
    /// Default 50, as Envoy's; 0: never.
    pub panic_threshold: u8,
    /// How many endpoints of each version this process uses at most, always the same ones as long as they are
    /// well. Default `None`: all.
    pub subset: Option<SubsetPolicy>,
    /// The zone of this process: endpoints there are preferred as far as their share of the capacity reaches.
    /// Default `None`: zones do not matter.
    pub zone: Option<Arc<str>>,
    /// What all requests and connections together may not exceed.
    pub limits: Limits,
}

impl Default for FleetPolicy {
    fn default() -> Self {
        Self {
            stable: None,
            ejection: Some(Ejection::default()),
            new_endpoints: NewEndpoints::default(),
            slow_start: None,
            panic_threshold: 50,
            subset: None,
            zone: None,
            limits: Limits::default(),
        }
    }
}

/// Which endpoints of many this process uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubsetPolicy {
    /// How many of each version.
    pub size: usize,
    /// Who this process is: the same name chooses the same endpoints, another name others.
    pub client: Arc<str>,
}

impl SubsetPolicy {
    /// So many of each version, chosen by this process's name: its pod's, for one.
    pub fn new(size: usize, client: impl Into<Arc<str>>) -> Self {
        Self {
            size,
            client: client.into(),
        }
    }
}

/// When an endpoint that fails gets no requests for a while, and for how long: the contract's
/// `outlierDetection`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ejection {
    /// After so many failures one after another. Default 5; `None`: they do not matter.
    pub consecutive_failures: Option<u32>,
    /// When at least this share of its requests in `interval` failed (above 0, at most 1), of at least
    /// `minimum_requests`. Default 0.5 of 20; `None`: the share does not matter.
    pub error_rate: Option<f64>,
    /// The error rate of fewer requests says nothing. Default 20.
    pub minimum_requests: u32,
    /// How far back the error rate looks, and how often endpoints are compared with each other. Default 10 s.
    pub interval: Duration,
    /// When it succeeds less often than its peers do. Default [`SuccessRate::default`]; `None`: never compared.
    pub success_rate: Option<SuccessRate>,
    /// How long the first ejection lasts; the n-th in a row lasts n times as long. Default 30 s.
    pub base: Duration,
    /// How long one lasts at most. Default 300 s.
    pub max: Duration,
    /// At most this share (in percent) of a version's endpoints is ejected at a time. One may always be, if it
    /// is not the only one; the last that takes requests never is. Default 50.
    pub max_percent: u8,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            error_rate: Some(0.5),
            minimum_requests: 20,
            interval: Duration::from_secs(10),
            success_rate: Some(SuccessRate::default()),
            base: Duration::from_secs(30),
            max: Duration::from_secs(300),
            max_percent: 50,
        }
    }
}

impl Ejection {
    /// The breaker of an endpoint. One request is its trial.
    ///
    /// # Errors
    /// A setting makes no sense.
    pub(super) fn breaker(&self) -> Result<BreakerPolicy, BreakerConfigError> {
        let mut config = BreakerConfig::default();
        config.consecutive_failures = self.consecutive_failures;
        config.error_rate = self.error_rate;
        config.minimum_requests = self.minimum_requests;
        config.window = self.interval;
        config.open_for = self.base;
        config.max_open_for = self.max.max(self.base);
        config.half_open_requests = 1;
        BreakerPolicy::try_from(config)
    }
}
