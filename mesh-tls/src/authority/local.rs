//! The mesh's own CA.

mod book;
mod followers;
mod index;
mod issue;
mod lifecycle;
mod lists;
mod material;
mod options;
mod record;
mod revoke;
mod rotate;
mod status;
mod stored;
#[cfg(test)]
mod tests;
mod times;
mod upkeep;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_core::clock::{SystemClock, WallClock};
use mesh_core::{Publisher, live};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::time::{Instant, sleep};

use super::{
    BundleRequest, CaError, CaErrorKind, CaGeneration, CertAuthority, CertRequest, IssuedCert,
    ManagedAuthority, Revocation, RevokeRequest, RotateRequest, SerialNumber, TrustBundle, newer,
};
use crate::secure_dir::SecureDir;
use crate::seldom::Seldom;
use crate::store::StoreError;
use book::Book;
use followers::Followers;
use index::Index;
use record::{Before, Marks, Record};
use upkeep::{GLANCE, Glance};

pub use index::IssuedRecord;
pub use options::LocalCaOptions;
pub use status::CaStatus;

/// More than a follower can be ahead of a CA that was restored: what it claims beyond is not believed.
const FARTHEST: u64 = 1 << 32;

/// The mesh's own CA: a self-signed root that signs for the workloads of one trust domain, itself or by an issuing CA
/// below it. Clones share it.
///
/// It keeps its keys and what it issued in a directory, or in memory as long as the process lives. Several processes on
/// one machine may sign from the same directory at once, and each sees within seconds what the others did. A damaged key
/// is never replaced by a new one: nobody would trust it, and that is for a person to decide.
///
/// # Rotation and revocation lists
/// Whoever waits in [`next_bundle`](CertAuthority::next_bundle) keeps the CA going: every hour it signs its revocation
/// lists anew, and long before a root ends it makes the next one, lets it sign once all [followers](super::Follower) have
/// it in force, and removes the old one a day after the last certificate of it has ended. Nothing else runs in the
/// background. A list has the number of the bundle that it came with.
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
    bundle: Publisher<TrustBundle>,
    book: Mutex<Book>,
    followers: Mutex<Followers>,
    glance: Mutex<Glance>,
    clock: Arc<dyn WallClock>,
    dir: Option<SecureDir>,
    /// Draws serial numbers.
    draw: Box<dyn Fn() -> Result<SerialNumber, CaError> + Send + Sync>,
    /// Whose turn it is to change something: the others wait without a thread.
    turn: Arc<tokio::sync::Mutex<()>>,
    told: Seldom,
}

impl LocalCa {
    /// A CA that lives as long as this process: for tests, and for a mesh within one process.
    ///
    /// # Errors
    /// The options make no CA, or there is no randomness.
    pub fn in_memory(options: impl Into<LocalCaOptions>) -> Result<Self, CaError> {
        let options = options.into();
        let record = Record::make(&options)?;
        Self::of(record, options.clock, Index::default(), None)
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
        record.save(&dir, Before::None)?;
        tracing::info!(directory = %dir.path().display(), trust_domain = %options.trust_domain, "a CA was made");
        Self::of(record, options.clock, Index::default(), Some(dir.clone()))
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
                Self::of(record, Arc::new(clock), index, Some(dir))
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
                    record.save(&dir, Before::None)?;
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
        Self::of(record, options.clock, index, Some(dir))
    }

    fn of(
        record: Record,
        clock: Arc<dyn WallClock>,
        index: Index,
        dir: Option<SecureDir>,
    ) -> Result<Self, CaError> {
        // Another process may write meanwhile: then what is read is seen to be old at the first look.
        let (stamp, marks) = match &dir {
            Some(dir) => (None, Marks::load(dir)),
            None => (None, record.marks()),
        };
        let trust_domain = record.trust_domain().to_owned();
        let (bundle, _) = live(record.bundle()?);
        Ok(Self {
            inner: Arc::new(Inner {
                trust_domain,
                bundle,
                book: Mutex::new(Book::new(record, index, (stamp, marks))?),
                followers: Mutex::new(Followers::new()),
                glance: Mutex::default(),
                clock,
                dir,
                draw: Box::new(material::random_serial),
                turn: Arc::default(),
                told: Seldom::default(),
            }),
        })
    }

    /// The root certificate of the generation that signs. While one generation replaces another there is more than one
    /// to trust: see [`bundle`](Self::bundle).
    pub fn root(&self) -> CertificateDer<'static> {
        let book = self.inner.book.lock();
        let bundle = self.inner.bundle.current();
        let root = bundle.root_of_generation(book.signing.generation);
        root.map_or_else(|| book.signing.signer.der.clone(), |root| root.cert.clone())
    }

    /// Whom to trust now.
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::clone(&self.inner.bundle.current())
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
        Ok(self.inner.read()?.index.records().to_vec())
    }

    /// Where it stands in its rotation, for people. It looks into files.
    ///
    /// # Errors
    /// What is kept cannot be read.
    pub fn status(&self) -> Result<CaStatus, CaError> {
        self.inner.status()
    }

    /// Does what is due, if nobody did within a second. What goes wrong is told in the log and tried again: who asks for
    /// a bundle gets the one there is.
    async fn look_after(&self) {
        let inner = &self.inner;
        if !inner.glance.lock().is_due(Instant::now(), inner.clock.now()) {
            return;
        }
        if let Err(error) = self.change(Inner::look_after).await
            && inner.told.now()
        {
            tracing::error!(%error, "the CA cannot look after itself; it goes on with what it has, and tries again");
        }
    }

    /// Changes something on a thread that may wait, one at a time.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Inner) -> Result<T, CaError> + Send + 'static,
    ) -> Result<T, CaError> {
        let turn = Arc::clone(&self.inner.turn).lock_owned().await;
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let changed = change(&inner);
            // Held until it is done, also if nobody waits for it any more.
            drop(turn);
            changed
        })
        .await
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
        self.change(move |inner| inner.issue(&request, &key)).await
    }

    async fn next_bundle(&self, request: BundleRequest) -> Result<TrustBundle, CaError> {
        let known = self.inner.bundle.current().sequence;
        let seen = request.seen.max(request.in_force);
        if seen.saturating_sub(known) > FARTHEST {
            let message = format!(
                "bundle {seen} was not told by this CA, whose newest is {known}: is it another CA's?"
            );
            return Err(CaError::new(CaErrorKind::InvalidRequest, message));
        }
        let bundle = self.inner.bundle.subscribe();
        loop {
            self.inner.followers.lock().hear(&request, Instant::now());
            self.look_after().await;
            tokio::select! {
                bundle = newer(&bundle, request.seen) => return Ok(bundle),
                () = sleep(GLANCE) => {}
            }
        }
    }
}

impl ManagedAuthority for LocalCa {
    async fn revoke(&self, request: RevokeRequest) -> Result<Revocation, CaError> {
        self.change(move |inner| inner.revoke(&request)).await
    }

    async fn rotate(&self, request: RotateRequest) -> Result<CaGeneration, CaError> {
        self.change(move |inner| inner.rotate(request)).await
    }

    async fn generations(&self) -> Result<Vec<CaGeneration>, CaError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.generations()).await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            self.followers.get_mut().end(dir);
        }
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
