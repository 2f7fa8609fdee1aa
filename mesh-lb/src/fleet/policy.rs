//! What a fleet goes by.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::Version;

use crate::endpoint::Limits;
use crate::health::NewEndpoints;
use crate::outlier::OutlierConfig;

/// What a [`Fleet`](super::Fleet) goes by.
///
/// ```
/// use mesh_lb::fleet::FleetPolicy;
///
/// let mut policy = FleetPolicy::default();
/// policy.slow_start = Some(std::time::Duration::from_secs(30));
/// assert_eq!(policy.panic_threshold, 50.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FleetPolicy {
    /// Which version is the stable one, when endpoints have several. Default `None`: all are.
    pub stable: Option<Version>,
    /// When an endpoint that fails gets no requests for a while. Default [`OutlierConfig::default`]; `None`: never.
    pub ejection: Option<OutlierConfig>,
    /// What an endpoint is taken for before its first health check. Default: healthy.
    pub new_endpoints: NewEndpoints,
    /// How long an endpoint takes to get its whole share, from when it first was ready, was found healthy again
    /// or came back from ejection. Default `None`: no time.
    pub slow_start: Option<Duration>,
    /// If fewer than this share of the endpoints (in percent, by number) takes requests, all that are ready do.
    /// Default 50, as Envoy's; 0: never.
    pub panic_threshold: f64,
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
            ejection: Some(OutlierConfig::default()),
            new_endpoints: NewEndpoints::default(),
            slow_start: None,
            panic_threshold: 50.0,
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
