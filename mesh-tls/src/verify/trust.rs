//! Roots.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::DistinguishedName;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};

use super::crl::Crls;
use super::error::{TrustError, VerifyError, VerifyErrorKind};
use super::{Usage, Verifier, VerifyPolicy, chain};
use crate::certificate::{Certificate, Purpose};
use crate::printable::shortened;

/// A root, with what a trust anchor does not hold: its dates, its usages, and how long a path it allows.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) certificate: Arc<Certificate>,
    /// Whether it is of somebody else, who may publish no revocation lists.
    pub(super) is_further: bool,
}

impl Root {
    /// webpki asks an anchor for its key and its name constraints, and for nothing else.
    pub(super) fn check(
        &self,
        intermediates: &[Certificate],
        usage: Usage,
        now: SystemTime,
    ) -> Result<(), VerifyError> {
        let name = || format!("its root {}", shortened(self.certificate.subject()));
        if now > self.certificate.not_after() {
            return Err(VerifyError::expired(now, self.certificate.not_after(), &name()));
        }
        if now < self.certificate.not_before() {
            return Err(VerifyError::not_yet(now, self.certificate.not_before(), &name()));
        }
        let counted = intermediates.iter().filter(|ca| !ca.is_self_issued()).count();
        let most = self
            .certificate
            .basic_constraints
            .and_then(|constraints| constraints.max_below);
        if let Some(most) = most
            && usize::try_from(most).is_ok_and(|most| counted > most)
        {
            let message = format!("{} allows {most} CAs below it, and there are {counted}", name());
            return Err(VerifyError::new(VerifyErrorKind::Malformed, message));
        }
        match self.certificate.purposes() {
            Some(purposes) if !purposes.contains(&usage.purpose()) && !purposes.contains(&Purpose::Any) => {
                let message = format!("{} vouches for no {}s", name(), usage.purpose());
                Err(VerifyError::new(VerifyErrorKind::WrongUsage, message))
            }
            _ => Ok(()),
        }
    }
}

/// Roots that were read, and what is wrong with the others.
struct Roots {
    roots: Vec<Root>,
    anchors: Vec<TrustAnchor<'static>>,
    problems: Vec<String>,
}

impl Roots {
    fn read<'r>(ders: impl Iterator<Item = &'r CertificateDer<'static>>, is_further: bool) -> Self {
        let mut read = Self {
            roots: Vec::new(),
            anchors: Vec::new(),
            problems: Vec::new(),
        };
        for (place, der) in ders.enumerate() {
            match read_root(der) {
                Ok((certificate, anchor)) => {
                    read.roots.push(Root {
                        certificate: Arc::new(certificate),
                        is_further,
                    });
                    read.anchors.push(anchor);
                }
                Err(wrong) => {
                    let placed = wrong
                        .into_iter()
                        .map(|wrong| format!("root {} {wrong}", place + 1));
                    read.problems.extend(placed);
                }
            }
        }
        if read.anchors.is_empty() && read.problems.is_empty() {
            read.problems
                .push("there is no root, so that nobody could be trusted".into());
        }
        read
    }
}

pub(super) fn compile<'r>(
    ders: impl Iterator<Item = &'r CertificateDer<'static>>,
    crls: &[CertificateRevocationListDer<'static>],
    policy: VerifyPolicy,
) -> Result<Verifier, TrustError> {
    let Roots {
        roots,
        anchors,
        mut problems,
    } = Roots::read(ders, false);
    if !crls.is_empty() {
        problems.extend(one_name_two_keys(&roots));
    }
    let crls = Crls::compile(crls, &roots).unwrap_or_else(|wrong| {
        problems.extend(wrong);
        Crls::default()
    });
    if !problems.is_empty() {
        return Err(TrustError::new(problems));
    }
    Ok(Verifier {
        policy,
        subjects: subjects(&anchors),
        roots,
        anchors,
        crls: Arc::new(crls),
    })
}

pub(super) fn with_more_roots(
    verifier: &Verifier,
    ders: &[CertificateDer<'static>],
) -> Result<Verifier, TrustError> {
    let more = Roots::read(ders.iter(), true);
    if more.roots.is_empty() {
        return Err(TrustError::new(more.problems));
    }
    // Whoever keeps a store of all roots of the web has some in it that are odd, and needs none of those.
    for problem in more.problems {
        tracing::warn!("{problem}: it is left out");
    }
    let mut verifier = verifier.clone();
    for (root, anchor) in more.roots.into_iter().zip(more.anchors) {
        // One that is there already stays what it is: nobody is asked for less because it is named twice.
        let is_known = |known: &Root| {
            known.certificate.subject.der == root.certificate.subject.der
                && known.certificate.spki == root.certificate.spki
        };
        if !verifier.roots.iter().any(is_known) {
            verifier.roots.push(root);
            verifier.anchors.push(anchor);
        }
    }
    verifier.subjects = subjects(&verifier.anchors);
    Ok(verifier)
}

fn read_root(der: &CertificateDer<'static>) -> Result<(Certificate, TrustAnchor<'static>), Vec<String>> {
    let certificate = Certificate::parse(der).map_err(|error| vec![format!("cannot be used: {error}")])?;
    let name = shortened(certificate.subject());
    let mut problems: Vec<String> = chain::problems(&certificate)
        .into_iter()
        .map(|(_, problem)| format!("({name}) {problem}"))
        .collect();
    if certificate.is_self_issued()
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
    match webpki::anchor_from_trusted_cert(der) {
        Ok(anchor) => Ok((certificate, anchor.to_owned())),
        Err(error) => Err(vec![format!("({name}) cannot be used: {error}")]),
    }
}

/// A revocation list names its issuer and not its key. Here it is found by the key, but not by other software that is
/// given the same bundle: of two CAs of one name, it takes the list of one for that of the other, and refuses every
/// certificate of one of them.
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
                shortened(root.certificate.subject())
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
