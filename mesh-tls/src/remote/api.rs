//! The API of a CA, as a tower service.

mod bundle;
mod certificate;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use mesh_core::PeerInfo;
use mesh_core::body::Body;
use mesh_core::clock::{SystemClock, WallClock};
use mesh_core::context::MeshContext;
use serde::Serialize;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::admission::Admission;
use super::attest::{AnyAttestor, Attestor};
use super::flight::Flights;
use super::problem::Refusal;
use super::renewals::Renewals;
use crate::authority::{AnyAuthority, CertAuthority, SerialNumber};
use crate::erase::BoxFuture;
use certificate::Outcome;

/// What a [`CertificateApi`] allows.
///
/// ```
/// let limits = mesh_tls::remote::ApiLimits::default();
/// assert_eq!((limits.renewals_a_second, limits.joins_a_second), (100, 20));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiLimits {
    /// How many certificates are signed a second for those who show one. Default 100: a CA that writes down what it
    /// issues does a few hundred.
    pub renewals_a_second: u32,
    /// How many of them at once, after a pause. Default 200.
    pub renewal_burst: u32,
    /// How many may wait: who has the least time left is first. Default 1000.
    pub renewals_waiting: usize,
    /// How many proofs a second are looked at of those who show no certificate. They take no place from those who do.
    /// Default 20.
    pub joins_a_second: u32,
    /// How many of them at once, after a pause. Default 50.
    pub join_burst: u32,
    /// How long a request waits for its turn at most. Default 10 s.
    pub patience: Duration,
    /// How long the body of a request may take. Default 10 s.
    pub body: Duration,
    /// The most requests under way of those who show a certificate, and as many of those who do not; those for bundles left
    /// out. Default 2048.
    pub requests: usize,
    /// The most requests that wait for a bundle. Default 20 000.
    pub followers: usize,
    /// How long a certificate is good for at most, whatever is asked for. Default 365 days.
    pub lifetime: Duration,
    /// How long a request waits for a bundle at most. Default 25 s, and never more than 30 s.
    pub poll: Duration,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            renewals_a_second: 100,
            renewal_burst: 200,
            renewals_waiting: 1000,
            joins_a_second: 20,
            join_burst: 50,
            patience: Duration::from_secs(10),
            body: Duration::from_secs(10),
            requests: 2048,
            followers: 20_000,
            lifetime: Duration::from_secs(365 * 86_400),
            poll: Duration::from_secs(25),
        }
    }
}

/// The API of a CA, as a tower service over any authority: [what it answers](super). It answers nothing over plaintext.
///
/// Every certificate is told in the log with the target `mesh_tls::audit`: to whom, by which proof, its serial number and
/// the hash of its key.
///
/// ```
/// use mesh_core::SpiffeId;
/// use mesh_core::serve::Server;
/// use mesh_tls::authority::{BundleRequest, CertAuthority};
/// use mesh_tls::remote::{
///     Attestors, CertificateApi, JoinTokens, ProofKind, RemoteCa, Renewals, TokenRequest,
/// };
/// use mesh_tls::{AnyStore, ClientCerts, Identity, LocalCa, MemoryStore};
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let ca = LocalCa::in_memory("cluster.local")?;
/// let server: SpiffeId = "spiffe://cluster.local/ns/mesh/sa/ca".parse()?;
/// let identity = Identity::builder(server.clone()).authority(ca.clone()).start().await?;
/// let tokens = JoinTokens::in_memory();
/// tokens.set_server(&server)?;
/// let attestors = Attestors::new().with(ProofKind::JOIN_TOKEN, tokens.clone());
/// let api = CertificateApi::new(ca.clone(), attestors, Renewals::in_memory(ca.clone()));
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let url = format!("https://{}", listener.local_addr()?);
/// let accept = identity.accept().client_certs(ClientCerts::Optional);
/// tokio::spawn(Server::accepting(accept).serve(listener, api));
///
/// // Elsewhere, with a token that somebody carried there:
/// let orders: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let token = tokens.mint(&TokenRequest::new(orders.clone()), &ca.next_bundle(BundleRequest::any()).await?)?;
/// let store = AnyStore::new(MemoryStore::new());
/// let remote = RemoteCa::builder(orders.clone(), &url)?.join(token).store(store.clone()).build()?;
/// let joined = Identity::builder(orders).authority(remote).store(store).start().await?;
/// assert_eq!(joined.id().service(), Some("orders"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CertificateApi {
    inner: Arc<Inner>,
}

