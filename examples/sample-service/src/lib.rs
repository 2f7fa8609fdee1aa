//! A small service to put behind the mesh.
//!
//! It knows nothing of the mesh: it says who answered, sends bodies back, streams, counts, waits. As a library it
//! is the upstream of tests; as a binary it is what the quick start talks to.
//!
//! | call | answer |
//! |---|---|
//! | `GET /` | who answered |
//! | `GET /headers` | the request's headers, as JSON |
//! | `POST /echo` | the body, streamed back |
//! | `GET /bytes/{n}` | `n` bytes of a [pattern](Pattern) |
//! | `POST /sink` | how many bytes the body had |
//! | `GET /ws` | a WebSocket that sends every message back |
//! | `GET /delay/{ms}` | who answered, that much later |

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get, post};
use futures_util::StreamExt;

mod pattern;
mod serve;

pub use pattern::Pattern;
pub use serve::serve;

/// The longest that `/delay/{ms}` waits.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// One of several that run the same service.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What tells it from its siblings.
    pub name: String,
    /// The version of the service that it runs.
    pub version: String,
}

impl Instance {
    fn hello(&self) -> impl IntoResponse + use<> {
        let names = [("x-instance", &self.name), ("x-version", &self.version)];
        // A name that cannot be a header's value stands in the body alone.
        let named = names.into_iter().filter_map(|(header, value)| {
            Some((
                HeaderName::from_static(header),
                HeaderValue::from_str(value).ok()?,
            ))
        });
        (
            named.collect::<HeaderMap>(),
            format!("{} {}\n", self.name, self.version),
        )
    }
}

/// The service's calls.
///
/// ```
/// use axum::body::Body;
/// use axum::http::Request;
/// use http_body_util::BodyExt;
/// use sample_service::{Instance, router};
/// use tower::ServiceExt;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let service = router(Instance { name: "first".into(), version: "v1".into() });
/// let response = service.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
/// assert_eq!(response.headers()["x-instance"], "first");
/// assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "first v1\n");
/// # });
/// ```
pub fn router(instance: Instance) -> Router {
    Router::new()
        .route("/", get(hello))
        .route("/headers", get(headers))
        .route("/echo", post(echo))
        .route("/bytes/{count}", get(bytes))
        .route("/sink", post(sink))
        .route("/ws", any(web_socket))
        .route("/delay/{ms}", get(delay))
        .with_state(instance)
}

async fn hello(State(instance): State<Instance>) -> impl IntoResponse {
    instance.hello()
}

async fn headers(headers: HeaderMap) -> Json<serde_json::Value> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = headers.keys().map(|name| {
        let values: Vec<_> = headers.get_all(name).iter().map(text).collect();
        (name.to_string(), serde_json::Value::from(values))
    });
    Json(serde_json::Value::Object(all.collect()))
}

async fn echo(headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    if let Some(kind) = headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    response
}

async fn bytes(Path(count): Path<u64>) -> Response {
    let mut response = Response::new(Body::from_stream(Pattern::stream(count)));
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(count));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

async fn sink(body: Body) -> Result<String, (StatusCode, String)> {
    let mut chunks = body.into_data_stream();
    let mut count: u64 = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| (StatusCode::BAD_REQUEST, format!("after {count} bytes: {error}\n")))?;
        count += chunk.len() as u64;
    }
    Ok(format!("{count}\n"))
}

async fn web_socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo_messages)
}

/// Sends messages back until one side closes; axum answers pings and the close itself.
async fn echo_messages(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(_) | Message::Binary(_) = message
            && socket.send(message).await.is_err()
        {
            return;
        }
    }
}

async fn delay(State(instance): State<Instance>, Path(ms): Path<u64>) -> Response {
    let wait = Duration::from_millis(ms);
    if wait > LONGEST_DELAY {
        return (
            StatusCode::BAD_REQUEST,
            format!("at most {} ms\n", LONGEST_DELAY.as_millis()),
        )
            .into_response();
    }
    tokio::time::sleep(wait).await;
    instance.hello().into_response()
}
