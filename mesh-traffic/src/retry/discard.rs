//! A response that nobody gets: read to its end while there is time, so that its connection can be used again.

use http_body::Body as _;
use http_body_util::BodyExt as _;
use mesh_core::body::Body;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The longest body that is read for nothing. Closing a connection costs less than reading more.
const MOST: usize = 64 * 1024;

/// Waits until then, and reads the body meanwhile.
pub(super) async fn discard_until(body: Option<Body>, until: Instant) {
    if let Some(body) = body
        && !body.is_end_stream()
    {
        // Whether it came to an end makes no difference: it is dropped.
        let _ = timeout_at(until, discard(body)).await;
    }
    sleep_until(until).await;
}

async fn discard(mut body: Body) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
        if read > MOST {
            return;
        }
    }
}