struct Inner {
    authority: AnyAuthority,
    attestor: AnyAttestor,
    renewals: Renewals,
    /// Those who show a certificate, and those who do not: however many join, nobody's certificate ends over it.
    members: Admission,
    newcomers: Admission,
    under_way: Flights<SerialNumber, Outcome>,
    requests: Semaphore,
    requests_of_newcomers: Semaphore,
    followers: Semaphore,
    limits: ApiLimits,
    clock: Arc<dyn WallClock>,
}

impl CertificateApi {
    /// Signs by this authority: for whom the attestor believes, and for who shows a certificate that may be renewed.
    pub fn new(authority: impl CertAuthority, attestor: impl Attestor, renewals: Renewals) -> Self {
        Self::with_limits(authority, attestor, renewals, ApiLimits::default())
    }

    /// The same, with other limits.
    pub fn with_limits(
        authority: impl CertAuthority,
        attestor: impl Attestor,
        renewals: Renewals,
        limits: ApiLimits,
    ) -> Self {
        Self::with_clock(authority, attestor, renewals, limits, SystemClock)
    }

    /// The same, by another clock: it says how much time a certificate has left.
    pub fn with_clock(
        authority: impl CertAuthority,
        attestor: impl Attestor,
        renewals: Renewals,
        limits: ApiLimits,
        clock: impl WallClock,
    ) -> Self {
        let permits = |most: usize| Semaphore::new(most.min(Semaphore::MAX_PERMITS));
        let inner = Inner {
            authority: AnyAuthority::new(authority),
            attestor: AnyAttestor::new(attestor),
            renewals,
            members: Admission::new(
                limits.renewals_a_second,
                limits.renewal_burst,
                limits.renewals_waiting,
                limits.patience,
            ),
            newcomers: Admission::new(limits.joins_a_second, limits.join_burst, 0, limits.patience),
            under_way: Flights::new(),
            requests: permits(limits.requests),
            requests_of_newcomers: permits(limits.requests),
            followers: permits(limits.followers),
            limits,
            clock: Arc::new(clock),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl fmt::Debug for CertificateApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateApi")
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for CertificateApi {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let answered = inner.answer(request).await;
            Ok(answered.unwrap_or_else(|refusal| refusal.response()))
        })
    }
}

impl Inner {
    async fn answer(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let context = request.extensions().get::<MeshContext>();
        let peer = context.and_then(|context| context.peer.clone());
        let Some(peer) = peer.filter(|peer| peer.tls) else {
            let detail = "certificates are handed out over TLS only";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "plaintext", detail));
        };
        match (request.uri().path(), request.method()) {
            ("/v1/certificates", &Method::POST) => self.certificate(request, peer).await,
            ("/v1/certificates", _) => Err(Refusal::method("POST")),
            ("/v1/bundle", &Method::GET) => self.bundle(request.uri().query(), &peer).await,
            ("/v1/roots", &Method::GET) => self.roots().await,
            ("/v1/bundle" | "/v1/roots", _) => Err(Refusal::method("GET")),
            _ => {
                let detail = "expected /v1/certificates, /v1/bundle or /v1/roots";
                Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", detail))
            }
        }
    }
}

/// Who asks, in a log.
fn told(peer: &PeerInfo) -> String {
    match &peer.identity {
        Some(id) => format!("{id} at {}", peer.address),
        None => peer.address.to_string(),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Result<Response<Body>, Refusal> {
    let text = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the answer could not be written",
        )
    })?;
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
