//! Certificates that must not be believed, and some that must.

mod leaf;
mod lists;
mod made_elsewhere;
mod path;

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    NameConstraints, RevokedCertParams, SanType, SerialNumber,
};
use rustls::CertificateError as Tls;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::*;
use crate::authority::TrustRoot;

const DAY: Duration = Duration::from_secs(86_400);
const ORDERS: &str = "spiffe://cluster.local/ns/dept-barc/sa/orders";

/// Noon of some day: dates of certificates are whole seconds.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY + DAY / 2
}

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    cert: CertificateDer<'static>,
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now() - 100 * DAY).into();
    params.not_after = (now() + 100 * DAY).into();
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key")
}

impl Ca {
    fn root(name: &str) -> Self {
        Self::with(ca_params(name))
    }

    fn with(params: CertificateParams) -> Self {
        let key = key();
        let cert = params.self_signed(&key).expect("signed").der().clone();
        Self {
            issuer: Issuer::new(params, key),
            cert,
        }
    }

    fn below(&self, params: CertificateParams) -> Self {
        let key = key();
        let cert = params
            .signed_by(&key, &self.issuer)
            .expect("signed")
            .der()
            .clone();
        Self {
            issuer: Issuer::new(params, key),
            cert,
        }
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = leaf_params();
        change(&mut params);
        params
            .signed_by(&key(), &self.issuer)
            .expect("signed")
            .der()
            .clone()
    }

    fn crl(
        &self,
        number: u64,
        revoked: &[u64],
        change: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> CertificateRevocationListDer<'static> {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: (now() - DAY).into(),
            reason_code: None,
            invalidity_date: None,
        });
        let mut params = CertificateRevocationListParams {
            this_update: (now() - Duration::from_secs(60)).into(),
            next_update: (now() + 7 * DAY).into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        change(&mut params);
        params.signed_by(&self.issuer).expect("signed").into()
    }
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "orders");
    params.serial_number = Some(SerialNumber::from(77_u64));
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + DAY).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = vec![
        uri(ORDERS),
        SanType::DnsName("orders.example".try_into().expect("a name")),
    ];
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

fn bundle(roots: &[&CertificateDer<'static>], crls: &[CertificateRevocationListDer<'static>]) -> TrustBundle {
    let roots = roots.iter().map(|root| TrustRoot::new((*root).clone()));
    TrustBundle::new(1, roots).with_crls(crls.iter().cloned())
}

fn policy() -> VerifyPolicy {
    VerifyPolicy {
        trust_domain: Some("cluster.local".into()),
        ..VerifyPolicy::new()
    }
}

fn trusting(roots: &[&CertificateDer<'static>], crls: &[CertificateRevocationListDer<'static>]) -> Verifier {
    Verifier::new(&bundle(roots, crls), policy()).expect("a bundle")
}

fn refused_bundle(
    roots: &[&CertificateDer<'static>],
    crls: &[CertificateRevocationListDer<'static>],
) -> String {
    Verifier::new(&bundle(roots, crls), policy())
        .map(|_| ())
        .expect_err("refused")
        .to_string()
}

fn verdict(verifier: &Verifier, chain: &[CertificateDer<'static>]) -> Result<(), VerifyErrorKind> {
    let both = [Usage::Server, Usage::Client].map(|usage| {
        verifier
            .verify(chain, usage, &Expected::Member, now())
            .map(|_| ())
            .map_err(|error| error.kind())
    });
    assert_eq!(both[0], both[1], "the same for both sides");
    both[0]
}

/// What becomes of a leaf that is changed so.
fn changed(change: impl FnOnce(&mut CertificateParams)) -> Result<(), VerifyErrorKind> {
    let ca = Ca::root("root");
    verdict(&trusting(&[&ca.cert], &[]), &[ca.sign(change)])
}
