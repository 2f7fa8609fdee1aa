//! Who follows the trust bundle, and how far they are.

use std::fmt;

use mesh_core::SpiffeId;

/// One process that follows the trust bundle of an authority. Replicas have one identity and are told apart by a
/// number that each draws when it starts.
///
/// ```
/// use mesh_tls::authority::Follower;
///
/// let orders: mesh_core::SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let follower = Follower::new(orders.clone(), 7);
/// assert_eq!(follower.to_string(), "spiffe://cluster.local/ns/dept-barc/sa/orders#0000000000000007");
/// assert_ne!(Follower::drawn(orders.clone()), Follower::drawn(orders));
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Follower {
    /// Who it is.
    pub id: SpiffeId,
    /// Which of those who are the same.
    pub instance: u64,
}

impl Follower {
    /// The replica of this number.
    pub fn new(id: SpiffeId, instance: u64) -> Self {
        Self { id, instance }
    }

    /// A replica that starts now, of a number that no other has drawn.
    pub fn drawn(id: SpiffeId) -> Self {
        Self::new(id, fastrand::u64(..))
    }
}

impl fmt::Display for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:016x}", self.id, self.instance)
    }
}

/// Asks for the trust bundle, and says which one the caller goes by.
///
/// ```
/// use mesh_tls::authority::{BundleRequest, Follower};
///
/// let orders = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let request = BundleRequest::after(17).by(Follower::drawn(orders));
/// assert_eq!((request.seen, request.in_force), (17, 17));
/// // Bundle 17 was of no use here: the one before it stays in force.
/// assert_eq!(request.in_force(16).in_force, 16);
/// assert_eq!(BundleRequest::any().seen, 0);
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleRequest {
    /// The sequence of the newest bundle that the caller was told: it is answered with a newer one. 0 is answered with
    /// what there is.
    pub seen: u64,
    /// The sequence of the bundle that the caller goes by; less than `seen`, if what it was told was of no use. 0 if it
    /// has none.
    pub in_force: u64,
    /// Who asks, if an authority that rotates is to wait for it: a caller without a name is waited for by nobody.
    pub follower: Option<Follower>,
}

impl BundleRequest {
    /// Whatever bundle there is, at once.
    pub fn any() -> Self {
        Self::after(0)
    }

    /// A bundle that is newer than this sequence, which is in force.
    pub fn after(seen: u64) -> Self {
        Self {
            seen,
            in_force: seen,
            follower: None,
        }
    }

    /// Goes by another bundle than the newest that it was told.
    #[must_use]
    pub fn in_force(mut self, sequence: u64) -> Self {
        self.in_force = sequence;
        self
    }

    /// Says who asks.
    #[must_use]
    pub fn by(mut self, follower: Follower) -> Self {
        self.follower = Some(follower);
        self
    }
}
