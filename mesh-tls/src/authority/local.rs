//! The mesh's own CA.

mod index;
mod issue;
mod record;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::clock::{SystemClock, WallClock};
use mesh_core::{Live, live};
use parking_lot::Mutex;
use rcgen::Issuer;
use rustls_pki_types::CertificateDer;

use super::{
    BundleRequest, CaError, CaErrorKind, CertAuthority, CertRequest, IssuedCert, TrustBundle, TrustRoot,
    newer,
};
use crate::certificate::Certificate;
use crate::key::{KeyType, SigningPair};
use crate::secure_dir::SecureDir;
use crate::store::StoreError;
use index::Index;
use record::Record;

pub use index::IssuedRecord;

/// How long a root is good for.
const ROOT_LIFETIME: Duration = Duration::from_secs(3_650 * 86_400);
/// How long a certificate is good for at most.
const LONGEST_LEAF: Duration = Duration::from_secs(365 * 86_400);

/// How a [`LocalCa`] is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LocalCaOptions {
    /// The trust domain, for whose members it signs.
    pub trust_domain: String,
    /// The kind of its key. Default: ECDSA on P-256.
    pub key_type: KeyType,
    /// How long its root is good for. Default: 3650 days.
    pub root_lifetime: Duration,
    /// How long a certificate is good for at most, however long is asked for. Default: 365 days. The root has to be
    /// good for twice as long, so that it can be replaced while what it signed is still good.
    pub longest_leaf: Duration,
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
            clock: Arc::new(SystemClock),
        }
    }

    /// Another kind of key.
    #[must_use]
    pub fn with_key_type(mut self, key_type: KeyType) -> Self {
        self.key_type = key_type;
        self
    }

    /// Another lifetime of the root.
    #[must_use]
    pub fn with_root_lifetime(mut self, lifetime: Duration) -> Self {
        self.root_lifetime = lifetime;
        self
    }

    /// Another longest lifetime of what it signs. For a CA that is made; one that is there keeps its own.
    #[must_use]
    pub fn with_longest_leaf(mut self, lifetime: Duration) -> Self {
        self.longest_leaf = lifetime;
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

/// The mesh's own CA: a self-signed root that signs for the workloads of one trust domain. Clones share it.
///
/// It keeps its key and what it issued in a directory, or in memory as long as the process lives. Several processes on
/// one machine may sign from the same directory at once. A damaged key is never replaced by a new one: nobody would
/// trust it, and that is for a person to decide.
///
/// ```
/// use mesh_tls::authority::CertAuthority;
/// use mesh_tls::{LocalCa, authority::LocalCaOptions};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// # let dir = tempfile::tempdir()?;
/// # let state = dir.path().join("ca");
/// let made = LocalCa::open_or_init(&state, LocalCaOptions::new("cluster.local"))?;
/// let again = LocalCa::open_or_init(&state, LocalCaOptions::new("cluster.local"))?;
/// assert_eq!(made.root(), again.root());
///
/// let other = LocalCa::open_or_init(&state, LocalCaOptions::new("other.example"));
/// assert!(other.expect_err("another trust domain").to_string().contains("cluster.local"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct LocalCa {
    inner: Arc<Inner>,
}

struct Inner {
    trust_domain: String,
    root: CertificateDer<'static>,
    root_certificate: Certificate,
    longest_leaf: Duration,
    issuer: Issuer<'static, SigningPair>,
    bundle: Live<TrustBundle>,
    index: Mutex<Index>,
    clock: Arc<dyn WallClock>,
    dir: Option<SecureDir>,
    /// Whose turn it is to add to the index: the others wait without a thread.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl LocalCa {
    /// A CA that lives as long as this process: for tests, and for a mesh within one process.
    ///
    /// # Errors
    /// The options make no CA, or there is no randomness.
    pub fn in_memory(options: impl Into<LocalCaOptions>) -> Result<Self, CaError> {
        let options = options.into();
        let record = Record::make(&options)?;
        Self::of(&record, &options.clock, Index::default(), None)
    }

    /// Makes a CA in this directory, which is made if it is not there.
    ///
    /// # Errors
    /// There is one already, the directory cannot be used, or the options make no CA.
    pub fn init(directory: impl Into<PathBuf>, options: impl Into<LocalCaOptions>) -> Result<Self, CaError> {
        let options = options.into();
        let dir = SecureDir::create(directory).map_err(storage)?;
        let made = Record::make_if_missing(&dir, &options)?;
        let _lock = dir.lock().map_err(storage)?;
        if Record::load(&dir)?.is_some() {
            return Err(CaError::new(
                CaErrorKind::WrongState,
                format!(
                    "{}: there is a CA already; whoever trusts it would not trust another: move it away if you mean it",
                    dir.path().display()
                ),
            ));
        }
        // Without its key, a list of what it issued is what is left of a CA that was lost.
        if SecureDir::exists(&dir.file(index::FILE)) {
            return Err(lost(&dir));
        }
        let record = made.map_or_else(|| Record::make(&options), Ok)?;
        record.save(&dir)?;
        tracing::info!(directory = %dir.path().display(), trust_domain = %options.trust_domain, "a CA was made");
        Self::of(&record, &options.clock, Index::default(), Some(dir.clone()))
    }

