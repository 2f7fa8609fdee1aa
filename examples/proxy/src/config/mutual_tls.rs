//! `mutualTLS`: certificates, and what is spoken with them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::authority;
use super::authority::Authority;
use super::context::Wrong;
use super::defaults;
use super::grammar::{self, BIND};
use super::near::nearest;
use super::shape::{Fields, boolean, duration, integer, list, object, parsed, path, word};
use mesh_tls::{CipherSuite, KeyType, StaleCrl, TlsVersion, rotation};

/// `serviceMesh.mutualTLS`, enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MutualTls {
    /// Whether a client without a certificate is refused. Default true.
    pub enforce_client_certs: bool,
    /// The keys of certificates. Default ECDSA P-256.
    pub key_type: KeyType,
    /// Whether a peer's certificate is verified. Default true; false only with `iAcceptInsecure`.
    pub verify_peer_certificate: bool,
    /// How long a certificate is good for: 90 to 365 days, or 5 minutes to 14 days. Default 90 days.
    pub lifetime: Duration,
    /// How long before its end a certificate is renewed. Default 7 days; a third of a lifetime under 14 days.
    pub renew_before: Duration,
    /// The suites, in order of preference; `None`: all that are known.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    /// The versions; never empty. Default both.
    pub protocols: Vec<TlsVersion>,
    /// What happens when the revocation list is too old. Default: connections are denied.
    pub crl_stale_policy: StaleCrl,
    /// Who signs.
    pub authority: Authority,
    /// Where others ask this process's CA for certificates; only with [`Authority::Local`]. Default: nowhere.
    pub certificate_api: Option<SocketAddr>,
    /// Where the CA's key, certificates and the revocation list are kept. Default `./mesh-state/ca`.
    pub state_dir: PathBuf,
}

const DAY: Duration = Duration::from_secs(86_400);

const KEY_TYPES: &[(&str, KeyType)] = &[
    ("ecdsa-p256", KeyType::EcdsaP256),
    ("ecdsa-p384", KeyType::EcdsaP384),
    ("rsa-2048", KeyType::Rsa2048),
    ("rsa-3072", KeyType::Rsa3072),
    ("rsa-4096", KeyType::Rsa4096),
];

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<MutualTls>> {
    let enabled = fields.or("enabled", boolean(), true);
    let enforce_client_certs = fields.or("enforceClientCerts", boolean(), true);
    let key_type = read_key_type(fields);
    let verify_peer_certificate = fields.or("verifyPeerCertificate", boolean(), true);
    let accepts_insecure = fields.or("iAcceptInsecure", boolean(), false);
    let lifetime = read_lifetime(fields);
    let renew_before = read_renew_before(fields, lifetime);
    let suites = list(parsed(
        "the name of a cipher suite, as TLS_AES_256_GCM_SHA384",
        suite,
    ))
    .not_empty();
    let cipher_suites = fields.optional("cipherSuites", suites);
    let versions = word(&[("TLSv1.2", TlsVersion::Tls12), ("TLSv1.3", TlsVersion::Tls13)]);
    let both = vec![TlsVersion::Tls12, TlsVersion::Tls13];
    let protocols = fields.or("protocols", list(versions).not_empty(), both);
    let policies = word(&[("deny", StaleCrl::Deny), ("warn", StaleCrl::Warn)]);
    let crl_stale_policy = fields.or("crlStalePolicy", policies, StaleCrl::Deny);
    let authority = fields.part("authority", object(authority::read));
    let certificate_api = fields.optional("certificateApi", object(read_certificate_api));
    let state_dir = path("the path of a directory");
    let state_dir = fields.or(
        "stateDir",
        state_dir,
        PathBuf::from(defaults::MUTUAL_TLS_STATE_DIR),
    );

    if fields.has("certificateApi")
        && authority
            .as_ref()
            .is_some_and(|authority| *authority != Authority::Local)
    {
        let wrong = Wrong::expected("no certificateApi, or authority: { local: {} }")
            .because("certificates are handed out by who has the CA");
        fields.refuse("certificateApi", "certificateApi beside another authority", wrong);
    }
    if fields.has("certificateApi") && !verify_peer_certificate {
        let wrong = Wrong::expected("verifyPeerCertificate: true beside it")
            .because("who shows a certificate would not be asked whether it is good");
        fields.refuse("certificateApi", "certificateApi without verification", wrong);
    }
    if !verify_peer_certificate && !accepts_insecure {
        let wrong = Wrong::expected("true")
            .because("anyone could pose as a peer")
            .hint("for a test without security, write iAcceptInsecure: true beside it");
        fields.refuse("verifyPeerCertificate", "false", wrong);
    }
    Some(enabled.then_some(MutualTls {
        enforce_client_certs,
        key_type,
        verify_peer_certificate,
        lifetime,
        renew_before,
        cipher_suites,
        protocols,
        crl_stale_policy,
        authority: authority?,
        certificate_api: certificate_api.flatten(),
        state_dir,
    }))
}

