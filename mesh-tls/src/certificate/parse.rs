//! Reads a certificate.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use mesh_core::SpiffeId;
use rustls_pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Class, Oid, Sequence};
use x509_parser::extensions::{
    ExtendedKeyUsage, GeneralName, NameConstraints as Constraints, ParsedExtension,
};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer, TbsCertificate, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::time::ASN1Time;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{
    BasicConstraints, Certificate, CertificateError, KeyUsage, Name, NameConstraints, Names, PublicKey,
    Purpose,
};
use crate::authority::SerialNumber;
use crate::hash;
use crate::printable::{printable, shortened};
use crate::verify::uris;

/// A dozen are many.
const MAX_EXTENSIONS: usize = 64;

fn wrong(message: impl Into<String>) -> CertificateError {
    CertificateError(message.into())
}

pub(super) fn certificate(der: &CertificateDer<'_>) -> Result<Certificate, CertificateError> {
    let parsed =
        X509Certificate::from_der(der).map_err(|error| wrong(format!("it is no certificate: {error}")));
    let (rest, certificate) = parsed?;
    if !rest.is_empty() {
        return Err(wrong("there are bytes behind the certificate"));
    }
    let tbs = &certificate.tbs_certificate;
    if tbs.version != X509Version::V3 {
        return Err(wrong("it is of an old version of X.509: expected version 3"));
    }
    // Each is compared with all before it, and whoever sends a certificate has proved nothing yet.
    if tbs.extensions().len() > MAX_EXTENSIONS {
        let message = format!(
            "it has {} extensions: expected at most {MAX_EXTENSIONS}",
            tbs.extensions().len()
        );
        return Err(wrong(message));
    }
    let mut read = Extensions::default();
    let mut seen: Vec<&Oid<'_>> = Vec::new();
    for extension in tbs.extensions() {
        if seen.contains(&&extension.oid) {
            return Err(wrong(format!("it has the extension {} twice", extension.oid)));
        }
        seen.push(&extension.oid);
        if extension.oid == oid::OID_X509_EXT_SUBJECT_ALT_NAME && !are_general_names(extension.value) {
            return Err(wrong(format!("its extension {} cannot be read", extension.oid)));
        }
        read.take(extension.critical, extension.parsed_extension())
            .map_err(|message| wrong(format!("its extension {} {message}", extension.oid)))?;
    }
    Ok(Certificate {
        serial: serial(tbs.raw_serial(), is_root(&read, tbs))?,
        not_before: time(tbs.validity.not_before)?,
        not_after: time(tbs.validity.not_after)?,
        fingerprint: hash::sha256(der),
        subject: Name {
            text: printable(&tbs.subject.to_string()),
            der: tbs.subject.as_raw().to_vec(),
        },
        issuer: Name {
            text: printable(&tbs.issuer.to_string()),
            der: tbs.issuer.as_raw().to_vec(),
        },
        spiffe_id: spiffe_id(&read.names),
        names: read.names,
        basic_constraints: read.basic_constraints,
        key_usage: read.key_usage,
        extended_key_usage: read.extended_key_usage,
        name_constraints: read.name_constraints,
        has_unknown_critical: read.has_unknown_critical,
        crl_points: read.crl_points,
        subject_key_id: read.subject_key_id,
        authority_key_id: read.authority_key_id,
        key: PublicKey::of(&tbs.subject_pki),
        spki: tbs.subject_pki.raw.to_vec(),
    })
}

#[derive(Default)]
struct Extensions {
    names: Names,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<Vec<Purpose>>,
    name_constraints: Option<NameConstraints>,
    has_unknown_critical: bool,
    crl_points: Option<Vec<String>>,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Option<Vec<u8>>>,
}

