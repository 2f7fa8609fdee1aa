//! The layer.

use std::fmt;
use std::sync::Arc;

use mesh_core::Live;
use tower_layer::Layer;

use super::decision::Decision;
use super::policy::AuthorizationPolicy;
use super::service::AuthorizeService;

type Observe = Arc<dyn Fn(&Decision<'_, '_>) + Send + Sync>;

/// Asks an [`AuthorizationPolicy`] about every request, before the service behind sees it. What is denied is refused: 403
/// `unauthorized`, for gRPC `PERMISSION_DENIED`; the message tells the client who it proved to be.
///
/// Who asks is the peer of [`MeshContext`](mesh_core::MeshContext), as its certificate was verified; without a context,
/// somebody who proved nothing. No header is read. Put it inside of [`EdgeLayer`](mesh_core::edge::EdgeLayer), which
/// brings paths into the form that rules read; around an axum `Router`, not within, since its routes have to see what was
/// asked about. One layer inside of another refuses what either denies: that is how a policy in audit mode is tried out
/// beside one that is enforced.
///
/// The error is the inner service's, and the layer is as ready as that service is.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use mesh_core::{MeshContext, PeerInfo, SpiffeId};
/// use mesh_tls::authorize::{AuthorizationPolicy, AuthorizeLayer, Rule};
/// use tower::{Layer, ServiceExt};
///
/// let policy = AuthorizationPolicy::new([Rule::allow("shop").from(["spiffe://mesh/ns/shop/**"]).methods(["GET"])])?;
/// let app = Router::new().route("/orders", get(|| async { "all of them" }));
/// let app = AuthorizeLayer::new(policy).layer(app);
///
/// // What the mesh's server tells of a connection.
/// let of = |service: &str| -> Result<Request<Body>, Box<dyn std::error::Error>> {
///     let identity: SpiffeId = format!("spiffe://mesh/ns/{service}").parse()?;
///     let mut context = MeshContext::new(tokio::time::Instant::now());
///     context.peer = Some(Arc::new(PeerInfo::mtls("10.0.0.7:5555".parse()?, identity, "ab12", "01")));
///     Ok(Request::get("/orders").extension(context).body(Body::empty())?)
/// };
/// assert_eq!(app.clone().oneshot(of("shop/sa/frontend")?).await?.status(), 200);
///
/// let refused = app.clone().oneshot(of("office/sa/printer")?).await?;
/// assert_eq!(refused.status(), 403);
/// assert_eq!(refused.headers()["x-mesh-error"], "unauthorized");
///
/// let nobody = Request::get("/orders").header("x-source-service", "frontend").body(Body::empty())?;
/// assert_eq!(app.oneshot(nobody).await?.status(), 403);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuthorizeLayer {
    policy: Live<AuthorizationPolicy>,
    follows: bool,
    observe: Option<Observe>,
}

impl AuthorizeLayer {
    /// A layer with this policy.
    pub fn new(policy: AuthorizationPolicy) -> Self {
        Self {
            policy: Live::fixed(policy),
            follows: false,
            observe: None,
        }
    }

    /// A layer with the policy that was published last. A response that is still under way when another is published is
    /// asked about again, and one that is denied now breaks off where it is; what comes after an upgrade is not seen.
    pub fn following(policy: Live<AuthorizationPolicy>) -> Self {
        Self {
            policy,
            follows: true,
            observe: None,
        }
    }

    /// Calls this with each denial, of requests that pass in audit mode too ([`Decision::passes`]): count it and log it
    /// now and then, and nothing that takes time. A log without a bound is a gift to whoever is refused.
    #[must_use]
    pub fn observe(self, observe: impl Fn(&Decision<'_, '_>) + Send + Sync + 'static) -> Self {
        Self {
            observe: Some(Arc::new(observe)),
            ..self
        }
    }

    /// The policy.
    pub fn policy(&self) -> &Live<AuthorizationPolicy> {
        &self.policy
    }

    pub(super) fn follows(&self) -> bool {
        self.follows
    }

    pub(super) fn tell(&self, decision: &Decision<'_, '_>) {
        if let Some(observe) = self.observe.as_ref().filter(|_| !decision.is_allowed()) {
            observe(decision);
        }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = AuthorizeService<S>;

    fn layer(&self, inner: S) -> AuthorizeService<S> {
        AuthorizeService::new(inner, self.clone())
    }
}

impl fmt::Debug for AuthorizeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeLayer")
            .field("policy", &self.policy)
            .field("follows", &self.follows)
            .finish_non_exhaustive()
    }
}
