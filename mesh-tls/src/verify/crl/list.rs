//! One revocation list.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::{CertificateRevocationListDer, SubjectPublicKeyInfoDer};
use webpki::{BorrowedCertRevocationList, RawPublicKeyEntity};
use x509_parser::asn1_rs::{Any, Sequence};
use x509_parser::extensions::ParsedExtension;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::scope::Scope;
use crate::authority::SerialNumber;
use crate::certificate::{Certificate, Name};
use crate::printable::printable;
use crate::verify::trust::Root;

/// The largest list, in bytes.
const MAX_LEN: usize = 8 * 1024 * 1024;

/// A revocation list.
#[derive(Debug)]
pub(super) struct List {
    pub(super) issuer: Name,
    pub(super) number: BigUint,
    pub(super) this_update: SystemTime,
    pub(super) next_update: SystemTime,
    pub(super) scope: Scope,
    /// In order, to be searched.
    pub(super) revoked: Box<[SerialNumber]>,
    pub(super) digest: [u8; 32],
    /// Whether it was told that it is stale: once is enough.
    pub(super) told_stale: AtomicBool,
    /// The key that signed it, as soon as that was seen.
    signer: OnceLock<Vec<u8>>,
    signed: Signed,
}

impl List {
    /// Reads a list. One of a root must be signed by it.
    pub(super) fn read(der: &CertificateRevocationListDer<'static>, roots: &[Root]) -> Result<Self, String> {
        if der.len() > MAX_LEN {
            return Err(format!("it has {} bytes: expected at most {MAX_LEN}", der.len()));
        }
        let (rest, parsed) = CertificateRevocationList::from_der(der)
            .map_err(|error| format!("it cannot be read: {error}"))?;
        if !rest.is_empty() {
            return Err("there are bytes behind it".into());
        }
        let issuer = Name {
            text: printable(&parsed.issuer().to_string()),
            der: parsed.issuer().as_raw().to_vec(),
        };
        let mut list = Self {
            number: number(&parsed).map_err(|problem| format!("that of {} {problem}", issuer.text))?,
            this_update: time(parsed.last_update().timestamp())?,
            next_update: match parsed.next_update() {
                Some(end) => time(end.timestamp())?,
                None => return Err(format!("that of {} has no end (nextUpdate)", issuer.text)),
            },
            scope: Scope::of(&parsed),
            revoked: revoked(der).map_err(|error| format!("that of {}: {error}", issuer.text))?,
            digest: sha256(der),
            told_stale: AtomicBool::new(false),
            signer: OnceLock::new(),
            signed: Signed::of(der, &parsed)
                .ok_or_else(|| format!("the signature of that of {} cannot be read", issuer.text))?,
            issuer,
        };
        list.verify_by(roots)?;
        Ok(list)
    }

    fn verify_by(&mut self, roots: &[Root]) -> Result<(), String> {
        let is_its_issuer = |root: &&Root| root.certificate.subject.der == self.issuer.der;
        let mut of_name = roots
            .iter()
            .filter(is_its_issuer)
            .map(|root| &root.certificate)
            .peekable();
        if of_name.peek().is_none() {
            return Ok(());
        }
        let issuer = &self.issuer.text;
        let Some(signer) = of_name.find(|root| self.signed.is_by(&root.spki)) else {
            return Err(format!("that of {issuer} is not signed by it"));
        };
        if signer.key_usage().is_some_and(|usage| !usage.crl_sign) {
            return Err(format!(
                "that of {issuer} is signed by a key that may not sign revocation lists (cRLSign)"
            ));
        }
        self.signer = OnceLock::from(signer.spki.clone());
        // Millions of bytes that nobody asks for again.
        self.signed = Signed::default();
        Ok(())
    }

    /// Whether a root signed it.
    pub(super) fn is_verified(&self) -> bool {
        self.signer.get().is_some()
    }

    /// Whether it is this issuer's: of its name, and signed with its key.
    pub(super) fn is_of(&self, issuer: &Certificate) -> bool {
        self.issuer.der == issuer.subject.der && self.is_signed_by(&issuer.spki)
    }

    /// Whether the key that signed `other` signed this one, for the same certificates. Nobody knows that of a list
    /// whose signer was not seen yet, whatever number it claims.
    pub(super) fn is_of_signer_of(&self, other: &Self) -> bool {
        self.issuer.der == other.issuer.der
            && self.scope == other.scope
            && other.signer.get().is_some_and(|signer| self.is_signed_by(signer))
    }

    fn is_signed_by(&self, spki: &[u8]) -> bool {
        match self.signer.get() {
            Some(signer) => signer == spki,
            None if self.signed.is_by(spki) => {
                // Whoever was first has set the same.
                let _ = self.signer.set(spki.to_vec());
                true
            }
            None => false,
        }
    }

    pub(super) fn revokes(&self, certificate: &Certificate) -> bool {
        self.revoked.binary_search(&certificate.serial()).is_ok()
    }
}

/// What the signature is over, kept until it was verified.
#[derive(Debug, Default)]
struct Signed {
    algorithm: Vec<u8>,
    content: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn of(der: &[u8], parsed: &CertificateRevocationList<'_>) -> Option<Self> {
        let content = parsed.tbs_cert_list.as_ref();
        let (_, whole) = Sequence::from_der(der).ok()?;
        let behind = whole.content.get(content.len()..)?;
        let (_, algorithm) = Any::from_der(behind).ok()?;
        Some(Self {
            algorithm: algorithm.data.to_vec(),
            content: content.to_vec(),
            signature: parsed.signature_value.data.to_vec(),
        })
    }

    fn is_by(&self, spki: &[u8]) -> bool {
        let spki = SubjectPublicKeyInfoDer::from(spki);
        let Ok(key) = RawPublicKeyEntity::try_from(&spki) else {
            return false;
        };
        webpki::ALL_VERIFICATION_ALGS
            .iter()
            .filter(|algorithm| *algorithm.signature_alg_id() == *self.algorithm)
            .any(|algorithm| {
                key.verify_signature(*algorithm, &self.content, &self.signature)
                    .is_ok()
            })
    }
}

fn number(list: &CertificateRevocationList<'_>) -> Result<BigUint, &'static str> {
    let mut number = None;
    for extension in list.extensions() {
        let ParsedExtension::CRLNumber(found) = extension.parsed_extension() else {
            continue;
        };
        if extension.critical {
            return Err("has a critical number, which RFC 5280 forbids");
        }
        if number.replace(found.clone()).is_some() {
            return Err("has two numbers");
        }
    }
    number.ok_or("has no number, so that an old one could not be told")
}

/// The serial numbers in it. webpki reads them, and knows what would make an entry say something else: that it is of
/// another issuer, or counts only in part.
fn revoked(der: &[u8]) -> Result<Box<[SerialNumber]>, webpki::Error> {
    let mut revoked = Vec::new();
    for entry in &BorrowedCertRevocationList::from_der(der)? {
        let serial = entry?.serial_number;
        let is_negative = serial.first().is_some_and(|first| first & 0x80 != 0);
        // A number that no certificate may have takes none back.
        if let Ok(serial) = SerialNumber::from_bytes(serial)
            && !is_negative
        {
            revoked.push(serial);
        }
    }
    revoked.sort_unstable();
    Ok(revoked.into())
}

fn sha256(der: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, der).as_ref());
    bytes
}

fn time(seconds: i64) -> Result<SystemTime, String> {
    let since = u64::try_from(seconds)
        .map(Duration::from_secs)
        .unwrap_or_default();
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .ok_or_else(|| "its dates are out of range".into())
}
