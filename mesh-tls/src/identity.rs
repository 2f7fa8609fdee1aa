//! What this process is to its peers: a key, its certificate, and whom it trusts, kept fresh.

mod builder;
mod driver;
mod epoch;
mod error;
mod files;
mod lifecycle;
mod now;
mod peers;
mod renewal;
mod status;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use mesh_core::{Live, ServiceName, SpiffeId};

use crate::authority::IssuedCert;
use driver::Driver;

pub use builder::IdentityBuilder;
pub(crate) use epoch::Epoch;
pub use error::IdentityError;
pub use files::IdentityFiles;
pub use peers::PeerCounts;
pub(crate) use peers::{LivePeer, LivePeers, Verified};
pub use status::{CrlStatus, IdentityStatus, RenewalStatus, RootStatus, Standing, Step, TrustStatus};

/// What this process is to its peers. Clones are the same identity.
///
/// It holds a private key, a certificate that somebody trusted signed for it, and the bundle of whom to trust. All
/// three are replaced as one, while connections go on: a renewed certificate counts from the next handshake on. So does
/// a changed bundle, and connections to peers that are not believed by it any more end: HTTP after what is in flight, for
/// which there are 5 seconds, tunnels at once. The certificate is renewed in the background as long as one clone, or one connector or
/// acceptor made from it, is there.
///
/// ```
/// use std::time::SystemTime;
/// use mesh_core::SpiffeId;
/// use mesh_tls::{Identity, LocalCa};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let ca = LocalCa::in_memory("cluster.local")?;
/// let id: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let identity = Identity::builder(id).authority(ca).start().await?;
///
/// let serving = identity.accept();                                       // for mesh_core::serve::Server
/// let frontend = "spiffe://cluster.local/ns/dept-barc/sa/frontend".parse()?;
/// let calling = identity.connect_to(frontend);                           // for mesh_lb::Balance
/// assert!(identity.certificate().not_after() > SystemTime::now());
/// # let _ = (serving, calling);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Identity {
    shared: Arc<Shared>,
}

struct Shared {
    id: SpiffeId,
    epoch: Live<Epoch>,
    status: Live<IdentityStatus>,
    peers: Arc<LivePeers>,
    _drivers: [Driver; 2],
}

impl Identity {
    /// Begins to put together the identity of a workload, whose certificate an authority signs.
    pub fn builder(id: SpiffeId) -> IdentityBuilder {
        IdentityBuilder::new(id)
    }

    /// Who this is.
    pub fn id(&self) -> &SpiffeId {
        &self.shared.id
    }

    /// The certificate in use.
    pub fn certificate(&self) -> IssuedCert {
        self.epoch().cert.clone()
    }

    /// How it is doing: certificate, renewal, trust.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
    /// use mesh_tls::identity::Standing;
    /// use mesh_tls::{Identity, LocalCa};
    ///
    /// let ca = LocalCa::in_memory("cluster.local")?;
    /// let id = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
    /// let identity = Identity::builder(id).authority(ca).start().await?;
    ///
    /// let status = identity.status();
    /// assert!(status.is_well() && status.standing == Standing::Good);
    /// assert!(status.renewal.due < Some(status.certificate.not_after()));
    /// assert_eq!(status.trust.epoch, 1);
    /// # Ok(()) }
    /// ```
    pub fn status(&self) -> Arc<IdentityStatus> {
        self.shared.status.load_full()
    }

    /// The status as it changes: for who waits for a change.
    pub fn follow_status(&self) -> Live<IdentityStatus> {
        self.shared.status.clone()
    }

    /// How many peers are connected, and how many connections had to end because of their peers.
    pub fn peer_counts(&self) -> PeerCounts {
        self.shared.peers.counts()
    }

    pub(crate) fn peers(&self) -> &Arc<LivePeers> {
        &self.shared.peers
    }

    /// Another service of the same trust domain and namespace.
    ///
    /// # Errors
    /// This identity is of another shape than `spiffe://<trust domain>/ns/<namespace>/sa/<service>`.
    pub fn sibling(&self, service: &ServiceName) -> Result<SpiffeId, IdentityError> {
        let Some(namespace) = self.id().namespace() else {
            return Err(IdentityError::new(format!(
                "{} names no namespace in which {service} could be: name its identity in full",
                self.id()
            )));
        };
        SpiffeId::of_service(self.id().trust_domain(), namespace, service.as_str())
            .map_err(|error| IdentityError::because("the identity of another service", error))
    }

    pub(crate) fn epoch(&self) -> Arc<Epoch> {
        self.shared.epoch.load_full()
    }

    fn new(
        id: SpiffeId,
        (epoch, status, peers): (Live<Epoch>, Live<IdentityStatus>, Arc<LivePeers>),
        keeper: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let watcher = Arc::clone(&peers).watch(epoch.clone());
        let shared = Shared {
            id,
            epoch,
            status,
            peers,
            _drivers: [Driver::start(keeper), Driver::start(watcher)],
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

/// Clones are equal; two that were started apart are not, whoever they are.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("id", &self.shared.id)
            .field("serial", &self.epoch().cert.serial())
            .finish_non_exhaustive()
    }
}
