//! What crosses the wire, as JSON.

use bytes::Bytes;
use rustls_pki_types::CertificateSigningRequestDer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Proof, ProofKind};
use crate::authority::{CaError, CaErrorKind, CertRequest, IssuedCert, TrustBundle, TrustRoot};
use crate::pem;

/// The largest request: a CSR of 16 KiB in PEM, or a proof of 16 KiB, and what is around them.
pub(super) const MAX_REQUEST: usize = 40 * 1024;
/// The largest answer that a client reads: revocation lists are of any size, and eight of 8 MiB fit.
pub(super) const MAX_ANSWER: usize = 96 * 1024 * 1024;

/// `POST /v1/certificates`
pub(super) struct Ask {
    pub(super) csr: CertificateSigningRequestDer<'static>,
    pub(super) proof: Proof,
    pub(super) ttl_seconds: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AskText {
    csr: String,
    proof: ProofText,
    ttl_seconds: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofText {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Zeroizing<String>>,
}

/// Why a request cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    TooLarge(String),
    Malformed(String),
}

impl Ask {
    pub(super) fn read(body: &[u8]) -> Result<Self, Unreadable> {
        // The parser's message may quote what it read, and that may be a secret.
        let text: AskText = serde_json::from_slice(body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Unreadable::Malformed(format!(
                "the request cannot be understood at line {line}, column {column}: expected JSON with csr (PEM), proof \
                 (kind, and value where it has one) and ttlSeconds, and nothing else"
            ))
        })?;
        let malformed = |error: &dyn std::fmt::Display| Unreadable::Malformed(error.to_string());
        let csr = pem::certificate_request(text.csr.as_bytes())
            .map_err(|error| malformed(&format_args!("csr: {error}")))?;
        if csr.len() > CertRequest::MAX_CSR_LEN {
            let (length, most) = (csr.len(), CertRequest::MAX_CSR_LEN);
            return Err(Unreadable::TooLarge(format!(
                "the CSR has {length} bytes: expected up to {most}"
            )));
        }
        let kind = ProofKind::new(text.proof.kind).map_err(|error| malformed(&error))?;
        if kind == ProofKind::CERTIFICATE && text.proof.value.is_some() {
            return Err(malformed(
                &"a proof of the kind certificate has no value: the certificate is shown in the handshake",
            ));
        }
        let value = text.proof.value.unwrap_or_default();
        if value.len() > Proof::MAX_LEN {
            let (length, most) = (value.len(), Proof::MAX_LEN);
            return Err(Unreadable::TooLarge(format!(
                "the proof has {length} bytes: expected up to {most}"
            )));
        }
        Ok(Self {
            csr,
            proof: Proof::new(kind, value.as_str()).map_err(|error| malformed(&error))?,
            ttl_seconds: text.ttl_seconds,
        })
    }

    pub(super) fn written(&self) -> Result<Zeroizing<Vec<u8>>, CaError> {
        let value = (self.proof.kind() != &ProofKind::CERTIFICATE)
            .then(|| Zeroizing::new(self.proof.reveal().to_owned()));
        let text = AskText {
            csr: pem::encode_certificate_request(&self.csr),
            proof: ProofText {
                kind: self.proof.kind().as_str().to_owned(),
                value,
            },
            ttl_seconds: self.ttl_seconds,
        };
        let written = serde_json::to_vec(&text).map_err(|_| {
            CaError::new(
                CaErrorKind::Internal,
                "the request for a certificate could not be written",
            )
        });
        written.map(Zeroizing::new)
    }
}

/// The answer to it.
#[derive(Serialize, Deserialize)]
pub(super) struct Issued {
    chain: String,
    bundle: BundleText,
}

/// A trust bundle.
#[derive(Serialize, Deserialize)]
pub(super) struct BundleText {
    sequence: u64,
    roots: Vec<RootText>,
    #[serde(default)]
    crls: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct RootText {
    certificate: String,
    #[serde(default)]
    generation: Option<u64>,
    #[serde(default)]
    tainted: bool,
}

impl Issued {
    pub(super) fn of(cert: &IssuedCert, bundle: &TrustBundle) -> Self {
        Self {
            chain: pem::encode_certificates(cert.chain()),
            bundle: BundleText::of(bundle),
        }
    }

    pub(super) fn parts(self) -> Result<(IssuedCert, TrustBundle), CaError> {
        let chain = pem::certificates(self.chain.as_bytes()).map_err(|error| unusable(&error))?;
        Ok((IssuedCert::of_chain(chain)?, self.bundle.bundle()?))
    }
}

impl BundleText {
    pub(super) fn of(bundle: &TrustBundle) -> Self {
        Self {
            crls: bundle.crls.iter().map(pem::encode_crl).collect(),
            ..Self::roots_of(bundle)
        }
    }

    /// Without the revocation lists.
    pub(super) fn roots_of(bundle: &TrustBundle) -> Self {
        let root = |root: &TrustRoot| RootText {
            certificate: pem::encode_certificates([&root.cert]),
            generation: root.generation,
            tainted: root.tainted,
        };
        Self {
            sequence: bundle.sequence,
            roots: bundle.roots.iter().map(root).collect(),
            crls: Vec::new(),
        }
    }

    pub(super) fn bundle(self) -> Result<TrustBundle, CaError> {
        let root = |text: RootText| {
            let certificates =
                pem::certificates(text.certificate.as_bytes()).map_err(|error| unusable(&error))?;
            let [certificate] = <[_; 1]>::try_from(certificates)
                .map_err(|_| unusable(&"a root of the bundle is more than one certificate"))?;
            let mut root = TrustRoot::new(certificate);
            root.generation = text.generation;
            root.tainted = text.tainted;
            Ok(root)
        };
        let roots = self
            .roots
            .into_iter()
            .map(root)
            .collect::<Result<Vec<_>, CaError>>()?;
        let mut crls = Vec::new();
        for crl in &self.crls {
            crls.extend(pem::crls(crl.as_bytes()).map_err(|error| unusable(&error))?);
        }
        Ok(TrustBundle::new(self.sequence, roots).with_crls(crls))
    }
}

/// What an answer says.
pub(super) fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, CaError> {
    serde_json::from_slice(body).map_err(|error| {
        unusable(&format_args!(
            "it cannot be understood at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

fn unusable(why: &dyn std::fmt::Display) -> CaError {
    CaError::new(
        CaErrorKind::InvalidAnswer,
        format!("the CA's answer cannot be used: {why}"),
    )
}

#[cfg(test)]
mod tests;
