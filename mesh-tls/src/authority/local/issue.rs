//! Signs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::aws_lc_rs as algorithms;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry as oids;
use x509_parser::prelude::FromDer;

use super::Inner;
use super::book::Signing;
use super::index::IssuedRecord;
use super::material::{date, internal};
use super::stored::whole_seconds;
use super::times::SKEW;
use crate::authority::{CaError, CaErrorKind, CertRequest, IssuedCert, SerialNumber};
use crate::certificate::PublicKey;
use crate::hash::sha256;

/// Certificates are dated in whole seconds.
const SHORTEST: Duration = Duration::from_secs(1);
/// More host names nobody has, and a chain has to fit into a handshake.
const MAX_DNS_NAMES: usize = 100;

impl Inner {
    /// The public key of who asks, if it may have a certificate.
    pub(super) fn prove(&self, request: &CertRequest) -> Result<Vec<u8>, CaError> {
        let id = &request.spiffe_id;
        if id.trust_domain() != self.trust_domain {
            let message = format!(
                "this CA signs for {}, and {id} is of another trust domain",
                self.trust_domain
            );
            return Err(CaError::new(CaErrorKind::Denied, message));
        }
        check(request)?;
        proved_key(request)
    }

    pub(super) fn issue(&self, request: &CertRequest, spki: &[u8]) -> Result<IssuedCert, CaError> {
        let id = &request.spiffe_id;
        let now = self.clock.now();
        let (mut book, _lock) = self.write()?;
        let signing = Arc::clone(&book.signing);
        let longest = book.record.times().longest_leaf;
        let (not_before, not_after) = validity(&signing, request, longest, now)?;
        let index = &mut book.index;
        if let Some(last) = index.last_issued()
            && let Ok(behind) = last.duration_since(now)
            && behind > SKEW
        {
            let message = format!(
                "this host's clock is {} s behind the last certificate that was issued: is it right?",
                behind.as_secs()
            );
            return Err(CaError::new(CaErrorKind::Clock, message));
        }
        let mut serial = (self.draw)()?;
        while index.holds(&serial) {
            serial = (self.draw)()?;
        }
        let params = params(request, serial, not_before, not_after)?;
        let key = SubjectPublicKeyInfo::from_der(spki).map_err(|error| {
            CaError::new(
                CaErrorKind::InvalidRequest,
                format!("the key of {id} cannot be used: {error}"),
            )
        })?;
        let signed = params
            .signed_by(&key, &signing.signer.issuer)
            .map_err(|error| internal(&error))?;
        let key_hash = sha256(spki);
        // Known before it is handed out: what was issued can be found, and taken back, whatever happens now.
        let record = IssuedRecord {
            serial,
            spiffe_id: id.clone(),
            not_before,
            not_after,
            issued_at: whole_seconds(now),
            key_hash: key_hash.clone(),
            generation: signing.generation,
            revoked: None,
        };
        index.append(self.dir.as_ref(), record)?;
        tracing::info!(%id, %serial, key = %key_hash, "a certificate was issued");
        let chain = [signed.der().clone()]
            .into_iter()
            .chain(signing.chain.iter().cloned());
        IssuedCert::new(chain, (not_before, not_after), serial)
    }
}

/// From when to when. It ends before its issuer does, and is not issued if that would leave less than half: whoever
/// asked would ask again and again.
fn validity(
    signing: &Signing,
    request: &CertRequest,
    longest: Duration,
    now: SystemTime,
) -> Result<(SystemTime, SystemTime), CaError> {
    let ttl = request.ttl.min(longest);
    let (issuer_begin, issuer_end) = signing.validity;
    let end = issuer_end.checked_sub(SHORTEST).unwrap_or(issuer_end);
    let wanted = now.checked_add(ttl);
    let not_after = wanted.map_or(end, |wanted| wanted.min(end));
    let left = not_after.duration_since(now).unwrap_or_default();
    if left < ttl / 2 || left.is_zero() {
        let message = format!(
            "the certificate of {} was to be good for {} s, and the CA's own ends in {} s: rotate the CA (mesh-proxy cert \
             rotate), or ask for less",
            request.spiffe_id,
            ttl.as_secs(),
            left.as_secs()
        );
        return Err(CaError::new(CaErrorKind::IssuerExpiring, message));
    }
    let begin = now.checked_sub(SKEW.min(ttl / 10)).unwrap_or(now);
    // Nobody believes it before its issuer.
    Ok((whole_seconds(begin.max(issuer_begin)), whole_seconds(not_after)))
}

