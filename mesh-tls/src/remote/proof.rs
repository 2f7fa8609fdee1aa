//! What proves who somebody is.

use std::borrow::Cow;
use std::fmt;

use zeroize::Zeroizing;

use crate::authority::{CaError, CaErrorKind};

/// The kind of a [`Proof`]: an open set, so that an [`Attestor`](super::Attestor) of somebody else has kinds of its own.
///
/// ```
/// use mesh_tls::remote::ProofKind;
///
/// assert_eq!(ProofKind::JOIN_TOKEN.as_str(), "join-token");
/// assert!(ProofKind::new("service-account").is_ok());
/// assert!(ProofKind::new("Service Account").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProofKind(Cow<'static, str>);

impl ProofKind {
    /// A [`JoinToken`](super::JoinToken).
    pub const JOIN_TOKEN: Self = Self(Cow::Borrowed("join-token"));
    /// The certificate that was shown in the handshake. It has no value.
    pub const CERTIFICATE: Self = Self(Cow::Borrowed("certificate"));

    /// A kind: 1 to 64 lower-case letters, digits and `-`.
    ///
    /// # Errors
    /// [`CaErrorKind::InvalidRequest`]: the name is another text.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Result<Self, CaError> {
        let name = name.into();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            let message = "not a kind of proof: expected 1 to 64 lower-case letters, digits and '-'";
            return Err(CaError::new(CaErrorKind::InvalidRequest, message));
        }
        Ok(Self(name))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProofKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What proves who somebody is: a token, a signed document. Nothing prints it, and it is overwritten when it is dropped.
///
/// ```
/// use mesh_tls::remote::{Proof, ProofKind};
///
/// let proof = Proof::new(ProofKind::JOIN_TOKEN, "0f1e2d")?;
/// assert_eq!(proof.reveal(), "0f1e2d");
/// assert!(!format!("{proof:?}").contains("0f1e2d"));
/// # Ok::<(), mesh_tls::CaError>(())
/// ```
#[derive(Clone)]
pub struct Proof {
    kind: ProofKind,
    value: Zeroizing<String>,
}

impl Proof {
    /// The longest value, in bytes: the largest tokens of Kubernetes take a tenth of it.
    pub const MAX_LEN: usize = 16 * 1024;

    /// A proof of this kind.
    ///
    /// # Errors
    /// [`CaErrorKind::InvalidRequest`]: the value is longer than [`MAX_LEN`](Self::MAX_LEN).
    pub fn new(kind: ProofKind, value: impl Into<String>) -> Result<Self, CaError> {
        let value = Zeroizing::new(value.into());
        if value.len() > Self::MAX_LEN {
            let (length, most) = (value.len(), Self::MAX_LEN);
            let message = format!("the proof has {length} bytes: expected up to {most}");
            return Err(CaError::new(CaErrorKind::InvalidRequest, message));
        }
        Ok(Self { kind, value })
    }

    /// Its kind.
    pub fn kind(&self) -> &ProofKind {
        &self.kind
    }

    /// The value. Whoever has it may be able to be somebody else.
    pub fn reveal(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