    /// The CA in this directory.
    ///
    /// # Errors
    /// There is none, it is damaged, or others can get at it.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, CaError> {
        Self::open_with_clock(directory, SystemClock)
    }

    /// The same, by another clock.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_clock(directory: impl Into<PathBuf>, clock: impl WallClock) -> Result<Self, CaError> {
        let directory = directory.into();
        let none = || {
            let path = directory.display();
            CaError::new(
                CaErrorKind::Storage,
                format!("{path}: there is no CA: make one with mesh-proxy cert init --state-dir {path}"),
            )
        };
        if !SecureDir::exists(&directory) {
            return Err(none());
        }
        let dir = SecureDir::open(&directory).map_err(storage)?;
        match Record::load(&dir)? {
            Some(record) => {
                let index = Index::load(&dir)?;
                Self::of(
                    &record,
                    &(Arc::new(clock) as Arc<dyn WallClock>),
                    index,
                    Some(dir),
                )
            }
            None if SecureDir::exists(&dir.file(index::FILE)) => Err(lost(&dir)),
            None => Err(none()),
        }
    }

    /// The CA in this directory; it is made if there is none. Of two processes that begin together, one makes it.
    ///
    /// # Errors
    /// It is damaged, others can get at it, or it is of another trust domain.
    pub fn open_or_init(
        directory: impl Into<PathBuf>,
        options: impl Into<LocalCaOptions>,
    ) -> Result<Self, CaError> {
        let (directory, options) = (directory.into(), options.into());
        let dir = SecureDir::create(&directory).map_err(storage)?;
        let made = Record::make_if_missing(&dir, &options)?;
        let record = {
            let _lock = dir.lock().map_err(storage)?;
            match Record::load(&dir)? {
                Some(record) => record,
                None if SecureDir::exists(&dir.file(index::FILE)) => return Err(lost(&dir)),
                None => {
                    let record = made.map_or_else(|| Record::make(&options), Ok)?;
                    record.save(&dir)?;
                    tracing::info!(directory = %dir.path().display(), trust_domain = %options.trust_domain, "a CA was made");
                    record
                }
            }
        };
        if record.trust_domain() != options.trust_domain {
            return Err(CaError::new(
                CaErrorKind::WrongState,
                format!(
                    "{}: the CA there signs for the trust domain {}, and {} is wanted: use another directory, or that \
                     trust domain",
                    directory.display(),
                    record.trust_domain(),
                    options.trust_domain
                ),
            ));
        }
        let index = Index::load(&dir)?;
        Self::of(&record, &options.clock, index, Some(dir))
    }

    fn of(
        record: &Record,
        clock: &Arc<dyn WallClock>,
        index: Index,
        dir: Option<SecureDir>,
    ) -> Result<Self, CaError> {
        let (issuer, root) = record.issuer()?;
        let broken = |error: crate::certificate::CertificateError| {
            CaError::new(
                CaErrorKind::Storage,
                format!("the CA's own certificate cannot be used: {error}"),
            )
        };
        let root_certificate = Certificate::parse(&root).map_err(broken)?;
        let generation = TrustRoot::new(root.clone()).of_generation(record.generation());
        let (_, bundle) = live(TrustBundle::new(record.sequence(), [generation]));
        Ok(Self {
            inner: Arc::new(Inner {
                trust_domain: record.trust_domain().to_owned(),
                root,
                root_certificate,
                longest_leaf: record.longest_leaf(),
                issuer,
                bundle,
                index: Mutex::new(index),
                clock: Arc::clone(clock),
                dir,
                turn: Arc::default(),
            }),
        })
    }

    /// Its root certificate.
    pub fn root(&self) -> CertificateDer<'static> {
        self.inner.root.clone()
    }

    /// For whose members it signs.
    pub fn trust_domain(&self) -> &str {
        &self.inner.trust_domain
    }

    /// What it issued, the oldest first, by this process or another one.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn issued(&self) -> Result<Vec<IssuedRecord>, CaError> {
        let mut index = self.inner.index.lock();
        if let Some(dir) = &self.inner.dir {
            index.refresh(dir)?;
        }
        Ok(index.records().to_vec())
    }
}

impl CertAuthority for LocalCa {
    async fn issue(&self, request: CertRequest) -> Result<IssuedCert, CaError> {
        let inner = Arc::clone(&self.inner);
        let (request, key) = blocking(move || {
            let key = inner.prove(&request)?;
            Ok((request, key))
        })
        .await?;
        let turn = Arc::clone(&self.inner.turn).lock_owned().await;
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let issued = inner.issue(&request, &key);
            // Held until it is done, also if nobody waits for it any more.
            drop(turn);
            issued
        })
        .await
    }

    async fn next_bundle(&self, request: BundleRequest) -> Result<TrustBundle, CaError> {
        Ok(newer(&self.inner.bundle, request.seen).await)
    }
}

impl fmt::Debug for LocalCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCa")
            .field("trust_domain", &self.inner.trust_domain)
            .field("directory", &self.inner.dir.as_ref().map(SecureDir::path))
            .finish_non_exhaustive()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CaError> + Send + 'static,
) -> Result<T, CaError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(CaError::new(
            CaErrorKind::Internal,
            format!("signing ended without a result: {error}"),
        ))
    })
}

fn storage(error: StoreError) -> CaError {
    CaError::new(CaErrorKind::Storage, error.to_string()).with_source(error)
}

fn lost(dir: &SecureDir) -> CaError {
    CaError::new(
        CaErrorKind::Storage,
        format!(
            "{}: certificates were issued from here, and the CA's key is gone: bring {} back from a backup. A new CA is \
             not made in its place, since nobody would trust it",
            dir.path().display(),
            record::FILE
        ),
    )
}
