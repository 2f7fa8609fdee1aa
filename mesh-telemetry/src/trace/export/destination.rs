//! A collector: where it is, and what it speaks.

use std::fmt;

use bytes::Bytes;
use http::Uri;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use mesh_core::Endpoint;
use mesh_core::connect::HttpProtocol;

#[cfg(feature = "jaeger")]
use crate::trace::jaeger;
#[cfg(feature = "otlp")]
use crate::trace::otlp;
use crate::trace::span::Span;

/// A collector: where it is, and what it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub(super) format: Format,
    pub(super) endpoint: Endpoint,
    pub(super) authority: HeaderValue,
    pub(super) path: PathAndQuery,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    host: Box<str>,
    secure: bool,
}

/// What a collector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    #[cfg(feature = "otlp")]
    OtlpHttp,
    #[cfg(feature = "otlp")]
    OtlpGrpc,
    #[cfg(feature = "jaeger")]
    Jaeger,
}

/// Why a text is not the address of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationError(String);

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DestinationError {}

impl Destination {
    /// OTLP as protobuf over HTTP/1.1. The path `/v1/traces` is added unless it is there.
    ///
    /// # Errors
    /// It is no address of the kind `http://host:port`.
    ///
    /// ```
    /// use mesh_telemetry::trace::Destination;
    ///
    /// let collector = Destination::otlp_http("http://collector:4318")?;
    /// assert_eq!(collector.to_string(), "http://collector:4318/v1/traces");
    /// assert!(Destination::otlp_http("collector").is_err());
    /// # Ok::<(), mesh_telemetry::trace::DestinationError>(())
    /// ```
    #[cfg(feature = "otlp")]
    pub fn otlp_http(url: &str) -> Result<Self, DestinationError> {
        const PATH: &str = "/v1/traces";
        Self::new(Format::OtlpHttp, url, |path| match path.ends_with(PATH) {
            true => path.to_owned(),
            false => format!("{}{PATH}", path.trim_end_matches('/')),
        })
    }

    /// OTLP over gRPC.
    ///
    /// # Errors
    /// It is no address of the kind `http://host:port`.
    #[cfg(feature = "otlp")]
    pub fn otlp_grpc(url: &str) -> Result<Self, DestinationError> {
        Self::new(Format::OtlpGrpc, url, |_| {
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export".to_owned()
        })
    }

    /// Jaeger's own protocol, Thrift over HTTP/1.1: for collectors from before OTLP. The path `/api/traces` is added if there
    /// is none.
    ///
    /// # Errors
    /// It is no address of the kind `http://host:port`.
    ///
    /// ```
    /// use mesh_telemetry::trace::Destination;
    ///
    /// let collector = Destination::jaeger("http://jaeger-collector:14268")?;
    /// assert_eq!(collector.to_string(), "http://jaeger-collector:14268/api/traces?format=jaeger.thrift");
    /// # Ok::<(), mesh_telemetry::trace::DestinationError>(())
    /// ```
    #[cfg(feature = "jaeger")]
    pub fn jaeger(url: &str) -> Result<Self, DestinationError> {
        Self::new(Format::Jaeger, url, |path| {
            let path = if path == "/" { "/api/traces" } else { path };
            format!("{path}?format=jaeger.thrift")
        })
    }

    fn new(format: Format, url: &str, path: impl FnOnce(&str) -> String) -> Result<Self, DestinationError> {
        let wrong = |why: &dyn fmt::Display| {
            let shown: String = url.chars().take(100).collect();
            DestinationError(format!(
                "{shown:?} is no address of a collector: {why}; expected one as http://127.0.0.1:4318"
            ))
        };
        let uri: Uri = url.parse().map_err(|error| wrong(&error))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong(&"it does not begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong(&"it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong(&"it holds a name or password"));
        }
        let host = authority.host();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let address = format!("{host}:{port}").parse().map_err(|error| wrong(&error))?;
        Ok(Self {
            format,
            endpoint: Endpoint::new(address),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|error| wrong(&error))?,
            path: path(uri.path()).parse().map_err(|error| wrong(&error))?,
            headers: Vec::new(),
            host: host.trim_start_matches('[').trim_end_matches(']').into(),
            secure,
        })
    }

    /// The same, where each request has this field too: a key, say. Its value is shown nowhere. Fields that the protocol itself
    /// has (the length, the type) stay as they are.
    ///
    /// ```
    /// use http::HeaderValue;
    /// use mesh_telemetry::trace::Destination;
    ///
    /// # #[cfg(feature = "otlp")] {
    /// let collector = Destination::otlp_http("https://collector.example.org")?;
    /// let key = HeaderValue::from_static("s3cret");
    /// let collector = collector.with_header(http::HeaderName::from_static("x-api-key"), key);
    /// assert!(!format!("{collector} {collector:?}").contains("s3cret"));
    /// # }
    /// # Ok::<(), mesh_telemetry::trace::DestinationError>(())
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.push((name, value));
        self
    }

    /// Whether it is reached over TLS: its connector has to speak that.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// What it speaks beneath: over TLS its connector has to offer this and nothing else.
    pub const fn protocol(&self) -> HttpProtocol {
        match self.format {
            #[cfg(feature = "otlp")]
            Format::OtlpGrpc => HttpProtocol::Http2,
            #[cfg(feature = "otlp")]
            Format::OtlpHttp => HttpProtocol::Http1,
            #[cfg(feature = "jaeger")]
            Format::Jaeger => HttpProtocol::Http1,
        }
    }

    /// The host it has to prove to be.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Spans as it reads them: messages, and how many spans are in each.
    pub(super) fn encode(&self, spans: &[Span], namespace: Option<&str>) -> Vec<(Bytes, usize)> {
        match self.format {
            #[cfg(feature = "otlp")]
            Format::OtlpHttp => vec![(otlp::encode(spans, namespace), spans.len())],
            #[cfg(feature = "otlp")]
            Format::OtlpGrpc => vec![(otlp::encode_framed(spans, namespace), spans.len())],
            #[cfg(feature = "jaeger")]
            Format::Jaeger => jaeger::encode(spans, namespace),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        let authority = self.authority.to_str().unwrap_or_default();
        write!(f, "{scheme}://{authority}{}", self.path)
    }
}
