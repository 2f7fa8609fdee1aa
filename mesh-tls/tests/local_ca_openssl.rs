//! What the CA signs, as openssl sees it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use mesh_tls::authority::{LocalCaOptions, RevocationReason, RevokeRequest, RotateRequest, RotationStep};
use mesh_tls::{
    CertAuthority, CertRequest, Certificate, IssuedCert, KeyType, LocalCa, ManagedAuthority, PrivateKey,
};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

/// Runs openssl, or answers `None` if it is not installed.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn openssl(dir: &Path, args: &[&str]) -> Option<Output> {
    match Command::new("openssl").args(args).current_dir(dir).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: openssl is not installed");
            None
        }
        output => Some(output.expect("started")),
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn pem(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", der))
}

fn id(service: &str) -> String {
    format!("spiffe://cluster.local/ns/dept-barc/sa/{service}")
}

async fn issue(ca: &LocalCa, key: &PrivateKey, service: &str, dns: &[&'static str]) -> IssuedCert {
    let id = id(service).parse().expect("an ID");
    let mut request =
        CertRequest::new(key.certificate_request().expect("signed"), id, 90 * DAY).expect("a request");
    for name in dns {
        request = request.with_dns_name((*name).try_into().expect("a host name"));
    }
    ca.issue(request).await.expect("issued")
}

#[tokio::test]
async fn openssl_verifies_strictly_what_keys_of_every_kind_sign() {
    let dir = TempDir::new().expect("a directory");
    for (root, leaf) in [
        (KeyType::EcdsaP256, KeyType::EcdsaP256),
        (KeyType::EcdsaP256, KeyType::Rsa2048),
        (KeyType::EcdsaP384, KeyType::EcdsaP384),
        (KeyType::Rsa2048, KeyType::EcdsaP256),
    ] {
        let options = LocalCaOptions::new("cluster.local").with_key_type(root);
        let ca = LocalCa::in_memory(options).expect("made");
        let key = PrivateKey::generate_blocking(leaf).expect("a key");
        let cert = issue(&ca, &key, "orders", &["orders.dept-barc.svc.cluster.local"]).await;
        fs::write(dir.path().join("root.pem"), pem(&ca.root())).expect("written");
        fs::write(dir.path().join("leaf.pem"), pem(cert.leaf())).expect("written");
        for purpose in ["sslclient", "sslserver"] {
            let args = [
                "verify",
                "-x509_strict",
                "-purpose",
                purpose,
                "-CAfile",
                "root.pem",
                "leaf.pem",
            ];
            let Some(output) = openssl(dir.path(), &args) else {
                return;
            };
            assert!(
                output.status.success(),
                "{root} {leaf} {purpose}: {}",
                text(&output)
            );
        }
    }
}

#[tokio::test]
async fn openssl_reads_what_a_certificate_is_to_say_and_nothing_else() {
    let dir = TempDir::new().expect("a directory");
    let ca = LocalCa::in_memory(LocalCaOptions::new("cluster.local")).expect("made");
    let key = PrivateKey::generate_blocking(KeyType::EcdsaP256).expect("a key");
    let cert = issue(
        &ca,
        &key,
        "orders",
        &["Orders.example", "orders.example", "b.example"],
    )
    .await;
    fs::write(dir.path().join("leaf.pem"), pem(cert.leaf())).expect("written");
    let Some(output) = openssl(dir.path(), &["x509", "-in", "leaf.pem", "-noout", "-text"]) else {
        return;
    };
    let shown = text(&output);
    for expected in [
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Issuer: CN = cluster.local root, serialNumber = ",
        "Subject: CN = orders\n",
        "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication, TLS Web Client Authentication\n",
        "X509v3 Subject Alternative Name: \n                URI:spiffe://cluster.local/ns/dept-barc/sa/orders, DNS:orders.example, DNS:b.example\n",
        "X509v3 Subject Key Identifier:",
        "X509v3 Authority Key Identifier:",
    ] {
        assert!(shown.contains(expected), "{expected:?} is not in\n{shown}");
    }
    assert_eq!(shown.matches("X509v3 ").count(), 6 + 1, "{shown}");
    let serial = openssl(dir.path(), &["x509", "-in", "leaf.pem", "-noout", "-serial"]).expect("installed");
    let serial = text(&serial)
        .trim()
        .strip_prefix("serial=")
        .expect("a serial number")
        .parse();
    assert_eq!(serial, Ok(cert.serial()));

    fs::write(dir.path().join("root.pem"), pem(&ca.root())).expect("written");
    let shown =
        text(&openssl(dir.path(), &["x509", "-in", "root.pem", "-noout", "-text"]).expect("installed"));
    for expected in [
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
        "X509v3 Subject Key Identifier:",
    ] {
        assert!(shown.contains(expected), "{expected:?} is not in\n{shown}");
    }
    assert!(!shown.contains("Name Constraints"), "{shown}");
}

#[tokio::test]
async fn names_too_long_for_a_subject_are_cut_and_stay_strictly_valid() {
    let dir = TempDir::new().expect("a directory");
    let ca = LocalCa::in_memory(LocalCaOptions::new("cluster.local")).expect("made");
    let key = PrivateKey::generate_blocking(KeyType::EcdsaP256).expect("a key");
    let cert = issue(&ca, &key, &"a".repeat(65), &[]).await;
    fs::write(dir.path().join("root.pem"), pem(&ca.root())).expect("written");
    fs::write(dir.path().join("leaf.pem"), pem(cert.leaf())).expect("written");
    let Some(output) = openssl(dir.path(), &["x509", "-in", "leaf.pem", "-noout", "-text"]) else {
        return;
    };
    let shown = text(&output);
    let name = format!("Subject: CN = {}\n", "a".repeat(64));
    assert!(shown.contains(&name), "{shown}");
    let args = ["verify", "-x509_strict", "-CAfile", "root.pem", "leaf.pem"];
    let output = openssl(dir.path(), &args).expect("installed");
    assert!(output.status.success(), "{}", text(&output));
}

#[tokio::test]
async fn what_a_request_of_another_tool_asks_for_is_not_given() {
    let dir = TempDir::new().expect("a directory");
    let config = "\
        [req]\ndistinguished_name = dn\nreq_extensions = wanted\nprompt = no\n\
        [dn]\nCN = admin\n\
        [wanted]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign,cRLSign\n\
        extendedKeyUsage = codeSigning\nsubjectAltName = URI:spiffe://cluster.local/ns/x/sa/admin,DNS:admin.example\n\
        nameConstraints = permitted;DNS:example\n1.2.3.4 = ASN1:UTF8String:hello\n";
    fs::write(dir.path().join("req.cnf"), config).expect("written");
    let args = [
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-config", "req.cnf",
        "-outform", "DER", "-out", "req.der",
    ];
    let Some(output) = openssl(dir.path(), &args) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output));
    let csr = fs::read(dir.path().join("req.der")).expect("read");
    let ca = LocalCa::in_memory(LocalCaOptions::new("cluster.local")).expect("made");
    let request =
        CertRequest::new(csr, id("orders").parse().expect("an ID"), 36_500 * DAY).expect("a request");
    let cert = ca.issue(request).await.expect("issued");
    assert!(
        cert.lifetime() <= 366 * DAY,
        "a hundred years are cut to the longest"
    );
    fs::write(dir.path().join("leaf.pem"), pem(cert.leaf())).expect("written");
    let shown =
        text(&openssl(dir.path(), &["x509", "-in", "leaf.pem", "-noout", "-text"]).expect("installed"));
    assert!(
        shown.contains("CA:FALSE") && shown.contains("URI:spiffe://cluster.local/ns/dept-barc/sa/orders\n"),
        "{shown}"
    );
    for unwanted in [
        "admin",
        "Code Signing",
        "Certificate Sign",
        "Name Constraints",
        "hello",
        "CA:TRUE",
    ] {
        assert!(!shown.contains(unwanted), "{unwanted} is in\n{shown}");
    }
}

