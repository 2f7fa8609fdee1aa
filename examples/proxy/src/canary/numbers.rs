//! Where a rollout's numbers come from: requests from this proxy's own counts, queries from a Prometheus server.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mesh_canary::source::Prometheus;
use mesh_core::metric::{MetricError, MetricErrorKind, MetricQuery, MetricSource, Samples};
use mesh_tls::{ServerName, TlsConnect, TlsPolicy};

use crate::config::HttpUrl;

/// A number every few seconds: a box costs nothing that matters.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<Samples, MetricError>> + Send + 'a>>;

trait Erased: Send + Sync {
    fn ask<'a>(&'a self, query: &'a MetricQuery) -> Answer<'a>;
}

impl<S: MetricSource> Erased for S {
    fn ask<'a>(&'a self, query: &'a MetricQuery) -> Answer<'a> {
        Box::pin(self.sample(query))
    }
}

/// Any source, without a type parameter. Clones share it.
#[derive(Clone)]
pub struct AnySource(Arc<dyn Erased>);

impl AnySource {
    /// Takes a source.
    pub fn new(source: impl MetricSource) -> Self {
        Self(Arc::new(source))
    }

    /// The Prometheus server at this address; over TLS it has to show a certificate of one of the system's roots.
    ///
    /// # Errors
    /// The address is none of a server, or there are no roots.
    pub fn prometheus(url: &HttpUrl) -> Result<Self, String> {
        let url = url.as_str();
        if !url.starts_with("https:") {
            return Ok(Self::new(
                Prometheus::new(url).map_err(|error| error.to_string())?,
            ));
        }
        let uri: http::Uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| format!("{url}: {error}"))?;
        let connect = TlsConnect::external(name, mesh_tls::system_roots(), &TlsPolicy::default());
        let connect = connect.map_err(|error| error.to_string())?;
        let connect = connect.with_protocols([mesh_core::connect::HttpProtocol::Http1]);
        Ok(Self::new(
            Prometheus::over(url, connect).map_err(|error| error.to_string())?,
        ))
    }
}

impl MetricSource for AnySource {
    async fn sample(&self, query: &MetricQuery) -> Result<Samples, MetricError> {
        self.0.ask(query).await
    }
}

/// Both sources of a rollout.
#[derive(Clone)]
pub struct Numbers {
    traffic: AnySource,
    queries: Option<AnySource>,
}

impl Numbers {
    /// Requests from here, and queries from there if there is somebody to ask.
    pub fn new(traffic: AnySource, queries: Option<AnySource>) -> Self {
        Self { traffic, queries }
    }
}

impl MetricSource for Numbers {
    async fn sample(&self, query: &MetricQuery) -> Result<Samples, MetricError> {
        match (query, &self.queries) {
            (MetricQuery::Prometheus(_), Some(queries)) => queries.sample(query).await,
            (MetricQuery::Prometheus(_), None) => Err(MetricError::new(
                MetricErrorKind::Unsupported,
                "no Prometheus server is named: canaryDeployment.analysis.source takes prometheus: { url }",
            )),
            _ => self.traffic.sample(query).await,
        }
    }
}
