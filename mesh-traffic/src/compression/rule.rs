//! Which responses are compressed, and how that is done.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use tower_http::compression::{Compression, CompressionBody};
use tower_service::Service;

use super::accepted::Accepted;
use super::body::CompressedBody;
use super::media_type;

/// Fields that hold for the bytes as they are sent: of other bytes they would be false.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Which responses are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressionRule {
    /// Smaller ones are left alone, in bytes: what a packet holds anyway gains nothing. Those of unknown length are
    /// compressed. Default 1024.
    pub min_size: u64,
}

impl Default for CompressionRule {
    fn default() -> Self {
        Self { min_size: 1024 }
    }
}

impl CompressionRule {
    /// Those of at least this size, in bytes.
    #[must_use]
    pub fn with_min_size(self, min_size: u64) -> Self {
        Self { min_size }
    }

    /// Whether this response gains from being compressed, and may be.
    ///
    /// It must be of a textual media type and not too small. Never: one that is encoded already, a part of something
    /// (206, `content-range`), one without a body (1xx, 204, 205, 304), an event stream, gRPC, one that says
    /// `cache-control: no-transform`, and one with a digest of its bytes (`content-digest`, `repr-digest`, `digest`,
    /// `content-md5`).
    pub fn applies_to<B: Body>(&self, response: &Response<B>) -> bool {
        let (status, fields) = (response.status(), response.headers());
        let without_body = matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        );
        if status.is_informational() || without_body {
            return false;
        }
        let is_encoded = fields.contains_key(CONTENT_ENCODING) || fields.contains_key(CONTENT_RANGE);
        if is_encoded || !media_type::gains(fields) || response.body().is_end_stream() {
            return false;
        }
        let size = response.body().size_hint().exact().or_else(|| length(fields));
        size.is_none_or(|size| size >= self.min_size)
            && !must_stay(fields)
            && !DIGESTS.iter().any(|digest| fields.contains_key(digest))
    }

    /// Compresses a response for who accepts that. Whether or not it does, `vary` tells caches that it depends on it. A
    /// strong `etag` becomes a weak one, since the bytes are not those it was made for; `content-length` and
    /// `accept-ranges` go.
    ///
    /// ```
    /// use http::{HeaderMap, Method, Response};
    /// use mesh_core::body::Body;
    /// use mesh_traffic::compression::{Accepted, CompressionRule};
    ///
    /// let asked = HeaderMap::from_iter([(http::header::ACCEPT_ENCODING, "br;q=0, gzip".parse()?)]);
    /// let accepted = Accepted::of(&Method::GET, &asked).expect("not HEAD");
    /// let page = || {
    ///     let page = Response::builder().header("content-type", "text/html").header("etag", "\"1\"");
    ///     page.body(Body::full("long ".repeat(1000)))
    /// };
    /// let page = CompressionRule::default().compress(&accepted, page()?);
    /// assert_eq!(page.headers()["content-encoding"], "gzip");
    /// assert_eq!(page.headers()["vary"], "accept-encoding");
    /// assert_eq!(page.headers()["etag"], "W/\"1\"");
    /// # Ok::<(), mesh_core::BoxError>(())
    /// ```
    pub fn compress<B>(&self, accepted: &Accepted, response: Response<B>) -> Response<CompressedBody<B>>
    where
        B: Body<Data = Bytes>,
    {
        if !self.applies_to(&response) {
            return response.map(CompressedBody::plain);
        }
        let mut response = encoded(accepted.request(), response);
        let fields = response.headers_mut();
        if fields.contains_key(CONTENT_ENCODING)
            && let Some(tag) = fields.get(ETAG)
            && let Some(weak) = weak(tag)
        {
            fields.insert(ETAG, weak);
        }
        response.map(CompressedBody::compressed)
    }
}

/// What tower-http makes of a response.
fn encoded<B: Body>(request: Request<()>, response: Response<B>) -> Response<CompressionBody<B>> {
    let mut compression = Compression::new(Given(Some(response))).compress_when(always);
    let encoded = pin!(compression.call(request));
    match encoded.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => Some(response),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => None,
    }
    .expect("the response was there when its future was made, and nothing else is waited for")
}

/// Already decided.
fn always(_: StatusCode, _: http::Version, _: &HeaderMap, _: &http::Extensions) -> bool {
    true
}

/// A response that is there already.
struct Given<B>(Option<Response<B>>);

impl<B> Service<Request<()>> for Given<B> {
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Self;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self {
        Self(self.0.take())
    }
}

impl<B> Unpin for Given<B> {}

impl<B> Future for Given<B> {
    type Output = Result<Response<B>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.0
            .take()
            .map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
    }
}

fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether it is to arrive as it was sent.
fn must_stay(fields: &HeaderMap) -> bool {
    let values = fields.get_all(CACHE_CONTROL).iter();
    let mut directives = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// The weak form of a strong tag.
fn weak(tag: &HeaderValue) -> Option<HeaderValue> {
    if !tag.as_bytes().starts_with(b"\"") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok()
}