#[tokio::test]
async fn a_ca_restored_with_its_files_signs_under_the_same_root() {
    let dir = TempDir::new().expect("a directory");
    let options = LocalCaOptions::new("cluster.local");
    let made = LocalCa::init(dir.path().join("ca"), options).expect("made");
    fs::write(dir.path().join("root.pem"), pem(&made.root())).expect("written");
    drop(made);
    let opened = LocalCa::open(dir.path().join("ca")).expect("opened");
    let key = PrivateKey::generate_blocking(KeyType::EcdsaP256).expect("a key");
    let cert = issue(&opened, &key, "orders", &[]).await;
    fs::write(dir.path().join("leaf.pem"), pem(cert.leaf())).expect("written");
    let args = ["verify", "-x509_strict", "-CAfile", "root.pem", "leaf.pem"];
    let Some(output) = openssl(dir.path(), &args) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output));
}

fn pem_list(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("X509 CRL", der))
}

/// Writes roots and lists of the bundle, and answers with its sequence.
fn write_bundle(dir: &Path, ca: &LocalCa) -> u64 {
    let bundle = ca.bundle();
    let roots: String = bundle.roots.iter().map(|root| pem(&root.cert)).collect();
    let lists: String = bundle.crls.iter().map(|list| pem_list(list)).collect();
    fs::write(dir.join("roots.pem"), roots).expect("written");
    fs::write(dir.join("lists.pem"), lists).expect("written");
    bundle.sequence
}

