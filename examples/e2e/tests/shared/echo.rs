//! A gRPC service that echoes, in all four kinds of calls.

use std::convert::Infallible;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use mesh_core::MeshContext;
use tonic::{Request, Response, Status, Streaming};

use crate::raw::Raw;

type Answers = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// How often `/test.Echo/Many` sends what it was sent once.
pub(crate) const MANY: usize = 100;

/// What is sent, as one message or as many; `fail` is refused. A message `flaky` is refused, and one that is `slow` never
/// answered, unless the request is a second one.
pub(crate) async fn answer(
    request: http::Request<Body>,
) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let request = request.map(tonic::body::Body::new);
    let mut grpc = tonic::server::Grpc::new(Raw);
    Ok(match path.as_str() {
        "/test.Echo/Unary" => {
            let unary = tower::service_fn(async |request: Request<Bytes>| {
                let context = request.extensions().get::<MeshContext>();
                let first = context.is_none_or(|context| context.attempt == 0);
                let message = request.into_inner();
                match &*message {
                    b"fail" => return Err(Status::data_loss("as asked")),
                    b"flaky" if first => return Err(Status::unavailable("the first")),
                    b"slow" if first => std::future::pending().await,
                    _ => {}
                }
                let mut response = Response::new(message);
                response
                    .metadata_mut()
                    .insert("x-seen", "yes".parse().expect("a value"));
                Ok(response)
            });
            grpc.unary(unary, request).await
        }
        "/test.Echo/Many" => {
            let many = tower::service_fn(async |request: Request<Bytes>| {
                let message = request.into_inner();
                let many = stream::iter((0..MANY).map(move |_| Ok(message.clone())));
                Ok::<_, Status>(Response::new(Box::pin(many) as Answers))
            });
            grpc.server_streaming(many, request).await
        }
        "/test.Echo/Joined" => {
            let joined = tower::service_fn(async |request: Request<Streaming<Bytes>>| {
                let messages = request.into_inner();
                let join = async |mut joined: BytesMut, message: Bytes| {
                    joined.extend_from_slice(&message);
                    Ok(joined)
                };
                let joined = messages.try_fold(BytesMut::new(), join).await?;
                Ok::<_, Status>(Response::new(joined.freeze()))
            });
            grpc.client_streaming(joined, request).await
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
