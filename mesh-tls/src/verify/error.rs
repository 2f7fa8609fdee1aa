//! Why a certificate or a bundle is not believed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::{CertificateError as Tls, OtherError};
use rustls_pki_types::UnixTime;

use crate::certificate::{Certificate, CertificateError};
use crate::printable::shortened;

/// What is wrong with a certificate or its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// It cannot be read, or breaks a rule for what a certificate may say.
    Malformed,
    /// The chain has too many certificates.
    ChainTooLong,
    /// It, or a certificate above it, is past its end.
    Expired,
    /// It, or a certificate above it, has not begun.
    NotYetValid,
    /// No root of the bundle vouches for it.
    UnknownIssuer,
    /// It was taken back.
    Revoked,
    /// An issuer has no revocation list, where others have one.
    RevocationUnknown,
    /// A revocation list is too old, begins in the future, or is not signed by whom it says.
    StaleCrl,
    /// It may not be used for this.
    WrongUsage,
    /// A key or signature is too weak.
    WeakKey,
    /// It holds no SPIFFE ID, or not exactly one.
    BadSpiffeId,
    /// Its SPIFFE ID is of a trust domain that is not believed.
    ForeignTrustDomain,
    /// It is somebody else's.
    WrongIdentity,
}

/// Why a certificate is not believed.
#[derive(Clone, Debug)]
pub struct VerifyError {
    kind: VerifyErrorKind,
    message: String,
    times: Option<(UnixTime, UnixTime)>,
}

impl VerifyError {
    pub(super) fn new(kind: VerifyErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            times: None,
        }
    }

    pub(super) fn malformed(error: &CertificateError) -> Self {
        Self::new(
            VerifyErrorKind::Malformed,
            format!("a certificate cannot be used: {error}"),
        )
    }

    /// With the leaf that it is about.
    pub(super) fn of(mut self, leaf: &Certificate) -> Self {
        let who = leaf
            .spiffe_id()
            .map_or_else(|_| shortened(leaf.subject()), |id| shortened(id.as_str()));
        self.message = format!("the certificate {} of {who}: {}", leaf.serial(), self.message);
        self
    }

    pub(super) fn expired(now: SystemTime, not_after: SystemTime, what: &str) -> Self {
        let ago = now.duration_since(not_after).unwrap_or_default();
        Self {
            kind: VerifyErrorKind::Expired,
            message: format!(
                "{what} ended {} ago (at {}; this host's clock says {})",
                rough(ago),
                seconds(not_after),
                seconds(now)
            ),
            times: Some((unix(now), unix(not_after))),
        }
    }

    pub(super) fn not_yet(now: SystemTime, not_before: SystemTime, what: &str) -> Self {
        let left = not_before.duration_since(now).unwrap_or_default();
        Self {
            kind: VerifyErrorKind::NotYetValid,
            message: format!(
                "{what} begins in {} (at {}; this host's clock says {}): is one of the clocks wrong?",
                rough(left),
                seconds(not_before),
                seconds(now)
            ),
            times: Some((unix(now), unix(not_before))),
        }
    }

    pub(super) fn revoked(certificate: &Certificate, issuer: &str) -> Self {
        let message = match certificate.is_ca() {
            true => format!(
                "the CA {} above it was revoked by {}",
                shortened(certificate.subject()),
                shortened(issuer)
            ),
            false => format!("it was revoked by {}", shortened(issuer)),
        };
        Self::new(VerifyErrorKind::Revoked, message)
    }

    pub(super) fn webpki(error: &webpki::Error, now: SystemTime) -> Self {
        use VerifyErrorKind as Kind;
        use webpki::Error;
        let time = |time: &UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
        let (kind, message) = match error {
            Error::CertExpired { not_after, .. } => {
                return Self::expired(now, time(not_after), "it, or a certificate above it,");
            }
            Error::CertNotValidYet { not_before, .. } => {
                return Self::not_yet(now, time(not_before), "it, or a certificate above it,");
            }
            Error::UnknownIssuer => (
                Kind::UnknownIssuer,
                "no root that is trusted here vouches for it: does the peer belong to this mesh, and does the bundle \
                 hold its CA?"
                    .to_owned(),
            ),
            Error::InvalidSignatureForPublicKey => (
                Kind::UnknownIssuer,
                "a CA of the right name signed it with another key than that of the bundle: does the bundle hold an \
                 older or newer CA?"
                    .to_owned(),
            ),
            Error::PathLenConstraintViolated => {
                (Kind::Malformed, "a CA above it may not have that many CAs below it (pathLenConstraint)".to_owned())
            }
            Error::NameConstraintViolation => {
                (Kind::Malformed, "a CA above it may not sign for its names (nameConstraints)".to_owned())
            }
            Error::UnsupportedCriticalExtension => {
                (Kind::Malformed, "it, or a certificate above it, has a critical extension that is not known here".to_owned())
            }
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension | Error::CaUsedAsEndEntity => {
                (Kind::WrongUsage, format!("it may not be used for this: {error}"))
            }
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                (Kind::WeakKey, format!("a signature in its chain is of a kind that is not believed: {error}"))
            }
            error => (Kind::Malformed, format!("its chain is not right: {error}")),
        };
        Self::new(kind, message)
    }

    /// What is wrong.
    pub fn kind(&self) -> VerifyErrorKind {
        self.kind
    }
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn seconds(time: SystemTime) -> u64 {
    unix(time).as_secs()
}

/// Whole seconds, minutes, hours or days: what a person looks for.
fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for VerifyError {}

/// With the variant whose alert tells the peer what it may know. The text stays here, and goes into the log.
impl From<VerifyError> for rustls::Error {
    fn from(error: VerifyError) -> Self {
        let certificate = match (error.kind, error.times) {
            (VerifyErrorKind::Expired, Some((time, not_after))) => Tls::ExpiredContext { time, not_after },
            (VerifyErrorKind::NotYetValid, Some((time, not_before))) => {
                Tls::NotValidYetContext { time, not_before }
            }
            (VerifyErrorKind::UnknownIssuer, _) => Tls::UnknownIssuer,
            (VerifyErrorKind::Revoked, _) => Tls::Revoked,
            (VerifyErrorKind::RevocationUnknown, _) => Tls::UnknownRevocationStatus,
            _ => Tls::Other(OtherError(Arc::new(error))),
        };
        Self::InvalidCertificate(certificate)
    }
}

/// Why a bundle cannot be used: every reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustError {
    problems: Vec<String>,
}

impl TrustError {
    pub(super) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }

    /// Each reason.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for TrustError {}
