//! Where the proof of who joins comes from.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_core::SpiffeId;
use zeroize::Zeroizing;

use super::{JoinToken, Proof, ProofKind, RootHash};
use crate::authority::{CaError, CaErrorKind};
use crate::erase::BoxFuture;

/// What a process without a certificate joins with: a proof, and whom to show it to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Introduction {
    /// What proves who joins.
    pub proof: Proof,
    /// Who the CA's server has to be.
    pub server: SpiffeId,
    /// The roots of which one has to vouch for that.
    pub roots: Vec<RootHash>,
}

impl Introduction {
    /// A proof for this server.
    pub fn new(proof: Proof, server: SpiffeId, roots: impl IntoIterator<Item = RootHash>) -> Self {
        Self {
            proof,
            server,
            roots: roots.into_iter().collect(),
        }
    }
}

/// Where a process that has no certificate, or none that still counts, gets what proves who it is.
///
/// It is asked anew at every attempt: a token that was good at the start may be over when it is needed.
/// A [`JoinToken`] is one that is always the same, [`TokenFile`] reads one from a file.
pub trait ProofSource: Send + Sync + 'static {
    /// What to join with now.
    ///
    /// # Errors
    /// There is nothing now. The message says what to do.
    fn introduction(&self) -> impl Future<Output = Result<Introduction, CaError>> + Send;
}

/// The twin of [`ProofSource`] that a vtable can hold.
trait ErasedSource: Send + Sync {
    fn introduction(&self) -> BoxFuture<'_, Result<Introduction, CaError>>;
}

impl<S: ProofSource> ErasedSource for S {
    fn introduction(&self) -> BoxFuture<'_, Result<Introduction, CaError>> {
        Box::pin(ProofSource::introduction(self))
    }
}

/// Any [`ProofSource`]. Clones share it.
#[derive(Clone)]
pub struct AnyProofSource(Arc<dyn ErasedSource>);

impl AnyProofSource {
    /// Takes a source.
    pub fn new(source: impl ProofSource) -> Self {
        Self(Arc::new(source))
    }
}

impl ProofSource for AnyProofSource {
    async fn introduction(&self) -> Result<Introduction, CaError> {
        self.0.introduction().await
    }
}

impl fmt::Debug for AnyProofSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyProofSource").finish_non_exhaustive()
    }
}

impl ProofSource for JoinToken {
    async fn introduction(&self) -> Result<Introduction, CaError> {
        let proof = Proof::new(ProofKind::JOIN_TOKEN, self.secret().as_str())?;
        Ok(Introduction::new(
            proof,
            self.server().clone(),
            self.roots().iter().copied(),
        ))
    }
}

/// A [`JoinToken`] in a file, read at every attempt: who replaces it needs no restart.
///
/// ```
/// use mesh_tls::remote::{ProofSource, TokenFile};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("token");
/// let file = TokenFile::new(&path);
/// assert!(file.introduction().await.expect_err("it is not there yet").to_string().contains("cert token"));
///
/// let text = format!("mesh-join-v1.{}.{}.spiffe://cluster.local/ns/mesh/sa/ca\n", "5e".repeat(32), "a1".repeat(32));
/// std::fs::write(&path, text)?;
/// assert_eq!(file.introduction().await?.server.service(), Some("ca"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    const MAX_LEN: u64 = 16 * 1024;

    /// The token in this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn read(&self) -> Result<JoinToken, CaError> {
        use std::io::Read as _;
        let path = self.path.display();
        let denied = |why: String| CaError::new(CaErrorKind::Denied, why);
        let mut text = Zeroizing::new(String::new());
        let read = std::fs::File::open(&self.path)
            .and_then(|file| file.take(Self::MAX_LEN).read_to_string(&mut text));
        read.map_err(|error| {
            denied(format!(
                "{path}: the join token cannot be read: {error}; write there what mesh-proxy cert token prints"
            ))
        })?;
        text.parse().map_err(|error| denied(format!("{path}: {error}")))
    }
}

impl ProofSource for TokenFile {
    async fn introduction(&self) -> Result<Introduction, CaError> {
        let file = self.clone();
        let read = tokio::task::spawn_blocking(move || file.read()).await;
        let token = read.unwrap_or_else(|error| {
            Err(CaError::new(
                CaErrorKind::Internal,
                format!("no thread to read a file on: {error}"),
            ))
        })?;
        ProofSource::introduction(&token).await
    }
}
