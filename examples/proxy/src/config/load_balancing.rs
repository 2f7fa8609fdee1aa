//! `services[].loadBalancing`: which endpoint takes a request.

use std::fmt;
use std::time::Duration;

use mesh_core::KeyBy;

use super::context::Wrong;
use super::defaults;
use super::grammar::{self, ABSOLUTE_PATH, KEY_EXTRACTOR, STATUS_RANGE};
use super::schema::Unit;
use super::shape::{Fields, boolean, duration, integer, object, parsed, percent, word};
use super::share::Percent;

/// Which endpoint takes a request.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LoadBalancing {
    /// How one is picked. Default: least connections.
    pub algorithm: Algorithm,
    /// What ring_hash and maglev go by: requests of one key go to one endpoint. Default: the client's address.
    pub hash_key: KeyBy,
    /// How endpoints are asked whether they are well; `None`: not at all.
    pub health_check: Option<HealthCheck>,
    /// How long a new endpoint takes to get its whole share. Default `None`: at once.
    pub slow_start: Option<Duration>,
    /// If fewer than this are well, all are used. Default 50 %.
    pub panic_threshold: Percent,
    /// How many endpoints of each version this process uses. Default `None`: all.
    pub subset_size: Option<u32>,
}

/// How an endpoint is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// In turn, by weight.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastConnections,
    /// By chance.
    Random,
    /// By chance, by weight.
    Weighted,
    /// The better of two by moving average of the response time.
    P2cEwma,
    /// By a hash of the request, on a ring.
    RingHash,
    /// By a hash of the request, in a table.
    Maglev,
}

/// How endpoints are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// What is asked. Default: whether they take a connection.
    pub kind: HealthCheckKind,
    /// How often. Default 30 s.
    pub interval: Duration,
    /// How long an answer may take. Default 1 s.
    pub timeout: Duration,
    /// So many good answers in a row make one well. Default 2.
    pub healthy_threshold: u32,
    /// So many bad ones make it unwell. Default 3.
    pub unhealthy_threshold: u32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// Whether a connection is taken.
    Tcp,
    /// A `GET` of this path.
    Http {
        /// The path.
        path: Box<str>,
        /// What a good answer has. Default 200 to 299.
        expected_status: StatusRange,
    },
    /// The health service of gRPC.
    Grpc,
}

/// A range of statuses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    pub(super) first: u16,
    pub(super) last: u16,
}

impl StatusRange {
    /// 200 to 299.
    pub const SUCCESS: Self = Self {
        first: 200,
        last: 299,
    };

    /// Whether a status is in it.
    pub fn contains(self, status: http::StatusCode) -> bool {
        (self.first..=self.last).contains(&status.as_u16())
    }

    /// The first and the last.
    pub fn ends(self) -> (u16, u16) {
        (self.first, self.last)
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The words configuration has for algorithms.
pub(super) const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("round_robin", Algorithm::RoundRobin),
    ("least_connections", Algorithm::LeastConnections),
    ("random", Algorithm::Random),
    ("weighted", Algorithm::Weighted),
    ("p2c_ewma", Algorithm::P2cEwma),
    ("ring_hash", Algorithm::RingHash),
    ("maglev", Algorithm::Maglev),
];

/// As configuration writes it.
impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = ALGORITHMS.iter().find(|(_, algorithm)| algorithm == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

pub(super) fn read(fields: &mut Fields<'_>) -> Option<LoadBalancing> {
    let algorithm = fields.or("algorithm", word(ALGORITHMS), Algorithm::LeastConnections);
    let interval = duration().bare(Unit::Milliseconds);
    let interval = fields.or("healthCheckInterval", interval, defaults::HEALTH_CHECK_INTERVAL);
    let check = |fields: &mut Fields<'_>| read_health_check(fields, interval);
    let health_check = fields.part("healthCheck", object(check));
    let slow_start = fields.optional("slowStart", duration());
    let panic_threshold = fields.or("panicThreshold", percent(), defaults::PANIC_THRESHOLD);
    let subset_size = fields.optional("subsetSize", integer(1..=100_000));
    let key = parsed(KEY_EXTRACTOR, grammar::key_extractor);
    let hash_key = fields.or("hashKey", key, KeyBy::ClientIp);
    let has_key = hash_key != KeyBy::None;
    if fields.has("hashKey") && (!has_key || !matches!(algorithm, Algorithm::RingHash | Algorithm::Maglev)) {
        let wrong = match has_key {
            true => Wrong::expected("this key with algorithm: ring_hash or maglev only"),
            false => Wrong::expected("a key to go by: source_service, client_ip, header:NAME or cookie:NAME"),
        };
        fields.refuse("hashKey", format!("\"{hash_key}\""), wrong);
    }
    Some(LoadBalancing {
        algorithm,
        hash_key,
        health_check: health_check?,
        slow_start,
        panic_threshold,
        subset_size,
    })
}

/// The kind as it is written, before its own keys are known.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Tcp,
    Http,
    Grpc,
}

fn read_health_check(fields: &mut Fields<'_>, interval: Duration) -> Option<Option<HealthCheck>> {
    let enabled = fields.or("enabled", boolean(), true);
    let kinds = word(&[("tcp", Kind::Tcp), ("http", Kind::Http), ("grpc", Kind::Grpc)]);
    let kind = fields.optional("kind", kinds);
    let path = fields.optional("path", parsed(ABSOLUTE_PATH, grammar::absolute_path));
    let status = parsed(STATUS_RANGE, grammar::status_range).verbatim();
    let expected_status = fields.or("expectedStatus", status, StatusRange::SUCCESS);
    // An answer has to be there before the next question.
    let default = defaults::HEALTH_CHECK_TIMEOUT.min(interval);
    let timeout = fields.or("timeout", duration(), default);
    let healthy = fields.or("healthyThreshold", integer(1..=1000), defaults::HEALTHY_THRESHOLD);
    let unhealthy = fields.or(
        "unhealthyThreshold",
        integer(1..=1000),
        defaults::UNHEALTHY_THRESHOLD,
    );

    let is_http = kind == Some(Kind::Http) || (kind.is_none() && fields.has("path"));
    for key in ["path", "expectedStatus"] {
        if !is_http && fields.has(key) && (kind.is_some() || key == "expectedStatus") {
            let wrong = Wrong::expected("this key with kind: http and a path only");
            fields.refuse(key, format!("{key} of a check that is not HTTP"), wrong);
        }
    }
    if kind == Some(Kind::Http) && !fields.has("path") {
        fields.missing(
            "path",
            Wrong::expected("the path that a check of kind http asks for, as /healthz"),
        );
    }
    if timeout > interval {
        let found = mesh_core::duration::display(timeout).to_string();
        let wrong = Wrong::expected(format!(
            "at most the interval of {}",
            mesh_core::duration::display(interval)
        ));
        fields.refuse("timeout", found, wrong);
    }
    let kind = match (is_http, kind, path) {
        (true, _, Some(path)) => HealthCheckKind::Http {
            path,
            expected_status,
        },
        (_, Some(Kind::Grpc), _) => HealthCheckKind::Grpc,
        _ => HealthCheckKind::Tcp,
    };
    Some(enabled.then_some(HealthCheck {
        kind,
        interval,
        timeout,
        healthy_threshold: healthy,
        unhealthy_threshold: unhealthy,
    }))
}
