//! A CA as it is kept: its generations, each a key and a root.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{LocalCaOptions, storage};
use crate::authority::{CaError, CaErrorKind, SerialNumber};
use crate::hash::sha256_half;
use crate::key::{PrivateKey, SigningPair};
use crate::secure_dir::SecureDir;
use crate::{pem, sealed};

pub(super) const FILE: &str = "ca.record";
const VERSION: u32 = 1;
const MAX_LEN: u64 = 1024 * 1024;
/// How far a clock may be behind that of the CA.
const BACK_DATED: Duration = Duration::from_secs(300);

/// Everything that has to agree, in one file.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    trust_domain: String,
    /// The sequence of the trust bundle.
    sequence: u64,
    /// How long a certificate is good for at most, in seconds.
    longest_leaf: u64,
    /// The active one; others come with rotation.
    generations: Vec<Generation>,
}

#[derive(Serialize, Deserialize)]
struct Generation {
    number: u64,
    state: State,
    key: Zeroizing<String>,
    certificate: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Active,
}

impl Record {
    /// A new CA, of its first generation.
    pub(super) fn make(options: &LocalCaOptions) -> Result<Self, CaError> {
        // Of a trust domain a SPIFFE ID can be made, or it is none.
        let id = format!("spiffe://{}", options.trust_domain).parse::<mesh_core::SpiffeId>();
        if !id.is_ok_and(|id| id.path().is_empty()) {
            let message = format!(
                "{:?} is no trust domain: expected 1 to 255 lower-case letters, digits, '.', '-' and '_'",
                options.trust_domain
            );
            return Err(CaError::new(CaErrorKind::InvalidRequest, message));
        }
        check_lifetimes(options)?;
        let key = PrivateKey::generate_blocking(options.key_type).map_err(|error| internal(&error))?;
        let certificate = root(&key, options)?;
        Ok(Self {
            version: VERSION,
            trust_domain: options.trust_domain.clone(),
            sequence: 1,
            longest_leaf: options.longest_leaf.as_secs(),
            generations: vec![Generation {
                number: 1,
                state: State::Active,
                key: pem::encode_private_key(&key),
                certificate: pem::encode_certificates([&certificate]),
            }],
        })
    }

    /// A new CA for a directory that has none, made before others have to wait for it: a key of RSA takes seconds.
    pub(super) fn make_if_missing(
        dir: &SecureDir,
        options: &LocalCaOptions,
    ) -> Result<Option<Self>, CaError> {
        match Self::load(dir)? {
            Some(_) => Ok(None),
            None => Self::make(options).map(Some),
        }
    }

    /// The record in a directory, if there is one. One that is damaged is an error, never nothing.
    pub(super) fn load(dir: &SecureDir) -> Result<Option<Self>, CaError> {
        let Some(content) = dir.read(FILE, MAX_LEN).map_err(storage)? else {
            return Ok(None);
        };
        let damaged = |why: &str| {
            CaError::new(
                CaErrorKind::Storage,
                format!(
                    "{}: {why}. The CA is not replaced by a new one, since nobody would trust that: bring the file back \
                     from a backup",
                    dir.file(FILE).display()
                ),
            )
        };
        let record: Self = sealed::open(&content).map_err(|why| damaged(&why))?;
        if record.version != VERSION {
            return Err(damaged(&format!(
                "it is of version {}: expected {VERSION}",
                record.version
            )));
        }
        record.issuer().map_err(|error| damaged(&error.to_string()))?;
        Ok(Some(record))
    }

    pub(super) fn save(&self, dir: &SecureDir) -> Result<(), CaError> {
        let content = sealed::seal(self).map_err(|why| CaError::new(CaErrorKind::Internal, why))?;
        dir.write(FILE, &content).map_err(storage)
    }

    pub(super) fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn longest_leaf(&self) -> Duration {
        Duration::from_secs(self.longest_leaf)
    }

    pub(super) fn generation(&self) -> u64 {
        self.active().map_or(0, |generation| generation.number)
    }

    fn active(&self) -> Option<&Generation> {
        self.generations
            .iter()
            .find(|generation| matches!(generation.state, State::Active))
    }

    /// What signs, and its certificate.
    pub(super) fn issuer(&self) -> Result<(Issuer<'static, SigningPair>, CertificateDer<'static>), CaError> {
        let active = self.active();
        let active =
            active.ok_or_else(|| CaError::new(CaErrorKind::Storage, "no generation of the CA is active"))?;
        let key = pem::private_key(active.key.as_bytes()).map_err(|error| internal(&error))?;
        let mut certificates =
            pem::certificates(active.certificate.as_bytes()).map_err(|error| internal(&error))?;
        let certificate = certificates.swap_remove(0);
        let pair = key.pair().map_err(|error| internal(&error))?;
        let parsed = crate::Certificate::parse(&certificate).map_err(|error| internal(&error))?;
        if parsed.spki != rcgen::PublicKeyData::subject_public_key_info(&pair) {
            return Err(CaError::new(
                CaErrorKind::Storage,
                "the CA's key is not that of its certificate",
            ));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, pair).map_err(|error| internal(&error))?;
        Ok((issuer, certificate))
    }
}

/// A root that ends before what it signed can be replaced makes a CA that fails when it is too late.
fn check_lifetimes(options: &LocalCaOptions) -> Result<(), CaError> {
    let (root, leaf) = (options.root_lifetime.as_secs(), options.longest_leaf.as_secs());
    let refuse = |message| Err(CaError::new(CaErrorKind::InvalidRequest, message));
    match leaf.checked_mul(2) {
        _ if leaf == 0 => {
            refuse("certificates are to be good for less than a second: expected more".to_owned())
        }
        Some(twice) if twice <= root => Ok(()),
        _ => refuse(format!(
            "the root is to be good for {root} s, and what it signs for up to {leaf} s: 2 x {leaf} is more than {root}. \
             Let the root live longer, or certificates shorter"
        )),
    }
}

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

/// A self-signed certificate. Its name is its own: were two generations called the same, nobody could tell whose a
/// revocation list is.
fn root(key: &PrivateKey, options: &LocalCaOptions) -> Result<CertificateDer<'static>, CaError> {
    let pair = key.pair().map_err(|error| internal(&error))?;
    let key_id = sha256_half(rcgen::PublicKeyData::der_bytes(&pair));
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // 64 characters are the most that a common name may have.
    let common: String = format!("{} root", options.trust_domain)
        .chars()
        .take(64)
        .collect();
    name.push(DnType::CommonName, common);
    name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), key_id);
    params.distinguished_name = name;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(random_serial()?.as_bytes()));
    let now = options.clock.now();
    let (begin, end) = (
        now.checked_sub(BACK_DATED),
        now.checked_add(options.root_lifetime),
    );
    let (Some(begin), Some(end)) = (begin, end) else {
        return Err(CaError::new(
            CaErrorKind::InvalidRequest,
            "the root's lifetime is out of range",
        ));
    };
    params.not_before = date(begin)?;
    params.not_after = date(end)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.custom_extensions = Vec::<CustomExtension>::new();
    let signed = params.self_signed(&pair).map_err(|error| internal(&error))?;
    Ok(signed.der().clone())
}

/// The attribute of a name that tells two of one name apart.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

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

/// Whole seconds: what a certificate holds.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
