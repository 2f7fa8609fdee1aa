//! `telemetry`: spans, logs and notes.

use std::path::PathBuf;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, TE};

use mesh_telemetry::anomaly::AnomalyPolicy;

use super::context::Wrong;
use super::defaults;
use super::grammar;
use super::identity;
use super::identity::HttpUrl;
use super::shape::{Fields, boolean, duration, integer, map_of, object, parsed, path, ratio, text, word};
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
    /// When it is noted that requests of a route go otherwise than they usually do; `None`: never.
    pub anomalies: Option<AnomalyPolicy>,
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
    /// A request that takes so long gets spans in any case. Default: 1 second.
    pub slow: Duration,
    /// Fields of each request to the collector. Default: none.
    pub headers: Vec<(HeaderName, HeaderSource)>,
    /// With `https`: a file of further roots, PEM.
    pub ca: Option<PathBuf>,
}

/// Where the value of a field is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderSource {
    /// In the configuration: no secret.
    Value(HeaderValue),
    /// In this file.
    File(PathBuf),
    /// In this variable of the environment.
    Env(Box<str>),
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
    /// Whether the path has its query. Default: not, since there may be secrets in it.
    pub query: bool,
}

/// What a line of a log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// A JSON object.
    Json,
    /// For people.
    Text,
}

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Telemetry> {
    let otlp = fields.optional("otlp", object(read_otlp));
    let jaeger = fields.optional("jaeger", object(read_jaeger));
    let access_log = fields.optional("accessLog", object(read_access_log));
    let anomalies = fields.optional("anomalies", object(read_anomalies));
    Some(Telemetry {
        otlp: otlp.flatten(),
        jaeger: jaeger.flatten(),
        access_log: access_log.flatten(),
        anomalies: anomalies.flatten(),
    })
}

fn read_anomalies(fields: &mut Fields<'_>) -> Option<Option<AnomalyPolicy>> {
    let defaults = AnomalyPolicy::default();
    let enabled = fields.or("enabled", boolean(), true);
    let window = duration().at_least(Duration::from_secs(1));
    let window = fields.or("window", window, defaults.window);
    let sensitivity = fields.or("sensitivity", integer(1..=100_u32), 6);
    let minimum = fields.or(
        "minimumRequests",
        integer(1..=1_000_000_u64),
        defaults.minimum_requests,
    );
    let mut policy = defaults;
    policy.window = window;
    policy.sensitivity = f64::from(sensitivity);
    policy.minimum_requests = minimum;
    Some(enabled.then_some(policy))
}

fn read_otlp(fields: &mut Fields<'_>) -> Option<Option<Otlp>> {
    let enabled = fields.or("enabled", boolean(), true);
    let endpoint = fields.required("endpoint", parsed(identity::URL, identity::http_url));
    let protocols = word(&[("http", OtlpProtocol::Http), ("grpc", OtlpProtocol::Grpc)]);
    let protocol = fields.or("protocol", protocols, OtlpProtocol::Http);
    let sample_ratio = fields.or("sampleRatio", ratio(), defaults::SAMPLE_RATIO);
    let slow = fields.or("slow", duration(), defaults::SLOW);
    let headers = fields.optional("headers", map_of(collectors_header, object(read_header)));
    let headers = headers.unwrap_or_default();
    for (at, (name, _)) in headers.iter().enumerate() {
        if headers[..at].iter().any(|(before, _)| before == name) {
            let wrong = Wrong::expected("each header once, however it is written");
            fields.refuse("headers", format!("{name} twice"), wrong);
        }
    }
    let ca = fields.optional("ca", path("the path of a file of further roots, PEM"));
    let is_plain = endpoint
        .as_ref()
        .is_some_and(|url| !url.as_str().starts_with("https:"));
    if is_plain && ca.is_some() {
        let wrong = Wrong::expected("an endpoint with https://, or no ca");
        fields.refuse("ca", "a file of roots for a collector without TLS", wrong);
    }
    if is_plain && headers.iter().any(|(_, source)| source.is_secret()) {
        fields.advise(
            "headers",
            "without https:// what they hold crosses the network in the clear",
        );
    }
    let otlp = Otlp {
        endpoint: endpoint?,
        protocol,
        sample_ratio,
        slow,
        headers,
        ca,
    };
    Some(enabled.then_some(otlp))
}

