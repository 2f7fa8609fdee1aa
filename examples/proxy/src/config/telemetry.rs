//! `telemetry`: spans and logs.

use super::identity::HttpUrl;
use super::share::Ratio;

/// `serviceMesh.telemetry`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Telemetry {
    /// Where spans go, over OTLP.
    pub otlp: Option<Otlp>,
    /// Where spans go, over Jaeger's own protocol.
    pub jaeger: Option<Jaeger>,
    /// How requests are logged; `None`: not at all.
    pub access_log: Option<AccessLog>,
}

/// Where spans go, over OTLP.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Otlp {
    /// The collector.
    pub endpoint: HttpUrl,
    /// What it speaks. Default: HTTP.
    pub protocol: OtlpProtocol,
    /// The share of requests that get spans. Default 1.
    pub sample_ratio: Ratio,
}

/// What a collector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP.
    Http,
    /// gRPC.
    Grpc,
}

/// Where spans go, over Jaeger's own protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Jaeger {
    /// The collector.
    pub endpoint: HttpUrl,
}

/// How requests are logged.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AccessLog {
    /// What a line looks like. Default: JSON.
    pub format: LogFormat,
    /// The share of requests that are logged. Default 1.
    pub sample: Ratio,
}

/// What a line of a log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// A JSON object.
    Json,
    /// For people.
    Text,
}
