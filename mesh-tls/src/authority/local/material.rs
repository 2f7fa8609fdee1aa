//! The keys and certificates of a generation.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose,
    PublicKeyData as _,
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::stored::whole_seconds;
use super::times::SKEW;
use crate::authority::{CaError, CaErrorKind, SerialNumber};
use crate::certificate::Certificate;
use crate::hash::sha256_half;
use crate::key::{KeyType, PrivateKey, SigningPair};
use crate::pem;

/// What the generations of one CA have in common.
#[derive(Clone, Debug)]
pub(super) struct Design {
    pub(super) trust_domain: String,
    pub(super) key_type: KeyType,
    pub(super) root_lifetime: Duration,
    pub(super) intermediate: bool,
}

/// The keys and certificates of a generation.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Material {
    root: Pair,
    /// What signs in the root's place, in a CA with an intermediate.
    issuing: Option<Pair>,
}

/// A key and its certificate, as text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    key: Zeroizing<String>,
    certificate: String,
}

/// A CA that can sign.
pub(super) struct Signer {
    pub(super) issuer: Issuer<'static, SigningPair>,
    pub(super) certificate: Certificate,
    pub(super) der: CertificateDer<'static>,
}

impl Material {
    /// Draws keys, which takes seconds for the larger ones of RSA, and signs them.
    pub(super) fn make(design: &Design, now: SystemTime) -> Result<Self, CaError> {
        let key = || PrivateKey::generate_blocking(design.key_type).map_err(|error| internal(&error));
        let (begin, end) = (now.checked_sub(SKEW), now.checked_add(design.root_lifetime));
        let (Some(begin), Some(end)) = (begin, end) else {
            return Err(CaError::new(
                CaErrorKind::InvalidRequest,
                "the root's lifetime is out of range",
            ));
        };
        let validity = (whole_seconds(begin), whole_seconds(end));
        let root_key = key()?;
        let pair = root_key.pair().map_err(|error| internal(&error))?;
        let below = u8::from(design.intermediate);
        let params = params(&design.trust_domain, "root", &pair, validity, below)?;
        let signed = params.self_signed(&pair).map_err(|error| internal(&error))?;
        let root = Pair::of(&root_key, signed.der());
        let issuing = match design.intermediate {
            false => None,
            true => {
                let issuing_key = key()?;
                let issuing_pair = issuing_key.pair().map_err(|error| internal(&error))?;
                let mut params = self::params(&design.trust_domain, "issuing", &issuing_pair, validity, 0)?;
                params.use_authority_key_identifier_extension = true;
                let root = root.signer()?;
                let signed = params.signed_by(&issuing_pair, &root.issuer);
                Some(Pair::of(
                    &issuing_key,
                    signed.map_err(|error| internal(&error))?.der(),
                ))
            }
        };
        Ok(Self { root, issuing })
    }

    /// What a record of version 1 held.
    pub(super) fn of_root(key: Zeroizing<String>, certificate: String) -> Self {
        Self {
            root: Pair { key, certificate },
            issuing: None,
        }
    }

    /// The root, and the issuing CA below it if there is one.
    pub(super) fn signers(&self) -> Result<Vec<Signer>, CaError> {
        [Some(&self.root), self.issuing.as_ref()]
            .into_iter()
            .flatten()
            .map(Pair::signer)
            .collect()
    }

    pub(super) fn root(&self) -> Result<CertificateDer<'static>, CaError> {
        self.root.certificate()
    }
}

impl Pair {
    fn of(key: &PrivateKey, certificate: &CertificateDer<'_>) -> Self {
        Self {
            key: pem::encode_private_key(key),
            certificate: pem::encode_certificates([&certificate.clone().into_owned()]),
        }
    }

    fn certificate(&self) -> Result<CertificateDer<'static>, CaError> {
        let mut certificates =
            pem::certificates(self.certificate.as_bytes()).map_err(|error| internal(&error))?;
        Ok(certificates.swap_remove(0))
    }

    fn signer(&self) -> Result<Signer, CaError> {
        let key = pem::private_key(self.key.as_bytes()).map_err(|error| internal(&error))?;
        let der = self.certificate()?;
        let pair = key.pair().map_err(|error| internal(&error))?;
        let certificate = Certificate::parse(&der).map_err(|error| internal(&error))?;
        if certificate.spki != pair.subject_public_key_info() {
            return Err(CaError::new(
                CaErrorKind::Storage,
                "the CA's key is not that of its certificate",
            ));
        }
        Ok(Signer {
            issuer: Issuer::from_ca_cert_der(&der, pair).map_err(|error| internal(&error))?,
            certificate,
            der,
        })
    }
}

/// What a CA's certificate says. Its name is its own: were two generations called the same, nobody could tell whose a
/// revocation list is.
fn params(
    trust_domain: &str,
    what: &str,
    pair: &SigningPair,
    (begin, end): (SystemTime, SystemTime),
    below: u8,
) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // 64 characters are the most that a common name may have.
    let common: String = format!("{trust_domain} {what}").chars().take(64).collect();
    name.push(DnType::CommonName, common);
    let key_id = sha256_half(pair.der_bytes());
    name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), key_id);
    params.distinguished_name = name;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(random_serial()?.as_bytes()));
    params.not_before = date(begin)?;
    params.not_after = date(end)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// The attribute of a name that tells two of one name apart.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

/// What a certificate can say of a time: up to the year 9999.
pub(super) fn date(time: SystemTime) -> Result<OffsetDateTime, CaError> {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).ok(),
        Err(before) => i64::try_from(before.duration().as_secs())
            .ok()
            .map(|seconds| -seconds),
    };
    seconds
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .filter(|date| (1..=9999).contains(&date.year()))
        .ok_or_else(|| {
            CaError::new(
                CaErrorKind::InvalidRequest,
                "a certificate was to end after the year 9999, or to begin before the year 1: expected a shorter \
                 lifetime, and a clock that is right",
            )
        })
}

/// 128 random bits: nobody can guess it, and nobody draws it twice.
pub(super) fn random_serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    loop {
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| CaError::new(CaErrorKind::Internal, "the system gives no randomness"))?;
        if let Ok(serial) = SerialNumber::from_bytes(&bytes) {
            return Ok(serial);
        }
    }
}

pub(super) fn internal(error: &impl std::fmt::Display) -> CaError {
    CaError::new(CaErrorKind::Internal, error.to_string())
}
