//! What is asked.

use std::net::IpAddr;

use http::Method;
use mesh_core::{MeshContext, RequestHead, SpiffeId};

use super::reading::is_canonical;

/// What is asked of a policy: may this identity, or somebody without one, do this?
///
/// ```
/// use http::Method;
/// use mesh_tls::authorize::{AuthorizationPolicy, Question, Rule};
///
/// let policy = AuthorizationPolicy::new([Rule::allow("all"), Rule::deny("no-admin").paths(["/admin/**"])])?;
/// assert!(policy.decide(&Question::of_request(None, &Method::GET, "/shop")).is_allowed());
///
/// // What carries its path within, unseen, may be about any.
/// assert!(!policy.decide(&Question::of_connection(None)).is_allowed());
/// # Ok::<(), mesh_tls::authorize::PolicyError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Question<'r> {
    pub(super) identity: Option<&'r SpiffeId>,
    pub(super) method: Option<&'r Method>,
    pub(super) path: Option<&'r str>,
    /// The path, if rules can read it.
    pub(super) canonical: Option<&'r str>,
    pub(super) address: Option<IpAddr>,
}

impl<'r> Question<'r> {
    /// About a connection that is not HTTP.
    pub fn of_connection(identity: Option<&'r SpiffeId>) -> Self {
        Self {
            identity,
            method: None,
            path: None,
            canonical: None,
            address: None,
        }
    }

    /// About a request. The path is the one that is forwarded, without its query.
    pub fn of_request(identity: Option<&'r SpiffeId>, method: &'r Method, path: &'r str) -> Self {
        let connection = Self::of_connection(identity).with_path(path);
        Self {
            method: Some(method),
            ..connection
        }
    }

    /// About a request, of the peer its context tells of. Without one, nobody proved anything.
    pub fn of(head: &RequestHead<'r>, context: Option<&'r MeshContext>) -> Self {
        let peer = context.and_then(|context| context.peer.as_deref());
        let identity = peer.and_then(|peer| peer.identity.as_ref());
        Self {
            address: peer.map(|peer| peer.address.ip()),
            ..Self::of_request(identity, head.method, head.path())
        }
    }

    /// The same, from this address: for [`Probes`](super::Probes) of certain networks.
    #[must_use]
    pub fn with_address(self, address: IpAddr) -> Self {
        Self {
            address: Some(address),
            ..self
        }
    }

    /// The same, about this path.
    #[must_use]
    pub fn with_path(self, path: &'r str) -> Self {
        Self {
            path: Some(path),
            canonical: Some(path).filter(|path| is_canonical(path)),
            ..self
        }
    }

    /// Who asks, if that one proved an identity.
    pub fn identity(&self) -> Option<&'r SpiffeId> {
        self.identity
    }

    /// The method; of a connection there is none.
    pub fn method(&self) -> Option<&'r Method> {
        self.method
    }

    /// The path; of a connection there is none.
    pub fn path(&self) -> Option<&'r str> {
        self.path
    }

    /// Whether rules can read the path: there is one, in its canonical form.
    pub fn path_is_readable(&self) -> bool {
        self.canonical.is_some()
    }
}