fn read_header(fields: &mut Fields<'_>) -> Option<HeaderSource> {
    let value = parsed("a header's value", grammar::header_value).verbatim();
    let sources = [
        fields.optional("value", value).map(|mut value| {
            // So that it is not shown either.
            value.set_sensitive(true);
            HeaderSource::Value(value)
        }),
        fields
            .optional("file", path("the path of a file that holds the value"))
            .map(HeaderSource::File),
        fields
            .optional("env", text("the name of a variable of the environment"))
            .map(HeaderSource::Env),
    ];
    let mut sources = sources.into_iter().flatten();
    match (sources.next(), sources.next()) {
        (Some(source), None) => Some(source),
        (None, _) if ["value", "file", "env"].into_iter().any(|key| fields.has(key)) => None,
        (first, _) => {
            let found = first.map_or("nothing of it", |_| "several of them");
            fields.refuse("value", found, Wrong::expected("one of value, file and env"));
            None
        }
    }
}

/// The name of a field that is neither the connection's nor OTLP's own.
fn collectors_header(text: &str) -> Result<HeaderName, Wrong> {
    let name = grammar::editable_header(text)?;
    match [CONTENT_TYPE, CONTENT_ENCODING, TE].contains(&name) {
        true => Err(Wrong::expected("a header that OTLP does not set itself")),
        false => Ok(name),
    }
}

impl HeaderSource {
    const fn is_secret(&self) -> bool {
        !matches!(self, Self::Value(_))
    }
}

fn read_jaeger(fields: &mut Fields<'_>) -> Option<Option<Jaeger>> {
    let enabled = fields.or("enabled", boolean(), true);
    let endpoint = fields.required("endpoint", parsed(identity::URL, identity::http_url))?;
    Some(enabled.then_some(Jaeger { endpoint }))
}

fn read_access_log(fields: &mut Fields<'_>) -> Option<Option<AccessLog>> {
    let enabled = fields.or("enabled", boolean(), true);
    let formats = word(&[("json", LogFormat::Json), ("text", LogFormat::Text)]);
    let format = fields.or("format", formats, LogFormat::Json);
    let sample = fields.or("sample", ratio(), defaults::SAMPLE_RATIO);
    let query = fields.or("query", boolean(), false);
    Some(enabled.then_some(AccessLog {
        format,
        sample,
        query,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn otlp(keys: &str) -> Result<Otlp, String> {
        let text =
            format!("serviceMesh: {{ namespace: shop, services: [], telemetry: {{ otlp: {{ {keys} }} }} }}");
        let parsed = super::super::parse("mesh.yaml", &text).map_err(|report| report.to_string())?;
        Ok(parsed.config.mesh.telemetry.otlp.expect("it is written"))
    }

    #[test]
    fn a_value_comes_from_one_place_and_is_never_shown() {
        let otlp = otlp(
            "endpoint: 'https://a', ca: ca.pem, \
             headers: { x-api-key: { file: key }, authorization: { env: KEY }, tenant: { value: s3cret } }",
        );
        let otlp = otlp.expect("it is fine");
        let [key, authorization, tenant] = &otlp.headers[..] else {
            panic!("{otlp:?}");
        };
        assert_eq!(key.1, HeaderSource::File("key".into()));
        assert_eq!(authorization.1, HeaderSource::Env("KEY".into()));
        assert_eq!(tenant.1, HeaderSource::Value(HeaderValue::from_static("s3cret")));
        assert!(!format!("{otlp:?}").contains("s3cret"));
        assert_eq!(otlp.ca.as_deref(), Some("ca.pem".as_ref()));
    }

    #[test]
    fn what_could_not_be_sent_is_refused() {
        for (keys, expected) in [
            (
                "headers: { a: { file: b, env: C } }",
                "one of value, file and env",
            ),
            ("headers: { a: {} }", "one of value, file and env"),
            (
                "headers: { content-type: { value: text/plain } }",
                "OTLP does not set itself",
            ),
            ("headers: { te: { value: trailers } }", "header"),
            ("headers: { host: { value: a } }", "header"),
            ("headers: { content-length: { value: '1' } }", "header"),
            (
                "headers: { X-K: { value: a }, x-k: { value: b } }",
                "found: x-k twice",
            ),
            ("ca: ca.pem", "an endpoint with https://"),
        ] {
            let report = otlp(&format!("endpoint: 'http://a', {keys}")).expect_err(keys);
            assert!(report.contains(expected), "{report}");
        }
    }
}
