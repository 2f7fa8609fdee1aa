//! The body of a response, which lasts as long as it is allowed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Uri};
use http_body::{Body, Frame, SizeHint};
use mesh_core::reject::RejectBody;
use mesh_core::{BoxError, PeerInfo};

use super::layer::AuthorizeLayer;
use super::policy::AuthorizationPolicy;
use super::question::Question;

pin_project_lite::pin_project! {
    /// The body of a response that an [`AuthorizeLayer`](super::AuthorizeLayer) let pass, or that of a refusal.
    pub struct AuthorizeBody<B> {
        #[pin]
        inner: RejectBody<B>,
        standing: Option<Box<Standing>>,
        broken: bool,
    }
}

/// What was asked, to be asked again when the policy changes.
pub(super) struct Standing {
    pub(super) layer: AuthorizeLayer,
    /// By which it was decided last.
    pub(super) policy: Arc<AuthorizationPolicy>,
    pub(super) peer: Option<Arc<PeerInfo>>,
    pub(super) method: Method,
    pub(super) uri: Uri,
}

impl Standing {
    /// The refusal, if there is another policy by now and it denies.
    fn ask_again(&mut self) -> Option<mesh_core::Error> {
        let policy = self.layer.policy().load();
        if Arc::ptr_eq(&policy, &self.policy) {
            return None;
        }
        self.policy = Arc::clone(&policy);
        let identity = self.peer.as_deref().and_then(|peer| peer.identity.as_ref());
        let mut question = Question::of_request(identity, &self.method, self.uri.path());
        if let Some(peer) = &self.peer {
            question = question.with_address(peer.address.ip());
        }
        let decision = policy.decide(&question);
        self.layer.tell(&decision);
        decision.error()
    }
}

impl<B> AuthorizeBody<B> {
    pub(super) fn new(inner: RejectBody<B>, standing: Option<Box<Standing>>) -> Self {
        Self {
            inner,
            standing,
            broken: false,
        }
    }
}

impl<B: Default> Default for AuthorizeBody<B> {
    fn default() -> Self {
        Self::new(RejectBody::default(), None)
    }
}

impl<B> Body for AuthorizeBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.broken {
            return Poll::Ready(None);
        }
        if let Some(error) = this.standing.as_deref_mut().and_then(Standing::ask_again) {
            *this.broken = true;
            return Poll::Ready(Some(Err(error.into())));
        }
        this.inner
            .poll_frame(cx)
            .map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.broken || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
