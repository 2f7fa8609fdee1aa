//! Revocation lists: which of them counts, and whether it is one.

use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateRevocationListDer;
use webpki::OwnedCertRevocationList;
use x509_parser::extensions::ParsedExtension;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::trust::Root;

/// The largest list, in bytes.
const MAX_LEN: usize = 8 * 1024 * 1024;

/// A revocation list.
#[derive(Debug)]
pub(super) struct Crl {
    pub(super) list: webpki::CertRevocationList<'static>,
    pub(super) issuer: String,
    issuer_der: Vec<u8>,
    pub(super) number: BigUint,
    pub(super) this_update: SystemTime,
    pub(super) next_update: SystemTime,
}

/// The newest list of each issuer: webpki would take the first it finds.
pub(super) fn compile(
    lists: &[CertificateRevocationListDer<'static>],
    roots: &[Root],
) -> Result<Vec<Crl>, Vec<String>> {
    let mut newest: Vec<Crl> = Vec::new();
    let mut problems = Vec::new();
    for (place, list) in lists.iter().enumerate() {
        match read(list, roots) {
            Ok(crl) => match newest.iter_mut().find(|known| known.issuer_der == crl.issuer_der) {
                Some(known) if known.number < crl.number => *known = crl,
                Some(_) => {}
                None => newest.push(crl),
            },
            Err(problem) => problems.push(format!("revocation list {}: {problem}", place + 1)),
        }
    }
    match problems.is_empty() {
        true => Ok(newest),
        false => Err(problems),
    }
}

fn read(der: &CertificateRevocationListDer<'static>, roots: &[Root]) -> Result<Crl, String> {
    if der.len() > MAX_LEN {
        return Err(format!("it has {} bytes: expected at most {MAX_LEN}", der.len()));
    }
    let (_, parsed) =
        CertificateRevocationList::from_der(der).map_err(|error| format!("it cannot be read: {error}"))?;
    let issuer = parsed.issuer().to_string();
    let mut number = None;
    for extension in parsed.extensions() {
        if let ParsedExtension::CRLNumber(found) = extension.parsed_extension() {
            if extension.critical {
                return Err(format!(
                    "that of {issuer} has a critical number, which RFC 5280 forbids"
                ));
            }
            number = Some(found.clone());
        }
    }
    let number = number
        .ok_or_else(|| format!("that of {issuer} has no number, so that an old one could not be told"))?;
    let next_update = parsed
        .next_update()
        .ok_or_else(|| format!("that of {issuer} has no end (nextUpdate)"))?;
    let issuer_der = parsed.issuer().as_raw().to_vec();
    check_issuer(&parsed, &issuer, roots)?;
    let list =
        OwnedCertRevocationList::from_der(der).map_err(|error| format!("that of {issuer}: {error}"))?;
    Ok(Crl {
        list: list.into(),
        number,
        this_update: time(parsed.last_update().timestamp())?,
        next_update: time(next_update.timestamp())?,
        issuer,
        issuer_der,
    })
}

/// A list of a root is verified now; that of a CA below one, when a chain shows the CA's key.
fn check_issuer(list: &CertificateRevocationList<'_>, issuer: &str, roots: &[Root]) -> Result<(), String> {
    let mut of_name = roots
        .iter()
        .filter(|root| root.certificate.subject.der == list.issuer().as_raw())
        .peekable();
    if of_name.peek().is_none() {
        return Ok(());
    }
    let mut signers = of_name
        .filter(|root| is_signed_by(list, &root.certificate.spki))
        .peekable();
    if signers.peek().is_none() {
        return Err(format!("that of {issuer} is not signed by it"));
    }
    match signers.all(|root| root.certificate.key_usage().is_none_or(|usage| usage.crl_sign)) {
        true => Ok(()),
        false => Err(format!(
            "that of {issuer} is signed by a key that may not sign revocation lists (cRLSign)"
        )),
    }
}

fn is_signed_by(list: &CertificateRevocationList<'_>, spki: &[u8]) -> bool {
    let key = SubjectPublicKeyInfo::from_der(spki);
    key.is_ok_and(|(_, key)| list.verify_signature(&key).is_ok())
}

fn time(seconds: i64) -> Result<SystemTime, String> {
    let since = u64::try_from(seconds)
        .map(Duration::from_secs)
        .unwrap_or_default();
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .ok_or_else(|| "its dates are out of range".into())
}