fn seconds_from_now(ahead: Duration) -> String {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    (since + ahead).as_secs().to_string()
}

#[tokio::test]
async fn openssl_reads_the_list_and_refuses_what_is_revoked_and_a_list_that_is_too_old() {
    let dir = TempDir::new().expect("a directory");
    for kind in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Rsa2048] {
        let ca = LocalCa::in_memory(LocalCaOptions::new("cluster.local").with_key_type(kind)).expect("made");
        let key = PrivateKey::generate_blocking(KeyType::EcdsaP256).expect("a key");
        let cert = issue(&ca, &key, "orders", &[]).await;
        fs::write(dir.path().join("leaf.pem"), pem(cert.leaf())).expect("written");
        assert_eq!(write_bundle(dir.path(), &ca), 1);
        let verify = [
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-crl_check",
            "-CAfile",
            "roots.pem",
            "-CRLfile",
            "lists.pem",
        ];
        let good = [&verify[..], &["leaf.pem"]].concat();
        let Some(output) = openssl(dir.path(), &good) else {
            return;
        };
        assert!(output.status.success(), "{kind}: {}", text(&output));
        // Good for a week, and not a day longer.
        let (week, later) = (
            seconds_from_now(7 * DAY - DAY / 24),
            seconds_from_now(7 * DAY + DAY / 24),
        );
        let then = openssl(
            dir.path(),
            &[&verify[..], &["-attime", &week, "leaf.pem"]].concat(),
        )
        .expect("runs");
        assert!(then.status.success(), "{}", text(&then));
        let then = openssl(
            dir.path(),
            &[&verify[..], &["-attime", &later, "leaf.pem"]].concat(),
        )
        .expect("runs");
        assert!(
            text(&then).contains("error 12 at 0 depth lookup"),
            "{}",
            text(&then)
        );

        let revoked = RevokeRequest::new(cert.serial()).because(RevocationReason::KeyCompromise);
        let revoked = ca.revoke(revoked).await.expect("revoked");
        assert_eq!(write_bundle(dir.path(), &ca), revoked.sequence);
        let refused = openssl(dir.path(), &good).expect("runs");
        assert!(
            text(&refused).contains("error 23 at 0 depth lookup"),
            "{}",
            text(&refused)
        );
        let shown = [
            "crl",
            "-in",
            "lists.pem",
            "-noout",
            "-crlnumber",
            "-lastupdate",
            "-nextupdate",
            "-verify",
            "-CAfile",
            "roots.pem",
        ];
        let shown = text(&openssl(dir.path(), &shown).expect("runs"));
        for expected in ["verify OK", "crlNumber=0x02", "lastUpdate=", "nextUpdate="] {
            assert!(shown.contains(expected), "{expected:?} is not in\n{shown}");
        }
        let shown =
            text(&openssl(dir.path(), &["crl", "-in", "lists.pem", "-noout", "-text"]).expect("runs"));
        for expected in [
            "Version 2 (0x1)",
            "X509v3 Authority Key Identifier",
            "X509v3 CRL Reason Code: \n                Key Compromise",
            &format!("Serial Number: {}", cert.serial().to_string().to_uppercase()),
        ] {
            assert!(shown.contains(expected), "{expected:?} is not in\n{shown}");
        }
    }
}