fn read_certificate_api(fields: &mut Fields<'_>) -> Option<Option<SocketAddr>> {
    let enabled = fields.or("enabled", boolean(), true);
    let bind = fields.required("bind", parsed(BIND, grammar::bind))?;
    Some(enabled.then_some(bind))
}

/// `keySize` alone is the size of an RSA key, as in the document; beside `keyType` it has to agree.
fn read_key_type(fields: &mut Fields<'_>) -> KeyType {
    let kind = fields.optional("keyType", word(KEY_TYPES));
    let size = fields.optional("keySize", integer(1..=1_000_000_u32));
    let Some(size) = size else {
        return kind.unwrap_or(KeyType::EcdsaP256);
    };
    let of_size = match size {
        2048 => Some(KeyType::Rsa2048),
        3072 => Some(KeyType::Rsa3072),
        4096 => Some(KeyType::Rsa4096),
        _ => None,
    };
    match (kind, of_size) {
        (Some(kind), _) if kind.bits() != size => {
            let wrong = Wrong::expected(format!(
                "{}, the size of the keyType beside it, or no keySize",
                kind.bits()
            ));
            fields.refuse("keySize", size.to_string(), wrong);
            kind
        }
        (Some(kind), _) => kind,
        (None, Some(kind)) => kind,
        (None, None) => {
            let wrong = Wrong::expected("2048, 3072 or 4096, the size of an RSA key");
            let wrong = match size {
                256 => wrong.hint("for ECDSA write keyType: ecdsa-p256"),
                384 => wrong.hint("for ECDSA write keyType: ecdsa-p384"),
                _ => wrong,
            };
            // A keyType that does not fit has been refused already, and may have meant this size.
            if !fields.has("keyType") {
                fields.refuse("keySize", size.to_string(), wrong);
            }
            KeyType::EcdsaP256
        }
    }
}

fn read_lifetime(fields: &mut Fields<'_>) -> Duration {
    let days = integer(90..=365_u32);
    let days = fields.or(
        "certificateValidityDays",
        days,
        defaults::CERTIFICATE_VALIDITY_DAYS,
    );
    let short = duration()
        .at_least(Duration::from_secs(5 * 60))
        .at_most(rotation::SHORT_LIFETIME);
    let ttl = fields.optional("workloadTtl", short);
    if fields.has("certificateValidityDays") && fields.has("workloadTtl") {
        let wrong = Wrong::expected("one of both");
        fields.refuse("workloadTtl", "workloadTtl beside certificateValidityDays", wrong);
    }
    ttl.unwrap_or_else(|| DAY.saturating_mul(days))
}

fn read_renew_before(fields: &mut Fields<'_>, lifetime: Duration) -> Duration {
    let before = fields
        .optional("renewBefore", duration())
        .unwrap_or_else(|| rotation::renew_before(lifetime));
    if before >= lifetime {
        let found = mesh_core::duration::display(before).to_string();
        let wrong = Wrong::expected(format!(
            "less than the certificates' lifetime of {}",
            mesh_core::duration::display(lifetime)
        ));
        fields.refuse("renewBefore", found, wrong);
    }
    before
}

fn suite(text: &str) -> Result<CipherSuite, Wrong> {
    text.parse().map_err(|_| {
        let names = CipherSuite::ALL.map(CipherSuite::name);
        let wrong = Wrong::expected(format!("one of {}", names.join(", ")));
        wrong.meant(nearest(text, names))
    })
}
