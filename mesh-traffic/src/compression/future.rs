//! The future: the inner one, and then the rule.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;

use super::accepted::Accepted;
use super::body::CompressedBody;
use super::rule::CompressionRule;

pin_project_lite::pin_project! {
    /// The response of a [`CompressionService`](super::CompressionService).
    pub struct CompressionFuture<F> {
        #[pin]
        inner: F,
        rule: CompressionRule,
        accepted: Option<Accepted>,
    }
}

impl<F> CompressionFuture<F> {
    pub(super) fn new(inner: F, rule: CompressionRule, accepted: Option<Accepted>) -> Self {
        Self {
            inner,
            rule,
            accepted,
        }
    }
}

impl<F, B, E> Future for CompressionFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<CompressedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(match this.accepted {
            Some(accepted) => this.rule.compress(accepted, response),
            None => response.map(CompressedBody::plain),
        }))
    }
}
