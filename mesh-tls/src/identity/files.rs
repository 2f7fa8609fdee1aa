//! An identity in files that somebody else renews.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_core::clock::{SystemClock, WallClock};
use mesh_core::{BoxError, EventBus, MeshEvent, Publisher, SpiffeId, live};
use tokio::time::sleep;

use super::epoch::{Compiler, Epoch};
use super::peers::LivePeers;
use super::status::{IdentityStatus, RenewalStatus, Standing, Step, TrustStatus};
use super::{Identity, IdentityError};
use crate::authority::{IssuedCert, TrustBundle, TrustRoot};
use crate::key::PrivateKey;
use crate::pem;
use crate::policy::TlsPolicy;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// No certificate, key or list of this mesh is larger.
const MAX_LEN: u64 = 8 * 1024 * 1024;

/// An identity in files that somebody else renews: cert-manager, an operator, a script.
///
/// The files are looked at every 5 seconds, by content: it works with a volume that a link switches, too. What
/// changes is taken over if all of it fits together, and told in the log if it does not; the last good state stays
/// in use.
///
/// ```no_run
/// # async fn example() -> Result<(), mesh_core::BoxError> {
/// use mesh_tls::IdentityFiles;
///
/// let id = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let identity = IdentityFiles::new("cert.pem", "key.pem", "ca.pem").start(id).await?;
/// assert_eq!(identity.id().service(), Some("orders"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "there is no identity before `start`"]
pub struct IdentityFiles {
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
    crl: Option<PathBuf>,
    policy: TlsPolicy,
    clock: Arc<dyn WallClock>,
    events: Option<EventBus>,
}

