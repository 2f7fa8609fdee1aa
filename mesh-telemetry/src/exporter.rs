//! `/metrics`, `/healthz` and `/readyz`, read-only, on a port of their own.
//!
//! This port is where Prometheus and the kubelet ask, so it must answer when everything else is in trouble:
//! a head must be there within 5 s, no connection lives longer than a minute, and of more than 64
//! connections the oldest is cut, so that nobody can keep a probe from being answered by holding on to them.
//! Pages are rendered one at a time, on a thread that serves no requests.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::registry::Telemetry;

mod readiness;

pub use readiness::Readiness;

/// How long a request's head may take, and a connection may be idle.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may live; an answer under way then gets [`HEAD`] more.
const CONNECTION: Duration = Duration::from_secs(60);
/// How many connections there may be.
const CONNECTIONS: usize = 64;
/// The most bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// How long to wait after a failure to accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Serves until it is dropped, which also ends its connections.
///
/// | path | answer |
/// |---|---|
/// | `/metrics` | the page, in Prometheus' text format 0.0.4 |
/// | `/metrics?names=otel` | durations under OpenTelemetry's names: [`Telemetry::render_conventions`] |
/// | `/healthz` | 200 while this future is polled |
/// | `/readyz` | 200 if `ready` says so, else 503; with the reason, if it is [degraded](Readiness::Degraded) |
///
/// `GET` and `HEAD` only (others: 405); another path: 404. `ready` is asked on each `/readyz`, and must not
/// block: it is false while the process starts and while it drains. Keep serving while it drains, so that
/// this can be seen.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// use mesh_telemetry::{Telemetry, serve_metrics};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let serving = tokio::spawn(serve_metrics(listener, Telemetry::new(), || true));
///
/// let mut scrape = TcpStream::connect(address).await?;
/// scrape.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
/// let mut page = String::new();
/// scrape.read_to_string(&mut page).await?;
/// assert!(page.starts_with("HTTP/1.1 200 OK\r\n"));
/// assert!(page.contains("service_mesh_build_info{version=\"0.1.0\"} 1\n"));
/// serving.abort();
/// # Ok(()) }
/// ```
pub async fn serve_metrics<R: Into<Readiness>>(
    listener: TcpListener,
    telemetry: Telemetry,
    ready: impl Fn() -> R + Send + Sync + 'static,
) -> Infallible {
    let pages = Arc::new(Pages {
        telemetry,
        ready: Box::new(move || ready().into()),
        rendering: Semaphore::new(1),
    });
    let mut connections = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connections.spawn(serve_connection(stream, Arc::clone(&pages))),
            Err(error) => {
                tracing::warn!(%error, "the metrics port accepts no connection; it is tried again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The running connections, oldest first. Dropped, they end.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Connections {
    fn spawn(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|task| !task.is_finished());
        if self.oldest_first.len() >= CONNECTIONS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
        }
        self.oldest_first.push_back(self.tasks.spawn(connection));
    }
}

async fn serve_connection(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, pages: Arc<Pages>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(pages.answer(request.method(), request.uri()).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(io), service)
    );
    let ended = match timeout(CONNECTION, connection.as_mut()).await {
        Ok(ended) => Ok(ended),
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            timeout(HEAD, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection of the metrics port broke"),
        Err(_) => {
            tracing::debug!("a connection of the metrics port was cut: its answer was not read in time")
        }
    }
}

struct Pages {
    telemetry: Telemetry,
    ready: Box<dyn Fn() -> Readiness + Send + Sync>,
    /// One permit, so that a crowd of scrapes holds one thread.
    rendering: Semaphore,
}

impl Pages {
    async fn answer(&self, method: &Method, uri: &Uri) -> Response<Full<Bytes>> {
        let path = uri.path();
        let known = matches!(path, "/metrics" | "/healthz" | "/readyz");
        if known && !matches!(*method, Method::GET | Method::HEAD) {
            let mut refusal = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "this port is read-only: GET or HEAD\n",
            );
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match path {
            "/metrics" => match uri.query().unwrap_or_default() {
                "names=otel" => self.metrics(Telemetry::render_conventions).await,
                query if query.split('&').any(|part| part.starts_with("names=")) => text(
                    StatusCode::BAD_REQUEST,
                    "there are no other names than names=otel\n",
                ),
                _ => self.metrics(Telemetry::render).await,
            },
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match (self.ready)() {
                Readiness::Ready => text(StatusCode::OK, "ready\n"),
                Readiness::Degraded(why) => {
                    answer(StatusCode::OK, TEXT, format!("ready, but degraded: {why}\n"))
                }
                Readiness::NotReady => text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "not ready: starting or draining\n",
                ),
            },
            _ => text(StatusCode::NOT_FOUND, "not here: /metrics, /healthz or /readyz\n"),
        }
    }

    async fn metrics(&self, render: fn(&Telemetry) -> String) -> Response<Full<Bytes>> {
        // It is never closed; if it were, rendering side by side would still be right.
        let turn = self.rendering.acquire().await;
        let telemetry = self.telemetry.clone();
        let page = tokio::task::spawn_blocking(move || render(&telemetry)).await;
        drop(turn);
        match page {
            Ok(page) => answer(StatusCode::OK, EXPOSITION, page),
            Err(error) => {
                tracing::error!(%error, "the metrics page was not rendered: a hook before the scrape failed");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the page was not rendered: see the log\n",
                )
            }
        }
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    answer(status, TEXT, body)
}

fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
