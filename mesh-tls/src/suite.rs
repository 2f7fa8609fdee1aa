//! Versions and cipher suites of TLS, by their names.

use std::fmt;
use std::str::FromStr;

/// A version of TLS.
///
/// ```
/// use mesh_tls::TlsVersion;
///
/// let version: TlsVersion = "TLSv1.3".parse()?;
/// assert_eq!(version, TlsVersion::Tls13);
/// assert!("TLSv1.1".parse::<TlsVersion>().is_err());
/// # Ok::<(), mesh_tls::suite::UnknownName>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A cipher suite. There is none without forward secrecy or without authenticated encryption to choose.
///
/// ```
/// use mesh_tls::{CipherSuite, TlsVersion};
///
/// let suite: CipherSuite = "TLS_AES_256_GCM_SHA384".parse()?;
/// assert_eq!(suite.version(), TlsVersion::Tls13);
/// assert!(suite.twins().contains(&CipherSuite::EcdheRsaAes256GcmSha384));
/// assert!("TLS_RSA_WITH_AES_128_CBC_SHA".parse::<CipherSuite>().is_err());
/// # Ok::<(), mesh_tls::suite::UnknownName>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum CipherSuite {
    Tls13Aes128GcmSha256,
    Tls13Aes256GcmSha384,
    Tls13Chacha20Poly1305Sha256,
    EcdheEcdsaAes128GcmSha256,
    EcdheEcdsaAes256GcmSha384,
    EcdheEcdsaChacha20Poly1305Sha256,
    EcdheRsaAes128GcmSha256,
    EcdheRsaAes256GcmSha384,
    EcdheRsaChacha20Poly1305Sha256,
}

use CipherSuite::{
    EcdheEcdsaAes128GcmSha256, EcdheEcdsaAes256GcmSha384, EcdheEcdsaChacha20Poly1305Sha256,
    EcdheRsaAes128GcmSha256, EcdheRsaAes256GcmSha384, EcdheRsaChacha20Poly1305Sha256, Tls13Aes128GcmSha256,
    Tls13Aes256GcmSha384, Tls13Chacha20Poly1305Sha256,
};

impl TlsVersion {
    /// Every version that is spoken.
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// Its name, as configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

impl CipherSuite {
    /// Every suite: those of TLS 1.3, then those of TLS 1.2.
    pub const ALL: [Self; 9] = [
        Tls13Aes256GcmSha384,
        Tls13Aes128GcmSha256,
        Tls13Chacha20Poly1305Sha256,
        EcdheEcdsaAes256GcmSha384,
        EcdheEcdsaAes128GcmSha256,
        EcdheEcdsaChacha20Poly1305Sha256,
        EcdheRsaAes256GcmSha384,
        EcdheRsaAes128GcmSha256,
        EcdheRsaChacha20Poly1305Sha256,
    ];

    /// Its name in the registry of TLS.
    pub const fn name(self) -> &'static str {
        match self {
            Tls13Aes128GcmSha256 => "TLS_AES_128_GCM_SHA256",
            Tls13Aes256GcmSha384 => "TLS_AES_256_GCM_SHA384",
            Tls13Chacha20Poly1305Sha256 => "TLS_CHACHA20_POLY1305_SHA256",
            EcdheEcdsaAes128GcmSha256 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            EcdheEcdsaAes256GcmSha384 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            EcdheEcdsaChacha20Poly1305Sha256 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            EcdheRsaAes128GcmSha256 => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            EcdheRsaAes256GcmSha384 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            EcdheRsaChacha20Poly1305Sha256 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        }
    }

    /// The version of TLS it belongs to.
    pub const fn version(self) -> TlsVersion {
        match self {
            Tls13Aes128GcmSha256 | Tls13Aes256GcmSha384 | Tls13Chacha20Poly1305Sha256 => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        }
    }

    /// The suites of the other version that encrypt the same way: TLS 1.3 has one where TLS 1.2 has one for each
    /// kind of key.
    pub const fn twins(self) -> &'static [Self] {
        match self {
            Tls13Aes128GcmSha256 => &[EcdheEcdsaAes128GcmSha256, EcdheRsaAes128GcmSha256],
            Tls13Aes256GcmSha384 => &[EcdheEcdsaAes256GcmSha384, EcdheRsaAes256GcmSha384],
            Tls13Chacha20Poly1305Sha256 => {
                &[EcdheEcdsaChacha20Poly1305Sha256, EcdheRsaChacha20Poly1305Sha256]
            }
            EcdheEcdsaAes128GcmSha256 | EcdheRsaAes128GcmSha256 => &[Tls13Aes128GcmSha256],
            EcdheEcdsaAes256GcmSha384 | EcdheRsaAes256GcmSha384 => &[Tls13Aes256GcmSha384],
            EcdheEcdsaChacha20Poly1305Sha256 | EcdheRsaChacha20Poly1305Sha256 => {
                &[Tls13Chacha20Poly1305Sha256]
            }
        }
    }
}

/// A text names no version or suite that is spoken here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    found: Box<str>,
    expected: Box<str>,
}

impl UnknownName {
    fn new(found: &str, known: impl Iterator<Item = &'static str>) -> Self {
        Self {
            found: found.chars().take(80).collect::<String>().into(),
            expected: known.collect::<Vec<_>>().join(", ").into(),
        }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not spoken here; expected one of {}",
            self.found, self.expected
        )
    }
}

impl std::error::Error for UnknownName {}

impl FromStr for TlsVersion {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.into_iter().find(|version| version.name() == text);
        known.ok_or_else(|| UnknownName::new(text, Self::ALL.into_iter().map(Self::name)))
    }
}

impl FromStr for CipherSuite {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.into_iter().find(|suite| suite.name() == text);
        known.ok_or_else(|| UnknownName::new(text, Self::ALL.into_iter().map(Self::name)))
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_is_read_back_from_its_name_and_has_twins_of_the_other_version() {
        for suite in CipherSuite::ALL {
            assert_eq!(suite.name().parse(), Ok(suite));
            assert!(!suite.twins().is_empty());
            for twin in suite.twins() {
                assert_ne!(twin.version(), suite.version());
                assert!(twin.twins().contains(&suite));
            }
        }
    }

    #[test]
    fn an_unknown_name_is_told_what_is_known() {
        let error = "TLS_RSA_WITH_AES_128_CBC_SHA"
            .parse::<CipherSuite>()
            .expect_err("unknown");
        assert!(error.to_string().contains("TLS_AES_256_GCM_SHA384"), "{error}");
        let error = "SSLv3".parse::<TlsVersion>().expect_err("unknown");
        assert_eq!(
            error.to_string(),
            r#""SSLv3" is not spoken here; expected one of TLSv1.2, TLSv1.3"#
        );
    }
}
