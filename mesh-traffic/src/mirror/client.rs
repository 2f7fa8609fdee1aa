//! Asks the service that copies go to.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Buf;
use http::{Request, Response};
use mesh_core::BoxError;
use mesh_core::body::Body;
use tower_service::Service;

/// Sends a request when the service is ready, and reads so many bytes of its answer at most.
pub(super) async fn ask<S, B>(mut client: S, request: Request<Body>, most: usize) -> Result<(), BoxError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    poll_fn(|cx| client.poll_ready(cx)).await.map_err(Into::into)?;
    let response = client.call(request).await.map_err(Into::into)?;
    let mut body = pin!(response.into_body());
    let mut read = 0_usize;
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(Into::into)?;
        read = read.saturating_add(frame.data_ref().map_or(0, Buf::remaining));
        if read > most {
            break;
        }
    }
    Ok(())
}
