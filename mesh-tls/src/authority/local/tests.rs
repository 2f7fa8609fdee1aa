//! What the CA signs, what it does not, and what it survives.

mod crash;
mod directory;
mod generations;
mod model;
mod revocation;

use std::time::{Duration, SystemTime};

use mesh_core::SpiffeId;
use mesh_core::testkit::ManualClock;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};

use super::*;
use crate::certificate::Certificate;
use crate::key::{KeyType, PrivateKey};
use crate::verify::{Expected, Usage, Verifier, VerifyPolicy};

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

fn id(service: &str) -> SpiffeId {
    SpiffeId::of_service("cluster.local", "dept-barc", service).expect("valid parts")
}

fn options() -> LocalCaOptions {
    LocalCaOptions::new("cluster.local")
}

fn csr() -> rustls_pki_types::CertificateSigningRequestDer<'static> {
    let key = PrivateKey::generate_blocking(KeyType::default()).expect("a key");
    key.certificate_request().expect("a CSR")
}

fn request(service: &str, ttl: Duration) -> CertRequest {
    CertRequest::new(csr(), id(service), ttl).expect("a request")
}

/// A clock that moves when told, and is shared.
#[derive(Clone, Debug)]
struct Clock(Arc<ManualClock>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(ManualClock::new(SystemTime::now())))
    }
}

impl Clock {
    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    fn set(&self, now: SystemTime) {
        self.0.set(now);
    }
}

impl WallClock for Clock {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

async fn refused(ca: &LocalCa, request: CertRequest) -> CaError {
    ca.issue(request).await.expect_err("refused")
}

#[tokio::test]
async fn what_it_signs_is_a_members_and_dated_back_five_minutes() {
    let before = SystemTime::now();
    let ca = LocalCa::in_memory(options()).expect("a CA");
    let mut wanted = request("orders", 90 * DAY);
    wanted
        .dns_names
        .push("orders.example".try_into().expect("a name"));
    let issued = ca.issue(wanted).await.expect("issued");
    let told = Certificate::parse(issued.leaf()).expect("a certificate");
    assert_eq!(told.spiffe_id().expect("one"), &id("orders"));
    assert_eq!(told.dns_names(), ["orders.example"]);
    assert_eq!(
        (told.not_before(), told.not_after()),
        (issued.not_before(), issued.not_after())
    );
    assert_eq!(told.serial(), issued.serial());
    let back = before.duration_since(told.not_before()).expect("before");
    assert!(
        back >= 5 * MINUTE - MINUTE / 20 && back <= 5 * MINUTE + MINUTE,
        "{back:?}"
    );
    let verifier = Verifier::new(
        &ca.next_bundle(BundleRequest::any()).await.expect("a bundle"),
        VerifyPolicy::new(),
    );
    let verifier = verifier.expect("a bundle");
    for usage in [Usage::Client, Usage::Server] {
        verifier
            .verify(issued.chain(), usage, &Expected::Identity(id("orders")), before)
            .expect("believed");
    }
}

#[tokio::test]
async fn every_kind_of_key_signs_and_is_signed_for() {
    for kind in KeyType::ALL {
        if kind.bits() > 2048 {
            // Larger keys of RSA take seconds to make, and differ in nothing else.
            continue;
        }
        let ca = LocalCa::in_memory(options().with_key_type(kind)).expect("a CA");
        let key = PrivateKey::generate(kind).await.expect("a key");
        let csr = key.certificate_request().expect("a CSR");
        let issued = ca
            .issue(CertRequest::new(csr, id("orders"), DAY).expect("a request"))
            .await
            .expect("issued");
        let verifier = Verifier::new(
            &ca.next_bundle(BundleRequest::any()).await.expect("a bundle"),
            VerifyPolicy::new(),
        );
        let verified = verifier.expect("a bundle").verify(
            issued.chain(),
            Usage::Client,
            &Expected::Member,
            SystemTime::now(),
        );
        verified.expect("believed");
    }
}

/// Cases 64 and 65.
#[tokio::test]
async fn a_csr_proves_a_key_and_decides_nothing() {
    let ca = LocalCa::in_memory(options()).expect("a CA");
    let mut wants = CertificateParams::default();
    wants.subject_alt_names = vec![
        SanType::URI(id("admin").as_str().try_into().expect("ASCII")),
        SanType::DnsName("admin.example".try_into().expect("a name")),
    ];
    wants.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    wants.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    wants.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let csr = wants.serialize_request(&key).expect("a CSR").der().clone();
    let issued = ca
        .issue(CertRequest::new(csr, id("orders"), DAY).expect("a request"))
        .await
        .expect("issued");
    let told = Certificate::parse(issued.leaf()).expect("a certificate");
    assert_eq!(told.uris(), [id("orders").to_string()]);
    assert!(told.dns_names().is_empty() && !told.is_ca());
    assert!(!told.key_usage().expect("there").key_cert_sign);
}

/// Case 66.
#[tokio::test]
async fn a_csr_that_its_key_did_not_sign_is_refused() {
    let ca = LocalCa::in_memory(options()).expect("a CA");
    let mut forged = csr().to_vec();
    if let Some(last) = forged.last_mut() {
        *last ^= 1;
    }
    let error = refused(
        &ca,
        CertRequest::new(forged, id("orders"), DAY).expect("a request"),
    )
    .await;
    assert_eq!(error.kind(), CaErrorKind::InvalidRequest);
    for junk in [b"junk".to_vec(), [&csr()[..], &[0]].concat()] {
        let error = refused(&ca, CertRequest::new(junk, id("orders"), DAY).expect("a request")).await;
        assert_eq!(error.kind(), CaErrorKind::InvalidRequest, "{error}");
    }
    assert!(ca.issued().expect("a list").is_empty());
}

/// A CSR of openssl, or `None` if it is not installed.
fn openssl_csr(kind: &str, option: &str, hash: &str) -> Option<Vec<u8>> {
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-new",
            "-nodes",
            "-subj",
            "/CN=x",
            "-keyout",
            "/dev/null",
            "-outform",
            "DER",
        ])
        .args(["-newkey", kind, "-pkeyopt", option, hash])
        .output();
    match made {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: openssl is not installed");
            None
        }
        made => {
            let made = made.expect("started");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            Some(made.stdout)
        }
    }
}

