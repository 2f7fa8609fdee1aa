//! A Prometheus server, asked over its HTTP API.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_core::connect::{Connect, TcpConnect};
use mesh_core::duration::display;
use mesh_core::endpoint::Address;
use mesh_core::metric::{MetricError, MetricErrorKind, MetricQuery, MetricSource, Samples};
use mesh_core::{BoxError, Endpoint};
use tokio::time::timeout;

mod answer;

use answer::Answer;

/// How long an answer may take where nothing is said.
const LIMIT: Duration = Duration::from_secs(30);

/// The largest answer that is read, in bytes: some ten thousand series.
const LARGEST: usize = 2 << 20;

/// The largest head of an answer, in bytes.
const LARGEST_HEAD: usize = 16 << 10;

/// Asks a Prometheus server, or what speaks its API, instant queries: `POST /api/v1/query`.
///
/// Each query has a connection of its own; there is one in a while. It speaks plain TCP unless it is given another way
/// to connect, such as a client of mesh-tls. Queries of [`MetricQuery::Traffic`] are not answered. Nor is an answer with
/// warnings one, such as that of Thanos when a store is missing: numbers of a part prove nothing about the whole.
///
/// ```
/// use mesh_canary::source::Prometheus;
/// use mesh_core::metric::{MetricQuery, MetricSource, Samples};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let prometheus = Prometheus::new(&format!("http://{}", listener.local_addr()?))?;
/// tokio::spawn(async move {
///     let (mut client, _) = listener.accept().await?;
///     client.read(&mut [0; 1024]).await?;
///     let answer = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000,"42"]}}"#;
///     let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
///     client.write_all((head + answer).as_bytes()).await
/// });
///
/// let samples = prometheus.sample(&MetricQuery::Prometheus("vector(42)".to_owned())).await?;
/// assert_eq!(samples, Samples::Scalar(42.0));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Prometheus<C = TcpConnect> {
    endpoint: Endpoint,
    authority: Authority,
    /// What stands before `/api/v1/query`.
    prefix: String,
    connect: C,
    limit: Duration,
}

impl Prometheus {
    /// The server at a URL: `http://host:port`, perhaps with a path before that of the API.
    ///
    /// # Errors
    /// It is no such URL, or begins with `https`: that needs [`over`](Self::over).
    pub fn new(url: &str) -> Result<Self, PrometheusUrlError> {
        let wrong = |why| PrometheusUrlError {
            url: url.to_owned(),
            why,
        };
        let (scheme, source) = Self::read(url)?;
        if scheme != Scheme::HTTP {
            return Err(wrong("http, or a way to connect that speaks TLS"));
        }
        Ok(source)
    }

    fn read(url: &str) -> Result<(Scheme, Self), PrometheusUrlError> {
        let wrong = |why| PrometheusUrlError {
            url: url.to_owned(),
            why,
        };
        let uri: Uri = url
            .parse()
            .map_err(|_| wrong("a URL, as http://prometheus:9090"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong("a URL with a host, as http://prometheus:9090"));
        };
        if authority.as_str().contains('@') {
            return Err(wrong("a URL without a user or a password"));
        }
        let path = parts.path_and_query;
        if path.as_ref().is_some_and(|path| path.query().is_some()) {
            return Err(wrong("a URL without a query"));
        }
        let port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(wrong("http or https")),
        };
        let port = authority.port_u16().unwrap_or(port);
        let address: Address = format!("{}:{port}", authority.host())
            .parse()
            .map_err(|_| wrong("a host and a port"))?;
        let source = Self {
            endpoint: Endpoint::new(address),
            prefix: path.map_or_else(String::new, |path| path.path().trim_end_matches('/').to_owned()),
            authority,
            connect: TcpConnect::new(),
            limit: LIMIT,
        };
        Ok((scheme, source))
    }
}

impl<C: Connect> Prometheus<C> {
    /// The server at a URL, reached in another way. What `https` stands for is up to that.
    ///
    /// # Errors
    /// It is no such URL.
    pub fn over(url: &str, connect: C) -> Result<Self, PrometheusUrlError> {
        let (_, plain) = Prometheus::read(url)?;
        Ok(Self {
            endpoint: plain.endpoint,
            authority: plain.authority,
            prefix: plain.prefix,
            connect,
            limit: plain.limit,
        })
    }