impl Extensions {
    fn take(&mut self, critical: bool, extension: &ParsedExtension<'_>) -> Result<(), &'static str> {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                if names.general_names.is_empty() {
                    return Err("holds no name");
                }
                self.names.is_there = true;
                self.names.critical = critical;
                names
                    .general_names
                    .iter()
                    .for_each(|name| take_name(&mut self.names, name));
            }
            ParsedExtension::BasicConstraints(constraints) => {
                self.basic_constraints = Some(BasicConstraints {
                    ca: constraints.ca,
                    critical,
                    max_below: constraints.path_len_constraint,
                });
            }
            ParsedExtension::KeyUsage(usage) => {
                self.key_usage = Some(KeyUsage {
                    digital_signature: usage.digital_signature(),
                    key_cert_sign: usage.key_cert_sign(),
                    crl_sign: usage.crl_sign(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(usage) => self.extended_key_usage = Some(purposes(usage)),
            ParsedExtension::NameConstraints(constraints) => {
                self.name_constraints = Some(name_constraints(constraints)?);
            }
            ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::SubjectKeyIdentifier(_)
                if critical =>
            {
                return Err("is critical, which RFC 5280 forbids");
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = Some(id.key_identifier.as_ref().map(|id| id.0.to_vec()));
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(id.0.to_vec()),
            ParsedExtension::CRLDistributionPoints(points) => {
                // A list of another issuer, or for some reasons only, is none of those that are looked into.
                let usable = points
                    .points
                    .iter()
                    .filter(|point| point.reasons.is_none() && point.crl_issuer.is_none());
                let names = usable.filter_map(|point| point.distribution_point.as_ref());
                self.crl_points = Some(names.flat_map(uris).collect());
            }
            ParsedExtension::ParseError { .. } => return Err("cannot be read"),
            ParsedExtension::UnsupportedExtension { .. } | ParsedExtension::Unparsed if critical => {
                self.has_unknown_critical = true;
            }
            _ => {}
        }
        Ok(())
    }
}

fn name_constraints(constraints: &Constraints<'_>) -> Result<NameConstraints, &'static str> {
    let subtrees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    let bases = || {
        subtrees
            .into_iter()
            .flatten()
            .flatten()
            .map(|subtree| &subtree.base)
    };
    if bases().next().is_none() {
        return Err("constrains nothing");
    }
    if bases().any(|base| matches!(base, GeneralName::DNSName(name) if name.starts_with('.'))) {
        return Err("constrains a DNS name that begins with a dot");
    }
    Ok(NameConstraints {
        of_uris: bases().any(|base| matches!(base, GeneralName::URI(_))),
    })
}

/// Whether each name has a tag of its kind, and nothing stands behind them. The parser goes by the number of a tag alone,
/// and would take for a URI what is none to other readers.
fn are_general_names(value: &[u8]) -> bool {
    let Ok((&[], names)) = Sequence::from_der(value) else {
        return false;
    };
    let mut rest: &[u8] = &names.content;
    while !rest.is_empty() {
        let Ok((behind, name)) = Any::from_der(rest) else {
            return false;
        };
        let is_constructed = matches!(name.tag().0, 0 | 3 | 4 | 5);
        if name.class() != Class::ContextSpecific || name.header.is_constructed() != is_constructed {
            return false;
        }
        rest = behind;
    }
    true
}

/// The number of URIs among the kinds of names.
const URI: u32 = 6;

fn take_name(names: &mut Names, name: &GeneralName<'_>) {
    match name {
        GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
        GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
        GeneralName::IPAddress(octets) => match address(octets) {
            Some(address) => names.addresses.push(address),
            None => names.invalid = true,
        },
        GeneralName::Invalid(tag, octets) => {
            names.invalid = true;
            // A second URI is a second one, whatever it holds.
            if tag.0 == URI {
                names.uris.push(String::from_utf8_lossy(octets).into_owned());
            }
        }
        _ => {}
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

fn purposes(usage: &ExtendedKeyUsage<'_>) -> Vec<Purpose> {
    let known = [
        (usage.server_auth, Purpose::Server),
        (usage.client_auth, Purpose::Client),
        (usage.any, Purpose::Any),
        (usage.code_signing, Purpose::Other("code signing".into())),
        (usage.email_protection, Purpose::Other("e-mail".into())),
        (usage.time_stamping, Purpose::Other("time stamping".into())),
        (usage.ocsp_signing, Purpose::Other("OCSP".into())),
    ];
    let known = known
        .into_iter()
        .filter(|(is_there, _)| *is_there)
        .map(|(_, purpose)| purpose);
    known
        .chain(usage.other.iter().map(|oid| Purpose::Other(oid.to_string())))
        .collect()
}

fn is_root(read: &Extensions, tbs: &TbsCertificate<'_>) -> bool {
    read.basic_constraints.is_some_and(|constraints| constraints.ca) && tbs.subject == tbs.issuer
}

/// As it was encoded: a number with its sign. Roots of the web are called by their keys and not by their numbers: a
/// dozen of them have the number zero.
fn serial(raw: &[u8], is_root: bool) -> Result<SerialNumber, CertificateError> {
    if is_root && raw == [0] {
        return Ok(SerialNumber::ZERO);
    }
    if raw.first().is_some_and(|first| first & 0x80 != 0) {
        return Err(wrong("its serial number is negative: expected a positive one"));
    }
    if let [0, 0..=0x7f, ..] = raw {
        return Err(wrong("its serial number has zeros in front: expected DER"));
    }
    SerialNumber::from_bytes(raw).map_err(|error| wrong(format!("its serial number is {error}")))
}

fn time(time: ASN1Time) -> Result<SystemTime, CertificateError> {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(distance),
        false => SystemTime::UNIX_EPOCH.checked_add(distance),
    };
    time.ok_or_else(|| wrong("its validity is out of range"))
}

fn spiffe_id(names: &Names) -> Result<SpiffeId, CertificateError> {
    match names.uris.as_slice() {
        [] => Err(wrong(
            "it holds no SPIFFE ID: expected one URI among its alternative names",
        )),
        [uri] => {
            let id: SpiffeId = uri.parse().map_err(|error| wrong(format!("{error}")))?;
            match id.path().is_empty() {
                true => Err(wrong(format!(
                    "{id} names a trust domain: expected a workload, with a path"
                ))),
                false => Ok(id),
            }
        }
        many => Err(wrong(format!(
            "it holds {} URIs ({}): expected one, the SPIFFE ID",
            many.len(),
            many.iter()
                .take(3)
                .map(|uri| shortened(uri))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

impl PublicKey {
    pub(crate) fn of(spki: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = &spki.algorithm.algorithm;
        let curve = || {
            spki.algorithm
                .parameters
                .as_ref()
                .and_then(|parameters| parameters.as_oid().ok())
        };
        match spki.parsed() {
            Ok(Parsed::RSA(key)) if *algorithm == oid::OID_PKCS1_RSAENCRYPTION => {
                let leading = key.modulus.iter().take_while(|byte| **byte == 0).count();
                let modulus = key.modulus.get(leading..).unwrap_or_default();
                let first = modulus.first().map_or(8, |byte| byte.leading_zeros() as usize);
                Self::Rsa((modulus.len() * 8).saturating_sub(first))
            }
            Ok(Parsed::EC(_)) => match curve() {
                Some(curve) if curve == oid::OID_EC_P256 => Self::EcdsaP256,
                Some(curve) if curve == oid::OID_NIST_EC_P384 => Self::EcdsaP384,
                Some(curve) if curve == oid::OID_NIST_EC_P521 => Self::EcdsaP521,
                Some(curve) => Self::Other(curve.to_string()),
                None => Self::Other(algorithm.to_string()),
            },
            _ if *algorithm == oid::OID_SIG_ED25519 => Self::Ed25519,
            _ => Self::Other(algorithm.to_string()),
        }
    }
}
