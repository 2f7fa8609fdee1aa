//! A path from a leaf to a root.

use std::cell::Cell;
use std::time::SystemTime;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::error::{VerifyError, VerifyErrorKind};
use super::{Usage, Verifier, chain};
use crate::certificate::Certificate;

impl Verifier {
    /// Whether there is one by which `leaf` can be believed.
    pub(super) fn path(
        &self,
        leaf: &Certificate,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: SystemTime,
    ) -> Result<(), VerifyError> {
        let der = EndEntityCert::try_from(der).map_err(|error| VerifyError::webpki(&error, now))?;
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let purpose = match usage {
            Usage::Client => KeyUsage::client_auth(),
            Usage::Server => KeyUsage::server_auth(),
        };
        // webpki takes no reasons of others: it is told to look for another path, and the reason is kept here.
        let unfit = Cell::new(None);
        let check = |path: &VerifiedPath<'_>| {
            self.check_path(leaf, path, usage, now).map_err(|error| {
                unfit.set(Some(error));
                webpki::Error::UnknownIssuer
            })
        };
        let found = der.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.anchors,
            intermediates,
            UnixTime::since_unix_epoch(since_epoch),
            purpose,
            None,
            Some(&check),
        );
        match found {
            Ok(_) => Ok(()),
            Err(error) => Err(unfit.take().unwrap_or_else(|| VerifyError::webpki(&error, now))),
        }
    }

    /// Checks a path whose signatures, dates and constraints webpki has checked, but for those of the root.
    fn check_path(
        &self,
        leaf: &Certificate,
        path: &VerifiedPath<'_>,
        usage: Usage,
        now: SystemTime,
    ) -> Result<(), VerifyError> {
        let read = path
            .intermediate_certificates()
            .map(|ca| Certificate::parse(&ca.der()));
        let intermediates = read
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| VerifyError::malformed(&error))?;
        intermediates.iter().try_for_each(chain::check)?;

        let anchor = self
            .anchors
            .iter()
            .position(|anchor| std::ptr::eq(anchor, path.anchor()));
        let Some(root) = anchor.and_then(|place| self.roots.get(place)) else {
            return Err(VerifyError::new(
                VerifyErrorKind::UnknownIssuer,
                "the path ends at no root of the bundle",
            ));
        };
        root.check(&intermediates, usage, now)?;

        let needed = !self.crls.is_empty() && !root.is_further;
        let issuers = intermediates.iter().chain([&*root.certificate]);
        let signed = [leaf].into_iter().chain(&intermediates);
        signed.zip(issuers).try_for_each(|(certificate, issuer)| {
            self.crls
                .check(certificate, issuer, needed, now, self.policy.stale_crl)
        })
    }
}
