//! `trafficManagement.rules`: which requests go where.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use mesh_core::{ServiceName, Version};
use mesh_traffic::Condition;
use mesh_traffic::router::{HostName, Respond, Split};

use super::fault::FaultInjection;
use super::origin::Origin;
use super::rate_limit::RateLimiting;
use super::retry::Retry;
use super::share::Percent;

/// A rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// Where it was written.
    pub origin: Origin,
    /// Its id, unlike the others'.
    pub id: Box<str>,
    /// Its name for people. Default: its id.
    pub name: Box<str>,
    /// Higher ones are tried first; of one priority, in the order of the file. Default 0.
    pub priority: i32,
    /// Whether it is tried at all. Default true.
    pub enabled: bool,
    /// All must hold; none: it always does.
    pub conditions: Vec<Condition>,
    /// What it does.
    pub action: RuleAction,
    /// What of the request is changed.
    pub rewrite: Option<Rewrite>,
    /// Header fields of the request that are changed.
    pub request_headers: HeaderEdits,
    /// Header fields of the response that are changed.
    pub response_headers: HeaderEdits,
    /// In place of the service's.
    pub timeout: Option<Duration>,
    /// In place of the service's.
    pub retry: Option<Retry>,
    /// In place of the service's.
    pub fault_injection: Option<FaultInjection>,
    /// Besides the service's.
    pub rate_limiting: Option<RateLimiting>,
    /// Where a copy goes.
    pub mirror: Option<Mirror>,
}

/// What a rule does with a request.
#[derive(Clone, Debug)]
pub enum RuleAction {
    /// Sends it to one of some destinations. Services exist, and a name like `sample-service-v2` is taken apart
    /// into service and version already.
    Forward(Split),
    /// Answers it.
    Respond(Respond),
    /// Sends the client elsewhere.
    Redirect(Redirect),
}

/// Where a client is sent. What is `None` stays as in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308. Default 302.
    pub status: StatusCode,
    /// `http` or `https`.
    pub scheme: Option<http::uri::Scheme>,
    /// The host.
    pub host: Option<HostName>,
    /// The port.
    pub port: Option<u16>,
    /// The whole path.
    pub path: Option<Box<str>>,
    /// In place of the prefix the rule's condition matched.
    pub prefix: Option<Box<str>>,
}

/// What of a request is changed before it is sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrite {
    /// In place of the prefix the rule's condition matched.
    pub prefix: Option<Box<str>>,
    /// In place of the host.
    pub host: Option<HostName>,
}

/// Header fields that are changed: first removed, then set, then added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderEdits {
    /// In place of any of its name.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Besides those of its name.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// All of this name.
    pub remove: Vec<HeaderName>,
}

/// Where a copy of requests goes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mirror {
    /// The service.
    pub service: ServiceName,
    /// Its version; `None`: the stable one.
    pub version: Option<Version>,
    /// How many. Default 100 %.
    pub percentage: Percent,
}