/// What a [`CertRequest`] may have become since it was made, and what no certificate can say.
fn check(request: &CertRequest) -> Result<(), CaError> {
    let id = &request.spiffe_id;
    let refuse = |what: String| Err(CaError::new(CaErrorKind::InvalidRequest, what));
    if id.path().is_empty() {
        return refuse(format!("{id} is a trust domain: expected a workload of it"));
    }
    if request.csr.len() > CertRequest::MAX_CSR_LEN {
        let (length, most) = (request.csr.len(), CertRequest::MAX_CSR_LEN);
        return refuse(format!(
            "the CSR of {id} has {length} bytes: expected up to {most}"
        ));
    }
    if request.ttl < SHORTEST {
        return refuse(format!(
            "the certificate of {id} was to be good for less than a second: expected more"
        ));
    }
    if request.dns_names.len() > MAX_DNS_NAMES {
        let names = request.dns_names.len();
        return refuse(format!(
            "the certificate of {id} was to hold {names} DNS names: expected up to {MAX_DNS_NAMES}"
        ));
    }
    Ok(())
}

fn params(
    request: &CertRequest,
    serial: SerialNumber,
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, CaError> {
    let unfit = |error: rcgen::Error| CaError::new(CaErrorKind::InvalidRequest, error.to_string());
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // 64 characters are the most that a common name may have. It is for people: the URI is what counts.
    let last = request.spiffe_id.path().rsplit('/').next().unwrap_or_default();
    name.push(DnType::CommonName, last.chars().take(64).collect::<String>());
    params.distinguished_name = name;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(serial.as_bytes()));
    params.not_before = date(not_before)?;
    params.not_after = date(not_after)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names.push(SanType::URI(
        request.spiffe_id.as_str().try_into().map_err(unfit)?,
    ));
    for name in &request.dns_names {
        let name = name.as_ref().to_ascii_lowercase();
        let name = SanType::DnsName(name.as_str().try_into().map_err(unfit)?);
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    Ok(params)
}

/// The public key, whose private key the request proves to be there. What else the CSR asks for is not heard: who may
/// be what is not for it to say.
fn proved_key(request: &CertRequest) -> Result<Vec<u8>, CaError> {
    let id = &request.spiffe_id;
    let refuse = |why: String| CaError::new(CaErrorKind::InvalidRequest, format!("the CSR of {id} {why}"));
    let (rest, csr) = X509CertificationRequest::from_der(&request.csr)
        .map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if !rest.is_empty() {
        return Err(refuse("has bytes behind it".into()));
    }
    let info = &csr.certification_request_info;
    let key = PublicKey::of(&info.subject_pki);
    if !key.is_issued_for() {
        return Err(refuse(format!(
            "is for {key}: expected ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits"
        )));
    }
    let algorithm = algorithm(&key, csr.signature_algorithm.oid()).ok_or_else(|| {
        refuse("is signed with another hash than SHA-256, SHA-384 or SHA-512, or in another way than its key signs".into())
    })?;
    algorithm
        .verify_signature(
            &info.subject_pki.subject_public_key.data,
            info.raw,
            &csr.signature_value.data,
        )
        .map_err(|_| refuse("is not signed by its own key".into()))?;
    if csr
        .requested_extensions()
        .is_some_and(|mut extensions| extensions.next().is_some())
    {
        tracing::info!(%id, "the CSR asks for extensions, which are not heard: names and usages are the CA's to say");
    }
    Ok(info.subject_pki.raw.to_vec())
}

/// How a key signs that is issued for, by the number of the algorithm. SHA-1 is not among them.
fn algorithm(
    key: &PublicKey,
    signature: &oids::asn1_rs::Oid<'_>,
) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    let ecdsa = [
        oids::OID_SIG_ECDSA_WITH_SHA256,
        oids::OID_SIG_ECDSA_WITH_SHA384,
        oids::OID_SIG_ECDSA_WITH_SHA512,
    ];
    let rsa = [
        oids::OID_PKCS1_SHA256WITHRSA,
        oids::OID_PKCS1_SHA384WITHRSA,
        oids::OID_PKCS1_SHA512WITHRSA,
    ];
    let (numbers, algorithms): (_, [&dyn SignatureVerificationAlgorithm; 3]) = match key {
        PublicKey::Ed25519 => return (*signature == oids::OID_SIG_ED25519).then_some(algorithms::ED25519),
        PublicKey::EcdsaP256 => (
            ecdsa,
            [
                algorithms::ECDSA_P256_SHA256,
                algorithms::ECDSA_P256_SHA384,
                algorithms::ECDSA_P256_SHA512,
            ],
        ),
        PublicKey::EcdsaP384 => (
            ecdsa,
            [
                algorithms::ECDSA_P384_SHA256,
                algorithms::ECDSA_P384_SHA384,
                algorithms::ECDSA_P384_SHA512,
            ],
        ),
        PublicKey::Rsa(_) => (
            rsa,
            [
                algorithms::RSA_PKCS1_2048_8192_SHA256,
                algorithms::RSA_PKCS1_2048_8192_SHA384,
                algorithms::RSA_PKCS1_2048_8192_SHA512,
            ],
        ),
        PublicKey::EcdsaP521 | PublicKey::Other(_) => return None,
    };
    let at = numbers.iter().position(|number| number == signature)?;
    Some(algorithms[at])
}
