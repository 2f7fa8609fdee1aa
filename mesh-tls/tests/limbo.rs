//! Path validation by the cases of x509-limbo: the file's path is in `X509_LIMBO`. Without it nothing is tested, and
//! that is said.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use mesh_tls::verify::{Expected, Usage, Verifier, VerifyPolicy};
use mesh_tls::{CertificateDer, ServerName, TrustBundle, TrustRoot, pem};
use serde::Deserialize;

#[derive(Deserialize)]
struct Limbo {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    extended_key_usage: Vec<String>,
    expected_result: String,
    expected_peer_name: Option<PeerName>,
    max_chain_depth: Option<usize>,
    crls: Vec<String>,
}

#[derive(Deserialize)]
struct PeerName {
    kind: String,
    value: String,
}

/// Where we disagree, and why that is right here.
///
/// The rules of the web that a mesh has no use for, rules that we hold stricter, and constraints that webpki does not
/// understand and therefore refuses.
const DISAGREEMENTS: &[(&str, &str)] = &[
    (
        "cve::cve-2024-0567",
        "stricter: a chain has at most 4 certificates",
    ),
    (
        "pathlen::validation-ignores-pathlen-in-leaf",
        "stricter: its leaf is a CA, and a CA is no workload",
    ),
    (
        "pathlen::self-issued-certs-pathlen",
        "webpki counts a CA that only has a new key among those below it, and fails closed",
    ),
    (
        "rfc5280::aki::leaf-missing-aki",
        "a path is found without it, and openssl leaves it out",
    ),
    ("rfc5280::ski::root-missing-ski", "a path is found without it"),
    (
        "rfc5280::nc::permitted-dns-match-noncritical",
        "enforced whether it is critical or not",
    ),
    (
        "rfc5280::nc::nc-permits-email-exact",
        "no e-mail address is a name here: fails closed",
    ),
    (
        "rfc5280::nc::nc-permits-email-domain",
        "no e-mail address is a name here: fails closed",
    ),
    (
        "rfc5280::nc::nc-permits-email-literal-mid-asterisk",
        "no e-mail address is a name here: fails closed",
    ),
    (
        "rfc5280::san::underscore-dns",
        "names within a cluster have underscores",
    ),
    (
        "rfc5280::unknown-critical-extension-unrelated-root",
        "stricter: a bundle with a bad root is refused whole",
    ),
    (
        "webpki::aki::root-with-aki-authoritycertissuer",
        "a rule of the web; tools for private CAs write it",
    ),
    (
        "webpki::aki::root-with-aki-authoritycertserialnumber",
        "a rule of the web; tools for private CAs write it",
    ),
    (
        "webpki::cn::ipv4-leading-zeros-mismatch",
        "the common name is for people, and not looked at",
    ),
    (
        "webpki::cn::ipv6-uncompressed-mismatch",
        "the common name is for people, and not looked at",
    ),
    (
        "webpki::san::public-suffix-multi-label-wildcard-san",
        "there are no public suffixes within a mesh",
    ),
    (
        "webpki::san::public-suffix-private-namespace-wildcard-san",
        "there are no public suffixes within a mesh",
    ),
    (
        "webpki::san::san-critical-with-nonempty-subject",
        "a rule of the web; SPIFFE allows it",
    ),
];

#[test]
fn limbo_and_we_agree_but_for_what_is_named() {
    let Some(path) = std::env::var_os("X509_LIMBO") else {
        eprintln!("skipped: X509_LIMBO names no file");
        return;
    };
    let text = std::fs::read(&path).expect("X509_LIMBO names a file");
    let limbo: Limbo = serde_json::from_slice(&text).expect("cases of x509-limbo");
    assert!(
        limbo.testcases.len() > 100,
        "only {} cases",
        limbo.testcases.len()
    );
    let named: BTreeMap<_, _> = DISAGREEMENTS.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut met = Vec::new();
    for case in &limbo.testcases {
        let result = run(case);
        let agrees = result.is_ok() == (case.expected_result == "SUCCESS");
        match (agrees, named.contains_key(&*case.id)) {
            (true, false) => {}
            (false, true) => met.push(&*case.id),
            (true, true) => wrong.push(format!("{}: named as a disagreement, and we agree", case.id)),
            (false, false) => {
                wrong.push(format!(
                    "{}: expected {}, and it is {result:?}",
                    case.id, case.expected_result
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        limbo.testcases.len(),
        wrong.join("\n")
    );
    println!(
        "{} cases, {} named disagreements",
        limbo.testcases.len(),
        met.len()
    );
}

fn run(case: &Case) -> Result<(), String> {
    let certificate = |text: &String| -> Result<CertificateDer<'static>, String> {
        let mut read = pem::certificates(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(read.swap_remove(0))
    };
    let certificates = |texts: &[String]| texts.iter().map(certificate).collect::<Result<Vec<_>, String>>();
    let mut crls = Vec::new();
    for crl in &case.crls {
        crls.extend(pem::crls(crl.as_bytes()).map_err(|error| error.to_string())?);
    }
    let roots = certificates(&case.trusted_certs)?;
    let bundle = TrustBundle::new(1, roots.into_iter().map(TrustRoot::new)).with_crls(crls);
    let mut chain = vec![certificate(&case.peer_certificate)?];
    chain.extend(certificates(&case.untrusted_intermediates)?);
    let mut policy = VerifyPolicy::new();
    // The depth counts what stands between leaf and root.
    policy.max_chain = case
        .max_chain_depth
        .map_or(policy.max_chain, |depth| depth.saturating_add(1));
    let verifier = Verifier::new(&bundle, policy).map_err(|error| error.to_string())?;
    let usage = match (
        &*case.validation_kind,
        case.extended_key_usage.first().map(String::as_str),
    ) {
        ("CLIENT", None | Some("clientAuth")) => Usage::Client,
        ("SERVER", None | Some("serverAuth")) => Usage::Server,
        (_, Some("clientAuth")) => Usage::Client,
        other => panic!("{}: {other:?} is not known", case.id),
    };
    let expected = match &case.expected_peer_name {
        Some(PeerName { kind, value }) if kind == "DNS" || kind == "IP" => {
            let name = ServerName::try_from(value.clone()).map_err(|error| format!("{value}: {error}"))?;
            Expected::Dns(name)
        }
        Some(PeerName { kind, .. }) => panic!("{}: a name of kind {kind} is not known", case.id),
        None => Expected::Anyone,
    };
    let now = case.validation_time.as_deref().map_or_else(SystemTime::now, time);
    let verified = verifier.verify(&chain, usage, &expected, now);
    verified.map(|_| ()).map_err(|error| error.to_string())
}

/// A time as `2024-01-01T00:00:00+00:00` or with `Z`.
fn time(text: &str) -> SystemTime {
    let number = |range: std::ops::Range<usize>| -> i64 { text[range].parse().expect(text) };
    assert!(text.ends_with("+00:00") || text.ends_with('Z'), "{text}");
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970, by the civil calendar that begins in March.
    let (y, m) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let days =
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(11..13) * 3_600 + number(14..16) * 60 + number(17..19);
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).expect("after 1970"))
}
