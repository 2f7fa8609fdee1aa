//! The tokens of a CA: who may join, once.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use mesh_core::clock::{SystemClock, WallClock};
use mesh_core::{PeerInfo, SpiffeId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::join_token::unhex;
use super::{Attested, Attestor, JoinToken, Proof, ProofKind, RootHash};
use crate::authority::{CaError, CaErrorKind, DnsName, TrustBundle};
use crate::hash::sha256;
use crate::sealed;
use crate::secure_dir::SecureDir;
use crate::store::StoreError;

const FILE: &str = "join-tokens";
const VERSION: u32 = 1;
const MAX_LEN: u64 = 8 * 1024 * 1024;
/// The most tokens that are not over.
const MAX_TOKENS: usize = 10_000;
/// How long a token is remembered behind its end, so that the log can say why it is denied.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// Asks for a token.
///
/// ```
/// use std::time::Duration;
/// use mesh_tls::remote::TokenRequest;
///
/// let orders = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let request = TokenRequest::new(orders).with_dns_name("orders.example".try_into()?);
/// assert_eq!(request.ttl, Duration::from_secs(600));
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenRequest {
    /// Who may join with it.
    pub spiffe_id: SpiffeId,
    /// The host names its certificates hold besides. Default none.
    pub dns_names: Vec<DnsName>,
    /// How long it counts. Default 10 minutes.
    pub ttl: Duration,
}

impl TokenRequest {
    /// For this workload, for 10 minutes.
    pub fn new(spiffe_id: SpiffeId) -> Self {
        Self {
            spiffe_id,
            dns_names: Vec::new(),
            ttl: Duration::from_secs(600),
        }
    }

    /// With a host name that its certificates hold besides.
    #[must_use]
    pub fn with_dns_name(mut self, name: DnsName) -> Self {
        self.dns_names.push(name);
        self
    }

    /// Counts for another time.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }
}

/// The tokens of a CA: each counts once, for a while, for one identity. What is kept is the SHA-256 of its secret, so that
/// who reads the file can join as nobody. Clones share them, and so do processes that use one directory.
///
/// ```
/// use mesh_core::PeerInfo;
/// use mesh_tls::authority::{BundleRequest, CertAuthority};
/// use mesh_tls::remote::{Attestor, JoinTokens, TokenFile, TokenRequest, ProofSource};
/// use mesh_tls::{CaErrorKind, LocalCa};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let ca = LocalCa::in_memory("cluster.local")?;
/// let bundle = ca.next_bundle(BundleRequest::any()).await?;
/// let tokens = JoinTokens::in_memory();
/// tokens.set_server(&"spiffe://cluster.local/ns/mesh/sa/ca".parse()?)?;
/// let orders: mesh_core::SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let token = tokens.mint(&TokenRequest::new(orders.clone()), &bundle)?;
///
/// let (peer, proof) = (PeerInfo::anonymous_tls(([127, 0, 0, 1], 55555).into()), token.introduction().await?.proof);
/// assert_eq!(tokens.attest(&proof, &peer).await?.spiffe_id, orders);
/// let again = tokens.attest(&proof, &peer).await.expect_err("it counts once");
/// assert_eq!(again.kind(), CaErrorKind::Denied);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct JoinTokens {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    clock: Arc<dyn WallClock>,
}

enum Place {
    Memory(Mutex<Record>),
    Directory(SecureDir),
}

/// As it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    /// Who the CA's server is.
    server: Option<String>,
    tokens: Vec<Token>,
}

/// Times in seconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    /// SHA-256 of the secret. To find it takes a comparison of hashes, whose time tells nothing of the secret.
    hash: String,
    id: String,
    dns: Vec<String>,
    until: u64,
    used: Option<u64>,
}

impl JoinTokens {
    /// Tokens that live as long as this process.
    pub fn in_memory() -> Self {
        Self::at(Place::Memory(Mutex::default()), SystemClock)
    }

    /// The same, by another clock.
    pub fn in_memory_with_clock(clock: impl WallClock) -> Self {
        Self::at(Place::Memory(Mutex::default()), clock)
    }

