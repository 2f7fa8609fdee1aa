//! How a CA is made.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::clock::{SystemClock, WallClock};

use crate::key::KeyType;

/// How long a root is good for.
const ROOT_LIFETIME: Duration = Duration::from_secs(3_650 * 86_400);
/// How long a certificate is good for at most.
const LONGEST_LEAF: Duration = Duration::from_secs(365 * 86_400);

/// How a [`LocalCa`](super::LocalCa) is made. All but the clock counts for a CA that is made; one that is there keeps its
/// own.
///
/// ```
/// use std::time::Duration;
/// use mesh_tls::LocalCa;
/// use mesh_tls::authority::LocalCaOptions;
///
/// let day = Duration::from_secs(86_400);
/// let options = LocalCaOptions::new("cluster.local").with_root_lifetime(90 * day).with_longest_leaf(day);
/// LocalCa::in_memory(options.with_intermediate())?;
///
/// // Its successor would have to be there before it is.
/// let doomed = LocalCaOptions::new("cluster.local").with_root_lifetime(3 * day).with_longest_leaf(day);
/// assert!(LocalCa::in_memory(doomed).is_err());
/// # Ok::<(), mesh_tls::CaError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LocalCaOptions {
    /// The trust domain, for whose members it signs.
    pub trust_domain: String,
    /// The kind of its keys. Default: ECDSA on P-256.
    pub key_type: KeyType,
    /// How long a root is good for. Default: 3650 days.
    pub root_lifetime: Duration,
    /// How long a certificate is good for at most, however long is asked for. Default: 365 days. The root has to be
    /// good for twice as long, and so much longer that its successor can be made and trusted in time.
    pub longest_leaf: Duration,
    /// Whether the root signs an issuing CA, and that one the certificates. Default: the root signs them itself.
    pub intermediate: bool,
    /// What time it is.
    pub clock: Arc<dyn WallClock>,
}

impl LocalCaOptions {
    /// The defaults.
    pub fn new(trust_domain: impl Into<String>) -> Self {
        Self {
            trust_domain: trust_domain.into(),
            key_type: KeyType::default(),
            root_lifetime: ROOT_LIFETIME,
            longest_leaf: LONGEST_LEAF,
            intermediate: false,
            clock: Arc::new(SystemClock),
        }
    }

    /// Another kind of key.
    #[must_use]
    pub fn with_key_type(mut self, key_type: KeyType) -> Self {
        self.key_type = key_type;
        self
    }

    /// Another lifetime of a root.
    #[must_use]
    pub fn with_root_lifetime(mut self, lifetime: Duration) -> Self {
        self.root_lifetime = lifetime;
        self
    }

    /// Another longest lifetime of what it signs.
    #[must_use]
    pub fn with_longest_leaf(mut self, lifetime: Duration) -> Self {
        self.longest_leaf = lifetime;
        self
    }

    /// With an issuing CA between the root and what is signed: it can be revoked without another root, and its
    /// certificate is part of every chain.
    #[must_use]
    pub fn with_intermediate(mut self) -> Self {
        self.intermediate = true;
        self
    }

    /// Another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl WallClock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl From<&str> for LocalCaOptions {
    fn from(trust_domain: &str) -> Self {
        Self::new(trust_domain)
    }
}
