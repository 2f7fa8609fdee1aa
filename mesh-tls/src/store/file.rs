//! Keeps identities in files.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_core::SpiffeId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{CertStore, StoreError, StoreErrorKind, StoredCert};
use crate::authority::{IssuedCert, TrustBundle, TrustRoot};
use crate::hash::sha256_half;
use crate::secure_dir::SecureDir;
use crate::{pem, sealed};

/// Keeps identities in a directory of mode 0700, one file of mode 0600 for each: key, certificate and bundle
/// together, with a hash, written as a whole. The one before is kept too, for the case that the newest is damaged.
///
/// A directory or file that others can get at is refused. Names of files say nothing of whose they are.
///
/// ```
/// use mesh_tls::{CertStore, FileStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// # let dir = tempfile::tempdir()?;
/// let store = FileStore::open(dir.path().join("identities"))?;
/// let orders = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// assert!(store.load(&orders).await?.is_none());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FileStore {
    dir: Arc<SecureDir>,
}

const VERSION: u32 = 1;
const MAX_LEN: u64 = 32 * 1024 * 1024;

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    id: String,
    key: Zeroizing<String>,
    chain: String,
    sequence: u64,
    roots: Vec<Root>,
    crls: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Root {
    certificate: String,
    generation: Option<u64>,
    tainted: bool,
}

impl FileStore {
    /// Keeps them in this directory, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or others can get at it.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self {
            dir: Arc::new(SecureDir::create(directory)?),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SecureDir) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let dir = Arc::clone(&self.dir);
        let done = tokio::task::spawn_blocking(move || work(&dir)).await;
        done.unwrap_or_else(|error| {
            let message = format!("no thread for {}: {error}", self.dir.path().display());
            Err(StoreError::new(StoreErrorKind::Unavailable, message))
        })
    }
}

impl CertStore for FileStore {
    async fn load(&self, id: &SpiffeId) -> Result<Option<StoredCert>, StoreError> {
        let id = id.clone();
        self.blocking(move |dir| load(dir, &id)).await
    }

    async fn save(&self, stored: &StoredCert) -> Result<(), StoreError> {
        let stored = stored.clone();
        self.blocking(move |dir| save(dir, &stored)).await
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileStore").field(&self.dir.path()).finish()
    }
}

/// The newest, and the one before it.
fn names(id: &SpiffeId) -> [String; 2] {
    // It says nothing, and is safe in any file system.
    let name = sha256_half(id.as_str().as_bytes());
    [format!("{name}.identity"), format!("{name}.identity.before")]
}

fn load(dir: &SecureDir, id: &SpiffeId) -> Result<Option<StoredCert>, StoreError> {
    let mut damaged = None;
    for name in names(id) {
        let Some(content) = dir.read(&name, MAX_LEN)? else {
            continue;
        };
        match decode(&content, id) {
            Ok(stored) => {
                if let Some(error) = damaged {
                    tracing::warn!(%id, %error, "the newest stored identity is damaged; the one before it is used");
                }
                return Ok(Some(stored));
            }
            Err(why) => {
                let message = format!("{}: {why}", dir.file(&name).display());
                damaged.get_or_insert_with(|| StoreError::new(StoreErrorKind::Corrupt, message));
            }
        }
    }
    damaged.map_or(Ok(None), Err)
}

fn save(dir: &SecureDir, stored: &StoredCert) -> Result<(), StoreError> {
    let [newest, before] = names(&stored.id);
    let content = encode(stored).map_err(|why| StoreError::new(StoreErrorKind::Unavailable, why))?;
    let _lock = dir.lock()?;
    // A damaged one is not worth keeping, and a good one before it is.
    if let Some(old) = dir.read(&newest, MAX_LEN)?
        && decode(&old, &stored.id).is_ok()
    {
        dir.write(&before, &old)?;
    }
    dir.write(&newest, &content)
}

fn encode(stored: &StoredCert) -> Result<Zeroizing<Vec<u8>>, String> {
    let root = |root: &TrustRoot| Root {
        certificate: pem::encode_certificates([&root.cert]),
        generation: root.generation,
        tainted: root.tainted,
    };
    sealed::seal(&Record {
        version: VERSION,
        id: stored.id.to_string(),
        key: pem::encode_private_key(&stored.key),
        chain: pem::encode_certificates(stored.cert.chain()),
        sequence: stored.bundle.sequence,
        roots: stored.bundle.roots.iter().map(root).collect(),
        crls: stored.bundle.crls.iter().map(pem::encode_crl).collect(),
    })
}