    /// How long an answer may take, the connection included. The default is 30 s.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    async fn ask(&self, query: &str) -> Result<Samples, MetricError> {
        let connected = self.connect.connect(&self.endpoint).await;
        let connected = connected.map_err(|error| self.unavailable("takes no connection", error))?;
        let handshake = http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .handshake(TokioIo::new(connected.io))
            .await;
        let (mut sender, connection) =
            handshake.map_err(|error| self.unavailable("does not speak HTTP", error))?;
        let exchange = async {
            let answer = sender.send_request(self.request(query)?).await;
            let answer = answer.map_err(|error| self.unavailable("did not answer", error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| self.broken(error))?.to_bytes();
            self.read_answer(status, &body)
        };
        // The exchange cannot go on without the connection, which has to be polled beside it.
        let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
        tokio::select! {
            biased;
            samples = &mut exchange => samples,
            _ = &mut connection => exchange.await,
        }
    }

    fn request(&self, query: &str) -> Result<Request<Full<Bytes>>, MetricError> {
        let seconds = self.limit.as_secs_f64();
        let form = format!("query={}&timeout={seconds}s", encoded(query));
        Request::post(format!("{}/api/v1/query", self.prefix))
            .header(HOST, self.authority.as_str())
            .header(USER_AGENT, HeaderValue::from_static("mesh-canary"))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            )
            .body(Full::from(form))
            .map_err(|error| {
                self.error(MetricErrorKind::Rejected, "cannot be asked")
                    .with_source(error)
            })
    }

    fn read_answer(&self, status: StatusCode, body: &[u8]) -> Result<Samples, MetricError> {
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.error(MetricErrorKind::Unavailable, &format!("answered {status}")));
        }
        if status.is_client_error() {
            let why = answer::refusal(body).unwrap_or_else(|| "without saying why".to_owned());
            return Err(self.error(MetricErrorKind::Rejected, &format!("answered {status}: {why}")));
        }
        if status != StatusCode::OK {
            let message = format!("answered {status}: expected 200, redirects are not followed");
            return Err(self.error(MetricErrorKind::Malformed, &message));
        }
        match answer::read(body) {
            Ok(Answer::Whole(samples)) => Ok(samples),
            Ok(Answer::WarnedOf(warning)) => {
                let message = format!("warns that its numbers may not be whole: {warning}");
                Err(self.error(MetricErrorKind::Unavailable, &message))
            }
            Err(why) => Err(self.error(MetricErrorKind::Malformed, &format!("answered {why}"))),
        }
    }

    fn error(&self, kind: MetricErrorKind, what: &str) -> MetricError {
        MetricError::new(
            kind,
            format!("the Prometheus server at {} {what}", self.authority),
        )
    }

    fn unavailable(&self, what: &str, error: impl Into<BoxError> + fmt::Display) -> MetricError {
        let message = format!("{what}: {error}");
        self.error(MetricErrorKind::Unavailable, &message)
            .with_source(error)
    }

    fn broken(&self, error: BoxError) -> MetricError {
        if error.is::<LengthLimitError>() {
            let message = format!("answered more than {LARGEST} bytes: ask for fewer series");
            return self.error(MetricErrorKind::Malformed, &message);
        }
        self.unavailable("broke off its answer", error)
    }
}

impl<C: Connect> MetricSource for Prometheus<C> {
    async fn sample(&self, query: &MetricQuery) -> Result<Samples, MetricError> {
        let MetricQuery::Prometheus(query) = query else {
            let what = "answers queries in PromQL alone: requests are counted by the mesh";
            return Err(self.error(MetricErrorKind::Unsupported, what));
        };
        match timeout(self.limit, self.ask(query)).await {
            Ok(answered) => answered,
            Err(_) => {
                let what = format!("did not answer within {}", display(self.limit));
                Err(self.error(MetricErrorKind::Unavailable, &what))
            }
        }
    }
}

impl<C> fmt::Debug for Prometheus<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus")
            .field("authority", &self.authority)
            .field("prefix", &self.prefix)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// A text as the value of a form.
fn encoded(text: &str) -> String {
    use fmt::Write;
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String never fails.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A URL at which no Prometheus server can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusUrlError {
    url: String,
    why: &'static str,
}

impl fmt::Display for PrometheusUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no address of a Prometheus server: expected {}",
            self.url, self.why
        )
    }
}

impl std::error::Error for PrometheusUrlError {}

#[cfg(test)]
mod tests;