    /// The tokens of the CA in this directory, which has to be there.
    ///
    /// # Errors
    /// The directory cannot be used, or what is kept there is damaged.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, CaError> {
        let dir = SecureDir::open(directory).map_err(storage)?;
        load(&dir)?;
        Ok(Self::at(Place::Directory(dir), SystemClock))
    }

    fn at(place: Place, clock: impl WallClock) -> Self {
        let inner = Inner {
            place,
            clock: Arc::new(clock),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Says who the CA's server is. Tokens carry it, so that whoever joins shows them to no other.
    ///
    /// # Errors
    /// It could not be stored.
    pub fn set_server(&self, server: &SpiffeId) -> Result<(), CaError> {
        self.inner.change(|record, _| {
            record.server = Some(server.to_string());
            Ok(())
        })
    }

    /// Makes a token. `bundle` is the authority's: its roots are those that the token lets vouch for the CA's server.
    /// It blocks for as long as a file takes to be written.
    ///
    /// # Errors
    /// It asks for no workload or a lifetime over 7 days, nobody serves the API yet, too many tokens are out, or it could
    /// not be stored.
    pub fn mint(&self, request: &TokenRequest, bundle: &TrustBundle) -> Result<JoinToken, CaError> {
        const LONGEST: Duration = Duration::from_secs(7 * 86_400);
        let refuse = |message: String| Err(CaError::new(CaErrorKind::InvalidRequest, message));
        let id = &request.spiffe_id;
        if id.path().is_empty() {
            return refuse(format!("{id} names a trust domain: expected a workload of it"));
        }
        if request.ttl < Duration::from_secs(1) || request.ttl > LONGEST {
            return refuse("a token counts from one second to 7 days".into());
        }
        let mut secret = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *secret)
            .map_err(|_| CaError::new(CaErrorKind::Internal, "the system gives no randomness"))?;
        let roots: Vec<_> = bundle.roots.iter().map(|root| RootHash::of(&root.cert)).collect();
        if roots.is_empty() {
            return refuse("the bundle has no root that could vouch for the CA's server".into());
        }
        self.inner.change(|record, now| {
            let Some(server) = record.server.as_ref().and_then(|server| server.parse::<SpiffeId>().ok()) else {
                return Err(CaError::new(
                    CaErrorKind::WrongState,
                    "nobody serves certificates from here yet, so that a token could not say who does: start the proxy \
                     with mutualTLS.certificateApi first",
                ));
            };
            if server.trust_domain() != id.trust_domain() {
                let message = format!("{id} is of another trust domain than {server}, which serves certificates");
                return Err(CaError::new(CaErrorKind::InvalidRequest, message));
            }
            if record.tokens.len() >= MAX_TOKENS {
                let message = format!("{MAX_TOKENS} tokens are out: wait until some are over");
                return Err(CaError::new(CaErrorKind::Throttled, message));
            }
            let token = JoinToken::new(secret.clone(), roots.iter().copied(), server);
            record.tokens.push(Token {
                hash: hash(&token.secret()),
                id: id.to_string(),
                dns: request.dns_names.iter().map(|name| name.as_ref().to_owned()).collect(),
                until: seconds(now) + request.ttl.as_secs(),
                used: None,
            });
            Ok(token)
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, CaError> + Send + 'static,
    ) -> Result<T, CaError> {
        let inner = Arc::clone(&self.inner);
        if matches!(inner.place, Place::Memory(_)) {
            return work(&inner);
        }
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| {
            let message = format!("the tokens could not be looked at: {error}");
            Err(CaError::new(CaErrorKind::Internal, message))
        })
    }
}

impl Inner {
    /// Changes what is kept, as a whole, while nobody else does. When it returns, a crash does not undo it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Record, SystemTime) -> Result<T, CaError>,
    ) -> Result<T, CaError> {
        let now = self.clock.now();
        match &self.place {
            Place::Memory(record) => {
                let mut record = record.lock();
                record.prune(now);
                change(&mut record, now)
            }
            Place::Directory(dir) => {
                let _lock = dir.lock().map_err(storage)?;
                let mut record = load(dir)?;
                record.prune(now);
                let done = change(&mut record, now)?;
                record.version = VERSION;
                let sealed = sealed::seal(&record).map_err(|why| {
                    CaError::new(
                        CaErrorKind::Storage,
                        format!("the tokens cannot be written: {why}"),
                    )
                })?;
                dir.write(FILE, &sealed).map_err(storage)?;
                Ok(done)
            }
        }
    }

    fn use_up(&self, hash: &str) -> Result<Attested, CaError> {
        // Whatever is wrong is found before anything is written: who guesses costs no write.
        if let Place::Directory(dir) = &self.place {
            load(dir)?.check(hash, self.clock.now())?;
        }
        self.change(|record, now| {
            let token = record.check(hash, now)?;
            let attested = token.attested()?;
            token.used = Some(seconds(now));
            Ok(attested)
        })
    }
}