impl IdentityFiles {
    /// The certificate, followed by those that lead to a root; its private key; the roots. All PEM.
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>, ca: impl Into<PathBuf>) -> Self {
        Self {
            cert: cert.into(),
            key: key.into(),
            ca: ca.into(),
            crl: None,
            policy: TlsPolicy::default(),
            clock: Arc::new(SystemClock),
            events: None,
        }
    }

    /// The revocation lists, one of each CA that signs, PEM or one in DER. With a list of one CA, every CA that
    /// signed a certificate in a chain needs one.
    pub fn crl(mut self, crl: impl Into<PathBuf>) -> Self {
        self.crl = Some(crl.into());
        self
    }

    /// What of TLS is spoken.
    pub fn policy(mut self, policy: TlsPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// What time it is.
    pub fn clock(mut self, clock: impl WallClock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Who is told of new certificates, and of peers whose connections end.
    pub fn events(mut self, events: EventBus) -> Self {
        self.events = Some(events);
        self
    }

    /// Reads the files, and follows them from then on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A file cannot be read, the files do not fit together, or the certificate is not that of `id`.
    pub async fn start(self, id: SpiffeId) -> Result<Identity, IdentityError> {
        let compiler = Compiler::new(id.clone(), &self.policy, Arc::clone(&self.clock))?;
        let follow = Follow {
            files: self,
            compiler,
            sequence: 1,
            refused: None,
            refusals: 0,
        };
        let content = follow.read().await?;
        follow.warn_of_loose_key();
        let epoch = follow.epoch(&content, None).and_then(|epoch| epoch.fit(&id))?;
        let (tell_status, status) = live(follow.status(&epoch));
        let peers = LivePeers::new(epoch.trust_number, follow.files.events.clone());
        let (publisher, epoch) = live(epoch);
        let run = follow.run(content, publisher, tell_status);
        Ok(Identity::new(id, (epoch, status, peers), run))
    }
}

/// The bytes of the files.
#[derive(PartialEq, Eq)]
struct Content {
    cert: Vec<u8>,
    key: zeroize::Zeroizing<Vec<u8>>,
    ca: Vec<u8>,
    crl: Option<Vec<u8>>,
}

struct Follow {
    files: IdentityFiles,
    compiler: Compiler,
    sequence: u64,
    refused: Option<Arc<str>>,
    refusals: u64,
}

impl Follow {
    async fn read(&self) -> Result<Content, IdentityError> {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || {
            Ok(Content {
                cert: read(&files.cert)?,
                key: read(&files.key)?.into(),
                ca: read(&files.ca)?,
                crl: files.crl.as_deref().map(read).transpose()?,
            })
        });
        read.await
            .unwrap_or_else(|error| Err(IdentityError::because("the files cannot be read", error)))
    }

    fn epoch(&self, content: &Content, before: Option<&Epoch>) -> Result<Epoch, IdentityError> {
        let files = &self.files;
        let wrong = |path: &Path, cause: BoxError| IdentityError::because(path.display(), cause);
        let chain = pem::certificates(&content.cert).map_err(|error| wrong(&files.cert, error.into()))?;
        let key: PrivateKey =
            pem::private_key(&content.key).map_err(|error| wrong(&files.key, error.into()))?;
        let roots = pem::certificates(&content.ca).map_err(|error| wrong(&files.ca, error.into()))?;
        let crls = match (&files.crl, &content.crl) {
            (Some(path), Some(crl)) => pem::crls(crl).map_err(|error| wrong(path, error.into()))?,
            _ => Vec::new(),
        };
        let issued = IssuedCert::of_chain(chain).map_err(|error| wrong(&files.cert, error.into()))?;
        let bundle = TrustBundle::new(self.sequence, roots.into_iter().map(TrustRoot::new)).with_crls(crls);
        self.compiler
            .compile(&key, &issued, &bundle, before)
            // It may be any of them, and says of what it speaks.
            .map_err(|error| {
                let files = [&files.cert, &files.key, &files.ca].map(|path| path.display().to_string());
                IdentityError::because(files.join(", "), error)
            })
    }

    /// Runs until it is dropped.
    async fn run(
        mut self,
        mut current: Content,
        publisher: Publisher<Epoch>,
        status: Publisher<IdentityStatus>,
    ) {
        loop {
            sleep(INTERVAL).await;
            match self.read().await {
                Ok(content) if content == current => self.refused = None,
                read => {
                    if let Some(content) = self.take(read, &publisher) {
                        current = content;
                    }
                }
            }
            let now = self.status(&publisher.current());
            if *status.current() != now {
                status.publish(now);
            }
        }
    }

    /// Takes changed files over, if they fit together.
    fn take(
        &mut self,
        read: Result<Content, IdentityError>,
        publisher: &Publisher<Epoch>,
    ) -> Option<Content> {
        self.sequence += 1;
        let before = publisher.current();
        let taken = read.and_then(|content| {
            let epoch = self.epoch(&content, Some(&before))?;
            epoch.may_replace(&before)?;
            // What a list takes back has to count at once, even if it is the own certificate.
            let epoch = match epoch.standing() {
                Standing::Revoked | Standing::Expired => epoch,
                _ => epoch.fit(&self.compiler.id)?,
            };
            Ok((epoch, content))
        });
        match taken {
            Ok((epoch, content)) => {
                tracing::info!(id = %self.compiler.id, serial = %epoch.cert.serial(), "the identity was read anew from its files");
                if let Err(error) = &epoch.own {
                    tracing::error!(id = %self.compiler.id, %error, "peers do not believe the certificate any more; who renews it has to");
                }
                if let Some(events) = &self.files.events
                    && epoch.cert != before.cert
                {
                    events.emit(MeshEvent::CertificateRotated {
                        identity: self.compiler.id.clone(),
                        serial: epoch.cert.serial().to_string().into(),
                        not_after: epoch.cert.not_after(),
                    });
                }
                publisher.publish(epoch);
                self.refused = None;
                Some(content)
            }
            Err(error) => {
                // Files that are written one after the other do not fit for a moment: it is told once.
                let error = error.to_string();
                if self.refused.as_deref() != Some(&*error) {
                    tracing::warn!(%error, "the changed files are refused; the last good identity stays in use");
                    self.refused = Some(error.into());
                    self.refusals += 1;
                }
                None
            }
        }
    }

    fn status(&self, epoch: &Epoch) -> IdentityStatus {
        let now = self.compiler.clock.now();
        let standing = match epoch.standing() {
            Standing::Revoked => Standing::Revoked,
            _ if now > epoch.cert.not_after() => Standing::Expired,
            other => other,
        };
        IdentityStatus {
            id: self.compiler.id.clone(),
            certificate: epoch.cert.clone(),
            standing,
            renewal: RenewalStatus {
                due: None,
                step: Step::Serving,
                overdue_since: None,
                failures: 0,
                last_error: None,
            },
            trust: TrustStatus {
                refused: self.refused.clone(),
                refusals: self.refusals,
                ..TrustStatus::of(epoch)
            },
            unsaved: None,
        }
    }

    /// Whose files they are decides who may read them; that others can is told.
    fn warn_of_loose_key(&self) {
        let path = &self.files.key;
        if let Ok(metadata) = fs::metadata(path)
            && metadata.permissions().mode() & 0o077 != 0
        {
            let mode = format!("{:04o}", metadata.permissions().mode() & 0o7777);
            tracing::warn!(path = %path.display(), mode, "others can read this private key; expected mode 0600 (chmod 600)");
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let read = || -> io::Result<Vec<u8>> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        if metadata.len() > MAX_LEN {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is larger than {MAX_LEN} bytes"),
            ));
        }
        fs::read(path)
    };
    read().map_err(|error| IdentityError::because(format_args!("{} cannot be read", path.display()), error))
}