#[tokio::test]
async fn csrs_of_another_tool_prove_their_key_unless_with_sha1_or_a_weak_one() {
    let ca = LocalCa::in_memory(options()).expect("a CA");
    for (kind, option, hash, refusal) in [
        ("ec", "ec_paramgen_curve:P-256", "-sha256", None),
        ("ec", "ec_paramgen_curve:P-256", "-sha512", None),
        ("ec", "ec_paramgen_curve:P-384", "-sha256", None),
        ("rsa", "rsa_keygen_bits:2048", "-sha384", None),
        ("rsa", "rsa_keygen_bits:3072", "-sha512", None),
        (
            "rsa",
            "rsa_keygen_bits:2048",
            "-sha1",
            Some("another hash than SHA-256"),
        ),
        (
            "ec",
            "ec_paramgen_curve:P-256",
            "-sha1",
            Some("another hash than SHA-256"),
        ),
        (
            "rsa",
            "rsa_keygen_bits:1024",
            "-sha256",
            Some("RSA 1024: expected"),
        ),
        (
            "ec",
            "ec_paramgen_curve:secp256k1",
            "-sha256",
            Some("expected ECDSA P-256"),
        ),
    ] {
        let Some(csr) = openssl_csr(kind, option, hash) else {
            return;
        };
        let answer = ca
            .issue(CertRequest::new(csr, id("orders"), DAY).expect("a request"))
            .await;
        match (answer, refusal) {
            (Ok(_), None) => {}
            (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
            (answer, _) => panic!("{kind} {option} {hash}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn keys_and_names_that_are_not_the_meshs_are_refused() {
    let ca = LocalCa::in_memory(options()).expect("a CA");
    let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).expect("a key");
    let csr = CertificateParams::default()
        .serialize_request(&p521)
        .expect("a CSR")
        .der()
        .clone();
    let error = refused(&ca, CertRequest::new(csr, id("orders"), DAY).expect("a request")).await;
    assert!(error.to_string().contains("ECDSA P-521: expected"), "{error}");

    // A name with a wildcard is not even a name that could be asked for.
    assert!(crate::authority::DnsName::try_from("*.example").is_err());
    let foreign: SpiffeId = "spiffe://other.example/ns/dept-barc/sa/orders"
        .parse()
        .expect("an ID");
    let foreign = CertRequest::new(super::tests::csr(), foreign, DAY).expect("a request");
    let error = refused(&ca, foreign).await;
    assert_eq!(error.kind(), CaErrorKind::Denied);
    assert!(
        error.to_string().contains("cluster.local") && error.to_string().contains("other.example"),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_ends_before_its_ca_and_is_not_issued_if_that_is_soon() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let soon = options()
        .with_root_lifetime(100 * DAY)
        .with_longest_leaf(50 * DAY);
    LocalCa::init(&path, soon).expect("a CA");
    let after = |days: u32| {
        let clock = ManualClock::new(SystemTime::now() + days * DAY);
        LocalCa::open_with_clock(&path, clock).expect("the CA")
    };
    let ca = after(70);
    let root = Certificate::parse(&ca.root()).expect("a root");
    let issued = ca.issue(request("orders", 50 * DAY)).await.expect("cut short");
    assert!(issued.not_after() < root.not_after());
    let error = refused(&after(80), request("orders", 50 * DAY)).await;
    assert_eq!(error.kind(), CaErrorKind::IssuerExpiring);
    assert!(error.to_string().contains("rotate the CA"), "{error}");
}

/// Case 65.
#[tokio::test]
async fn a_lifetime_of_a_hundred_years_is_cut_to_the_longest_that_the_ca_signs() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    LocalCa::init(&path, options().with_longest_leaf(2 * DAY)).expect("a CA");
    // It is the CA's, whoever opens it.
    let ca = LocalCa::open_or_init(&path, options()).expect("the CA");
    let issued = ca.issue(request("orders", 36_500 * DAY)).await.expect("issued");
    assert!(issued.lifetime() <= 2 * DAY + 5 * MINUTE + Duration::from_secs(1));
    let ca = LocalCa::in_memory(options()).expect("a CA");
    let issued = ca.issue(request("orders", Duration::MAX)).await.expect("issued");
    assert!(issued.lifetime() <= 366 * DAY);
}

#[test]
fn a_root_that_ends_too_soon_for_what_it_signs_is_refused_with_the_arithmetic() {
    let error = LocalCa::in_memory(options().with_root_lifetime(729 * DAY)).expect_err("too soon");
    assert_eq!(error.kind(), CaErrorKind::InvalidRequest);
    assert!(
        error.to_string().contains("2 x 31536000 is more than 62985600"),
        "{error}"
    );
    assert!(LocalCa::in_memory(options().with_root_lifetime(730 * DAY)).is_ok());
    let doomed = options().with_root_lifetime(DAY).with_longest_leaf(DAY / 2);
    let error = LocalCa::in_memory(doomed)
        .expect_err("its successor would be due before it")
        .to_string();
    assert!(error.contains("the longest certificate (43200 s)"), "{error}");
    let short = options().with_root_lifetime(5 * DAY).with_longest_leaf(DAY / 24);
    assert!(LocalCa::in_memory(short).is_ok());
    for longest in [Duration::ZERO, Duration::MAX] {
        assert!(LocalCa::in_memory(options().with_longest_leaf(longest)).is_err());
    }
}

/// Case 67.
#[tokio::test]
async fn what_became_of_a_request_after_it_was_made_is_looked_at() {
    let ca = LocalCa::in_memory(options()).expect("a CA");
    let made = || request("orders", DAY);
    let (mut many, mut short, mut domain, mut long) = (made(), made(), made(), made());
    many.dns_names = vec!["a.example".try_into().expect("a name"); 101];
    short.ttl = Duration::from_millis(999);
    domain.spiffe_id = "spiffe://cluster.local".parse().expect("an ID");
    long.csr = vec![0x30; CertRequest::MAX_CSR_LEN + 1].into();
    for (request, why) in [
        (many, "101 DNS names"),
        (short, "less than a second"),
        (domain, "is a trust domain"),
        (long, "has 16385 bytes"),
    ] {
        let error = refused(&ca, request).await;
        assert_eq!(error.kind(), CaErrorKind::InvalidRequest);
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(ca.issued().expect("a list").is_empty());
}

#[tokio::test]
async fn a_name_that_is_asked_for_twice_is_held_once() {
    let ca = LocalCa::in_memory(options()).expect("a CA");
    let mut twice = request("orders", DAY);
    twice.dns_names = ["Orders.example", "orders.example"]
        .map(|name| name.try_into().expect("a name"))
        .into();
    let issued = ca.issue(twice).await.expect("issued");
    let told = Certificate::parse(issued.leaf()).expect("a certificate");
    assert_eq!(told.dns_names(), ["orders.example"]);
}

#[tokio::test]
async fn short_lives_are_not_dated_back_by_more_than_a_tenth() {
    let ca = LocalCa::in_memory(options()).expect("a CA");
    let issued = ca.issue(request("orders", 5 * MINUTE)).await.expect("issued");
    assert!(
        issued.lifetime() <= 5 * MINUTE + MINUTE / 2 + Duration::from_secs(1),
        "{:?}",
        issued.lifetime()
    );
}

/// Case 82.
#[tokio::test]
async fn a_clock_that_went_back_signs_nothing() {
    let clock = Clock::default();
    let ca = LocalCa::in_memory(options().with_clock(clock.clone())).expect("a CA");
    ca.issue(request("orders", DAY)).await.expect("issued");
    clock.set(clock.now() - 4 * MINUTE);
    ca.issue(request("orders", DAY))
        .await
        .expect("a little is nothing");
    clock.set(clock.now() - 60 * MINUTE);
    let error = refused(&ca, request("orders", DAY)).await;
    assert_eq!(error.kind(), CaErrorKind::Clock);
    assert!(error.to_string().contains("clock"), "{error}");
}

/// F5.
#[test]
fn no_two_cas_have_one_name() {
    let [first, second] = [(); 2].map(|()| LocalCa::in_memory(options()).expect("a CA"));
    let name = |ca: &LocalCa| {
        Certificate::parse(&ca.root())
            .expect("a root")
            .subject()
            .to_owned()
    };
    assert_ne!(name(&first), name(&second));
    assert!(name(&first).contains("cluster.local root"));
}

/// Case 73.
#[tokio::test]
async fn many_at_once_from_two_processes_get_serials_of_their_own_and_all_are_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let [one, other] = [(); 2].map(|()| LocalCa::open_or_init(&path, options()).expect("a CA"));
    assert_eq!(one.root(), other.root());
    let mut issuing = tokio::task::JoinSet::new();
    for n in 0..40 {
        let ca = if n % 2 == 0 { one.clone() } else { other.clone() };
        issuing.spawn(async move { ca.issue(request("orders", DAY)).await.expect("issued").serial() });
    }
    let mut serials = issuing.join_all().await;
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 40);
    for ca in [one, other, LocalCa::open(&path).expect("the CA")] {
        let mut listed: Vec<_> = ca
            .issued()
            .expect("a list")
            .iter()
            .map(|record| record.serial)
            .collect();
        listed.sort();
        assert_eq!(listed, serials);
    }
}

/// Cases 33 and 73: a source of serial numbers that repeats itself.
#[tokio::test]
async fn a_serial_that_was_drawn_before_is_drawn_again_and_none_is_zero_negative_or_too_long() {
    let ca = LocalCa::in_memory(options()).expect("a CA");
    let mut inner = Arc::into_inner(ca.inner).expect("nobody else has it");
    let random = Mutex::new(fastrand::Rng::with_seed(7));
    inner.draw = Box::new(move || {
        let few = random.lock().u64(1..=40);
        Ok(SerialNumber::from_u64(few).expect("positive"))
    });
    let ca = LocalCa {
        inner: Arc::new(inner),
    };
    let mut issuing = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let ca = ca.clone();
        issuing.spawn(async move { ca.issue(request("orders", DAY)).await.expect("issued") });
    }
    let mut serials = Vec::new();
    for issued in issuing.join_all().await {
        // As it stands in the certificate.
        let told = Certificate::parse(issued.leaf()).expect("a certificate").serial();
        assert_eq!(told, issued.serial());
        serials.push(told);
    }
    serials.sort();
    let all: Vec<_> = (1..=40)
        .map(|n| SerialNumber::from_u64(n).expect("positive"))
        .collect();
    assert_eq!(serials, all);
    for _ in 0..1_000 {
        let drawn = material::random_serial().expect("drawn");
        assert!((1..=16).contains(&drawn.as_bytes().len()));
    }
}

#[test]
fn options_that_make_no_ca_are_refused() {
    for domain in ["", "Cluster.Local", "a/b", "a b"] {
        let error = LocalCa::in_memory(domain).expect_err("no trust domain");
        assert_eq!(error.kind(), CaErrorKind::InvalidRequest);
        assert!(error.to_string().contains("trust domain"), "{error}");
    }
    // A certificate can say no year after 9999.
    for lifetime in [
        Duration::from_secs(9_000 * 366 * 86_400),
        Duration::from_secs(1 << 45),
        Duration::MAX,
    ] {
        let error = LocalCa::in_memory(options().with_root_lifetime(lifetime)).expect_err("too late");
        assert_eq!(error.kind(), CaErrorKind::InvalidRequest);
    }
}
