//! The body of a response, which lasts as long as it is allowed.

use std::sync::Arc;

use http::{Method, Uri};
use mesh_core::PeerInfo;
use mesh_core::lasting::{Allowed, LastingBody};
use mesh_core::reject::RejectBody;

use super::layer::AuthorizeLayer;
use super::policy::AuthorizationPolicy;
use super::question::Question;

/// The body of a response that an [`AuthorizeLayer`](super::AuthorizeLayer) let pass, or that of a refusal.
pub type AuthorizeBody<B> = LastingBody<RejectBody<B>, Standing>;

/// What was asked, to be asked again when the policy changes.
pub struct Standing {
    pub(super) layer: AuthorizeLayer,
    /// By which it was decided last.
    pub(super) policy: Arc<AuthorizationPolicy>,
    pub(super) peer: Option<Arc<PeerInfo>>,
    pub(super) method: Method,
    pub(super) uri: Uri,
}

impl Allowed for Standing {
    fn ask_again(&mut self) -> Result<(), mesh_core::Error> {
        let policy = self.layer.policy().load();
        if Arc::ptr_eq(&policy, &self.policy) {
            return Ok(());
        }
        self.policy = Arc::clone(&policy);
        let identity = self.peer.as_deref().and_then(|peer| peer.identity.as_ref());
        let mut question = Question::of_request(identity, &self.method, self.uri.path());
        if let Some(peer) = &self.peer {
            question = question.with_address(peer.address.ip());
        }
        let decision = policy.decide(&question);
        self.layer.tell(&decision);
        decision.error().map_or(Ok(()), Err)
    }
}
