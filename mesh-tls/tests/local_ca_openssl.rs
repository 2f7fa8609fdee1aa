//! What the CA signs, as openssl sees it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use mesh_tls::authority::LocalCaOptions;
use mesh_tls::{CertAuthority, CertRequest, IssuedCert, KeyType, LocalCa, PrivateKey};
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