#[tokio::test]
async fn openssl_asks_every_list_of_a_chain_with_an_issuing_ca() {
    let dir = TempDir::new().expect("a directory");
    let ca = LocalCa::in_memory(LocalCaOptions::new("cluster.local").with_intermediate()).expect("made");
    let key = PrivateKey::generate_blocking(KeyType::EcdsaP256).expect("a key");
    let taken = issue(&ca, &key, "orders", &[]).await;
    let old = issue(&ca, &key, "billing", &[]).await;
    let write_leaf = |cert: &IssuedCert| {
        fs::write(dir.path().join("leaf.pem"), pem(cert.leaf())).expect("written");
        fs::write(dir.path().join("issuing.pem"), pem(&cert.chain()[1])).expect("written");
    };
    let verify = || {
        let args = [
            "verify",
            "-x509_strict",
            "-crl_check_all",
            "-CAfile",
            "roots.pem",
            "-CRLfile",
            "lists.pem",
            "-untrusted",
            "issuing.pem",
            "leaf.pem",
        ];
        openssl(dir.path(), &args).map(|output| text(&output))
    };
    write_bundle(dir.path(), &ca);
    write_leaf(&taken);
    let Some(told) = verify() else { return };
    assert!(told.contains("leaf.pem: OK"), "{told}");
    let shown = text(&openssl(dir.path(), &["x509", "-in", "issuing.pem", "-noout", "-text"]).expect("runs"));
    for expected in [
        "CA:TRUE, pathlen:0\n",
        "Certificate Sign, CRL Sign",
        "CN = cluster.local issuing, ",
    ] {
        assert!(shown.contains(expected), "{expected:?} is not in\n{shown}");
    }
    let shown = text(&openssl(dir.path(), &["x509", "-in", "roots.pem", "-noout", "-text"]).expect("runs"));
    assert!(shown.contains("CA:TRUE, pathlen:1\n"), "{shown}");

    ca.revoke(RevokeRequest::new(taken.serial()))
        .await
        .expect("revoked");
    write_bundle(dir.path(), &ca);
    assert!(verify().expect("runs").contains("error 23 at 0 depth lookup"));
    write_leaf(&old);
    assert!(verify().expect("runs").contains("leaf.pem: OK"));

    // Its issuing CA is taken back, once another one signs: both of the old one are refused, the new ones are not.
    for step in [RotationStep::Taint, RotationStep::Prepare, RotationStep::Activate] {
        ca.rotate(RotateRequest::new(step).forced()).await.expect("taken");
    }
    let new = issue(&ca, &key, "billing", &[]).await;
    let issuing = Certificate::parse(&old.chain()[1]).expect("a CA").serial();
    ca.revoke(RevokeRequest::new(issuing)).await.expect("revoked");
    write_bundle(dir.path(), &ca);
    let told = verify().expect("runs");
    assert!(told.contains("error 23 at 1 depth lookup"), "{told}");
    write_leaf(&new);
    let told = verify().expect("runs");
    assert!(told.contains("leaf.pem: OK"), "{told}");
}

#[tokio::test]
async fn openssl_believes_both_generations_while_one_replaces_the_other() {
    let dir = TempDir::new().expect("a directory");
    let ca = LocalCa::in_memory("cluster.local").expect("made");
    let key = PrivateKey::generate_blocking(KeyType::EcdsaP256).expect("a key");
    let old = issue(&ca, &key, "orders", &[]).await;
    for step in [RotationStep::Prepare, RotationStep::Activate] {
        ca.rotate(RotateRequest::new(step).forced()).await.expect("taken");
    }
    let new = issue(&ca, &key, "orders", &[]).await;
    write_bundle(dir.path(), &ca);
    for cert in [&old, &new] {
        fs::write(dir.path().join("leaf.pem"), pem(cert.leaf())).expect("written");
        let args = [
            "verify",
            "-x509_strict",
            "-crl_check",
            "-CAfile",
            "roots.pem",
            "-CRLfile",
            "lists.pem",
            "leaf.pem",
        ];
        let Some(output) = openssl(dir.path(), &args) else {
            return;
        };
        assert!(output.status.success(), "{}", text(&output));
    }
}
