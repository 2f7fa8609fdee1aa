//! Roots.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::DistinguishedName;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};

use super::error::{TrustError, VerifyError};
use super::{Verifier, VerifyPolicy, chain, crl};
use crate::certificate::Certificate;

/// A root, with what a trust anchor does not hold: its dates and usages.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) certificate: Certificate,
}

impl Root {
    /// webpki asks no anchor for its dates.
    pub(super) fn check(&self, now: SystemTime) -> Result<(), VerifyError> {
        let what = format!("its root {}", self.certificate.subject());
        if now > self.certificate.not_after() {
            return Err(VerifyError::expired(now, self.certificate.not_after(), &what));
        }
        if now < self.certificate.not_before() {
            return Err(VerifyError::not_yet(now, self.certificate.not_before(), &what));
        }
        Ok(())
    }
}

pub(super) fn compile<'r>(
    roots: impl Iterator<Item = &'r CertificateDer<'static>>,
    crls: &[CertificateRevocationListDer<'static>],
    policy: VerifyPolicy,
) -> Result<Verifier, TrustError> {
    let mut problems = Vec::new();
    let (mut known, mut anchors) = (Vec::new(), Vec::new());
    for (place, root) in roots.enumerate() {
        match read(root) {
            Ok((root, anchor)) => {
                known.push(root);
                anchors.push(anchor);
            }
            Err(wrong) => problems.extend(
                wrong
                    .into_iter()
                    .map(|wrong| format!("root {} {wrong}", place + 1)),
            ),
        }
    }
    if anchors.is_empty() && problems.is_empty() {
        problems.push("there is no root in the bundle, so that nobody could be trusted".into());
    }
    if !crls.is_empty() {
        problems.extend(one_name_two_keys(&known));
    }
    let crls = crl::compile(crls, &known).unwrap_or_else(|wrong| {
        problems.extend(wrong);
        Vec::new()
    });
    if !problems.is_empty() {
        return Err(TrustError::new(problems));
    }
    Ok(Verifier {
        policy,
        subjects: subjects(&anchors),
        roots: known,
        anchors,
        crls: crls.into(),
        allow_unknown_revocation: false,
    })
}

pub(super) fn with_more_roots(
    verifier: &Verifier,
    roots: &[CertificateDer<'static>],
) -> Result<Verifier, TrustError> {
    let more = compile(roots.iter(), &[], verifier.policy.clone())?;
    let mut verifier = verifier.clone();
    verifier.roots.extend(more.roots);
    verifier.anchors.extend(more.anchors);
    verifier.subjects = subjects(&verifier.anchors);
    verifier.allow_unknown_revocation = true;
    Ok(verifier)
}

fn read(der: &CertificateDer<'static>) -> Result<(Root, TrustAnchor<'static>), Vec<String>> {
    let certificate = Certificate::parse(der).map_err(|error| vec![format!("cannot be used: {error}")])?;
    let name = certificate.subject();
    let mut problems: Vec<String> = chain::problems(&certificate)
        .into_iter()
        .map(|(_, problem)| format!("({name}) {problem}"))
        .collect();
    let is_its_own_issuer = certificate.issuer.der == certificate.subject.der;
    if is_its_own_issuer
        && certificate
            .authority_key_id
            .as_ref()
            .is_some_and(|id| *id != certificate.subject_key_id)
    {
        problems.push(format!(
            "({name}) names another key as its issuer's, and is its own issuer"
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let anchor = webpki::anchor_from_trusted_cert(der);
    let anchor = anchor
        .map_err(|error| vec![format!("({name}) cannot be used: {error}")])?
        .to_owned();
    Ok((Root { certificate }, anchor))
}

/// A revocation list names its issuer and not its key: of two CAs of one name, the list of one would be taken for
/// that of the other, and every certificate of one of them be refused.
fn one_name_two_keys(roots: &[Root]) -> Vec<String> {
    let mut problems = Vec::new();
    for (place, root) in roots.iter().enumerate() {
        let same = |other: &&Root| {
            other.certificate.subject.der == root.certificate.subject.der
                && other.certificate.spki != root.certificate.spki
        };
        if roots.iter().take(place).find(same).is_some() {
            problems.push(format!(
                "two roots are called {} and have different keys, so that a revocation list cannot be told apart: \
                 give each generation of a CA a name of its own",
                root.certificate.subject()
            ));
        }
    }
    problems
}

fn subjects(anchors: &[TrustAnchor<'static>]) -> Arc<[DistinguishedName]> {
    anchors
        .iter()
        .map(|anchor| DistinguishedName::in_sequence(&anchor.subject))
        .collect()
}