fn decode(content: &[u8], id: &SpiffeId) -> Result<StoredCert, String> {
    let record: Record = sealed::open(content)?;
    if record.version != VERSION {
        return Err(format!("it is of version {}: expected {VERSION}", record.version));
    }
    if record.id != id.as_str() {
        return Err(format!("it is the identity of {}", record.id));
    }
    let text = |error: pem::PemError| error.to_string();
    let key = pem::private_key(record.key.as_bytes()).map_err(text)?;
    let chain = pem::certificates(record.chain.as_bytes()).map_err(text)?;
    let cert = IssuedCert::of_chain(chain).map_err(|error| error.to_string())?;
    let root = |root: &Root| {
        let mut certificates = pem::certificates(root.certificate.as_bytes()).map_err(text)?;
        let mut trusted = TrustRoot::new(certificates.swap_remove(0));
        trusted.generation = root.generation;
        trusted.tainted = root.tainted;
        Ok::<_, String>(trusted)
    };
    let roots = record.roots.iter().map(root).collect::<Result<Vec<_>, _>>()?;
    let mut crls = Vec::new();
    for crl in &record.crls {
        crls.extend(pem::crls(crl.as_bytes()).map_err(text)?);
    }
    let bundle = TrustBundle::new(record.sequence, roots).with_crls(crls);
    Ok(StoredCert::new(id.clone(), key, cert, bundle))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::authority::{CertAuthority, CertRequest, LocalCa};
    use crate::key::PrivateKey;

    fn id(text: &str) -> SpiffeId {
        text.parse().expect("an ID")
    }

    async fn stored(id: &SpiffeId) -> StoredCert {
        let ca = LocalCa::in_memory("cluster.local").expect("a CA");
        let key = PrivateKey::generate(crate::KeyType::default())
            .await
            .expect("a key");
        let csr = key.certificate_request().expect("a CSR");
        let request = CertRequest::new(csr, id.clone(), Duration::from_secs(86_400)).expect("a request");
        let cert = ca.issue(request).await.expect("issued");
        StoredCert::new(
            id.clone(),
            key,
            cert,
            ca.next_bundle(crate::authority::BundleRequest::any())
                .await
                .expect("a bundle"),
        )
    }

    fn files(dir: &std::path::Path) -> Vec<String> {
        let names = fs::read_dir(dir)
            .expect("read")
            .map(|entry| entry.expect("read").file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_was_saved_is_loaded_by_another_process_and_nobody_else_may_read_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("identities");
        let orders = id("spiffe://cluster.local/ns/dept-barc/sa/orders");
        let saved = stored(&orders).await;
        FileStore::open(&path)
            .expect("open")
            .save(&saved)
            .await
            .expect("saved");
        let loaded = FileStore::open(&path)
            .expect("open")
            .load(&orders)
            .await
            .expect("loaded")
            .expect("there");
        assert_eq!(loaded.cert, saved.cert);
        assert_eq!(loaded.bundle, saved.bundle);
        assert_eq!(loaded.key.expose_secret(), saved.key.expose_secret());
        for name in files(&path) {
            assert_eq!(
                fs::metadata(path.join(&name))
                    .expect("there")
                    .permissions()
                    .mode()
                    & 0o777,
                0o600,
                "{name}"
            );
        }
        let other = id("spiffe://cluster.local/ns/dept-barc/sa/billing");
        assert!(
            FileStore::open(&path)
                .expect("open")
                .load(&other)
                .await
                .expect("loaded")
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_damaged_identity_gives_way_to_the_one_before_it_and_never_to_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let orders = id("spiffe://cluster.local/ns/dept-barc/sa/orders");
        let (first, second) = (stored(&orders).await, stored(&orders).await);
        let path = dir.path().join("identities");
        let store = FileStore::open(&path).expect("open");
        store.save(&first).await.expect("saved");
        store.save(&second).await.expect("saved");
        let [newest, before] = names(&orders);
        for damage in [&b""[..], b"\n", b"{}\nsha256 00\n"] {
            fs::write(path.join(&newest), damage).expect("damaged");
            let loaded = store.load(&orders).await.expect("loaded").expect("there");
            assert_eq!(loaded.cert, first.cert);
        }
        fs::write(path.join(&before), "junk").expect("damaged");
        let error = store.load(&orders).await.expect_err("nothing is whole");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        store.save(&second).await.expect("saved over it");
        assert_eq!(
            store.load(&orders).await.expect("loaded").expect("there").cert,
            second.cert
        );
    }

    #[tokio::test]
    async fn an_identity_of_another_is_not_taken_for_ones_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let (orders, billing) = (
            id("spiffe://cluster.local/ns/dept-barc/sa/orders"),
            id("spiffe://cluster.local/ns/dept-barc/sa/billing"),
        );
        let store = FileStore::open(dir.path().join("identities")).expect("open");
        store.save(&stored(&orders).await).await.expect("saved");
        let (from, to) = (names(&orders), names(&billing));
        let path = dir.path().join("identities");
        fs::rename(path.join(&from[0]), path.join(&to[0])).expect("renamed");
        assert!(
            store
                .load(&billing)
                .await
                .expect_err("refused")
                .to_string()
                .contains("sa/orders")
        );
    }

    #[test]
    fn no_identity_leads_out_of_the_directory_and_two_that_differ_in_case_are_two() {
        let all = ["x/a", "x/A", "x/..a", "x/CON", "y/a"].map(|path| names(&id(&format!("spiffe://{path}"))));
        for [newest, before] in &all {
            assert!(
                newest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'),
                "{newest}"
            );
            assert_eq!(
                all.iter()
                    .flatten()
                    .filter(|name| *name == newest || *name == before)
                    .count(),
                2
            );
        }
    }
}
