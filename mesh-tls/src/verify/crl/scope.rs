//! Which of an issuer's certificates a list is for.

use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::certificate::Certificate;

/// Which certificates a list is for: without an issuingDistributionPoint, all.
///
/// What else that extension may say (only some reasons, only of others) is refused when the list is read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    only_leaves: bool,
    only_cas: bool,
    points: Option<Vec<String>>,
}

impl Scope {
    pub(super) fn of(list: &CertificateRevocationList<'_>) -> Self {
        let mut scope = Self::default();
        for extension in list.extensions() {
            if let ParsedExtension::IssuingDistributionPoint(point) = extension.parsed_extension() {
                scope.only_leaves = point.only_contains_user_certs;
                scope.only_cas = point.only_contains_ca_certs;
                scope.points = point.distribution_point.as_ref().map(uris);
            }
        }
        scope
    }

    /// Whether the list says something of this certificate: one that names no point to ask at is in every list, and
    /// another one in those of its points.
    pub(super) fn covers(&self, certificate: &Certificate) -> bool {
        let excluded = match certificate.is_ca() {
            true => self.only_leaves,
            false => self.only_cas,
        };
        let is_at_its_point = match (&self.points, &certificate.crl_points) {
            (Some(points), Some(of_certificate)) => points.iter().any(|point| of_certificate.contains(point)),
            _ => true,
        };
        !excluded && is_at_its_point
    }
}

/// The URIs by which a point is named.
pub(crate) fn uris(name: &DistributionPointName<'_>) -> Vec<String> {
    let DistributionPointName::FullName(names) = name else {
        return Vec::new();
    };
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    uris.collect()
}
