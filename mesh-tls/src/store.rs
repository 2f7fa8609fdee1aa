//! Where an identity is kept, so that a restart does not need the CA.

use std::fmt;
use std::future::Future;

use mesh_core::{BoxError, SpiffeId};

use crate::authority::{IssuedCert, TrustBundle};
use crate::key::PrivateKey;

mod any;
mod file;
mod memory;

pub use any::AnyStore;
pub use file::FileStore;
pub use memory::MemoryStore;

/// Keeps identities.
///
/// ```
/// use std::sync::Mutex;
/// use mesh_core::SpiffeId;
/// use mesh_tls::{CertStore, StoreError, StoredCert};
///
/// /// Remembers the last one, whoever it was.
/// #[derive(Default)]
/// struct Last(Mutex<Option<StoredCert>>);
///
/// impl CertStore for Last {
///     async fn load(&self, id: &SpiffeId) -> Result<Option<StoredCert>, StoreError> {
///         Ok(self.0.lock().expect("not poisoned").clone().filter(|stored| stored.id == *id))
///     }
///
///     async fn save(&self, stored: &StoredCert) -> Result<(), StoreError> {
///         *self.0.lock().expect("not poisoned") = Some(stored.clone());
///         Ok(())
///     }
/// }
///
/// # use std::time::{Duration, SystemTime};
/// # use mesh_tls::{IssuedCert, PrivateKey, SerialNumber, TrustBundle};
/// # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
/// # let validity = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(60));
/// # let cert = IssuedCert::new([vec![0x30]], validity, SerialNumber::from_u64(7)?)?;
/// # let (key, bundle) = (PrivateKey::from_pkcs8(vec![1]), TrustBundle::new(1, []));
/// let store = mesh_tls::AnyStore::new(Last::default()); // stored without a type parameter
/// let id: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// assert!(store.load(&id).await?.is_none());
/// store.save(&StoredCert::new(id.clone(), key, cert, bundle)).await?;
/// assert_eq!(store.load(&id).await?.expect("saved").bundle.sequence, 1);
/// # Ok::<(), mesh_core::BoxError>(())
/// # }).expect("kept");
/// ```
pub trait CertStore: Send + Sync + 'static {
    /// The newest identity that was saved for this ID and can be read whole; `None` if there is none.
    ///
    /// A store that keeps several falls back to an older one rather than to fail. Who loads checks what it
    /// got: it may have expired or been revoked meanwhile.
    ///
    /// # Errors
    /// Something was saved, but none of it can be used.
    fn load(&self, id: &SpiffeId) -> impl Future<Output = Result<Option<StoredCert>, StoreError>> + Send;

    /// Saves an identity. When it returns, a crash does not lose it; a crash before leaves the one before.
    ///
    /// # Errors
    /// It was not saved; the one before is still there.
    fn save(&self, stored: &StoredCert) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// An identity as it is kept: a key, its certificate, and whom to trust. One record, so that they agree.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredCert {
    /// Who.
    pub id: SpiffeId,
    /// The private key.
    pub key: PrivateKey,
    /// The certificate of the key.
    pub cert: IssuedCert,
    /// Whom to trust, as of the last save. It also says which sequence and which CRLs were seen, so that a
    /// restart does not go back behind them.
    pub bundle: TrustBundle,
}

impl StoredCert {
    /// A record.
    pub fn new(id: SpiffeId, key: PrivateKey, cert: IssuedCert, bundle: TrustBundle) -> Self {
        Self {
            id,
            key,
            cert,
            bundle,
        }
    }
}

/// What went wrong, as far as the caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// What was saved cannot be read back: it was cut short or changed.
    Corrupt,
    /// Others could read or replace what is kept there, so that it is not used.
    Insecure,
    /// Somebody else is writing there.
    Locked,
    /// The place cannot be read or written now: no space, no permission, no answer.
    Unavailable,
}

/// An identity could not be loaded or saved.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<BoxError>,
}

impl StoreError {
    /// What went wrong, and a sentence that says where and what to do. Never with a part of a key in it.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}
