//! A gRPC service that echoes.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::raw::Raw;

type Answers = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What is sent, as one message or as many; `fail` is refused.
pub(crate) async fn answer(
    request: http::Request<Body>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let request = request.map(tonic::body::Body::new);
    let mut grpc = tonic::server::Grpc::new(Raw);
    Ok(match path.as_str() {
        "/test.Echo/Unary" => {
            let unary = tower::service_fn(async |request: Request<Bytes>| {
                let message = request.into_inner();
                if message == "fail" {
                    return Err(Status::data_loss("as asked"));
                }
                let mut response = Response::new(message);
                response
                    .metadata_mut()
                    .insert("x-seen", "yes".parse().expect("a value"));
                Ok(response)
            });
            grpc.unary(unary, request).await
        }
        _ => {
            let both = tower::service_fn(async |request: Request<Streaming<Bytes>>| {
                let echoed = request.into_inner().map(|message| {
                    let message = message?;
                    if message == "fail" {
                        Err(Status::aborted("as asked"))
                    } else {
                        Ok(message)
                    }
                });
                Ok::<_, Status>(Response::new(Box::pin(echoed) as Answers))
            });
            grpc.streaming(both, request).await
        }
    })
}