impl Record {
    /// The token of this hash, if it still counts.
    fn check(&mut self, hash: &str, now: SystemTime) -> Result<&mut Token, CaError> {
        let denied = |why: String| Err(CaError::new(CaErrorKind::Denied, why));
        let Some(token) = self.tokens.iter_mut().find(|token| token.hash == hash) else {
            return denied(
                "there is no such join token: was it made by this CA, and copied as a whole?".into(),
            );
        };
        if let Some(used) = token.used {
            let ago = seconds(now).saturating_sub(used);
            let id = &token.id;
            return denied(format!(
                "the join token of {id} was used {ago} s ago, and counts once: make a new one with mesh-proxy cert token"
            ));
        }
        if token.until <= seconds(now) {
            let ago = seconds(now) - token.until;
            let id = &token.id;
            return denied(format!(
                "the join token of {id} was over {ago} s ago: make a new one with mesh-proxy cert token"
            ));
        }
        Ok(token)
    }

    fn prune(&mut self, now: SystemTime) {
        let oldest = seconds(now).saturating_sub(REMEMBERED.as_secs());
        self.tokens.retain(|token| token.until > oldest);
    }
}

impl Token {
    fn attested(&self) -> Result<Attested, CaError> {
        let damaged = || {
            let message = format!("the join token of {:?} cannot be understood", self.id);
            CaError::new(CaErrorKind::Storage, message)
        };
        let mut attested = Attested::new(self.id.parse().map_err(|_| damaged())?);
        for name in &self.dns {
            attested
                .dns_names
                .push(DnsName::try_from(name.clone()).map_err(|_| damaged())?);
        }
        attested.reference = Some(self.hash.as_str().into());
        Ok(attested)
    }
}

impl Attestor for JoinTokens {
    async fn attest(&self, proof: &Proof, _: &PeerInfo) -> Result<Attested, CaError> {
        if proof.kind() != &ProofKind::JOIN_TOKEN || unhex(proof.reveal()).is_none() {
            return Err(CaError::new(
                CaErrorKind::Denied,
                "what was shown is not the secret of a join token",
            ));
        }
        let hash = hash(proof.reveal());
        self.blocking(move |inner| inner.use_up(&hash)).await
    }

    async fn give_back(&self, attested: &Attested) {
        let Some(hash) = attested.reference.clone() else {
            return;
        };
        let given = self.blocking(move |inner| {
            inner.change(|record, _| {
                let token = record.tokens.iter_mut().find(|token| *token.hash == *hash);
                if let Some(token) = token {
                    token.used = None;
                }
                Ok(())
            })
        });
        if let Err(error) = given.await {
            tracing::warn!(id = %attested.spiffe_id, %error, "a join token that brought no certificate stays used");
        }
    }
}

impl fmt::Debug for JoinTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = match &self.inner.place {
            Place::Memory(_) => None,
            Place::Directory(dir) => Some(dir.path()),
        };
        f.debug_struct("JoinTokens")
            .field("directory", &directory)
            .finish_non_exhaustive()
    }
}

fn load(dir: &SecureDir) -> Result<Record, CaError> {
    let Some(content) = dir.read(FILE, MAX_LEN).map_err(storage)? else {
        return Ok(Record::default());
    };
    sealed::open(&content).map_err(|why| {
        let path = dir.file(FILE);
        let message = format!(
            "{}: {why}; if it is moved away, tokens that are out are void and new ones can be made",
            path.display()
        );
        CaError::new(CaErrorKind::Storage, message)
    })
}

fn hash(secret: &str) -> String {
    sha256(secret.as_bytes())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn storage(error: StoreError) -> CaError {
    CaError::new(CaErrorKind::Storage, error.to_string()).with_source(error)
}

#[cfg(test)]
mod tests;
