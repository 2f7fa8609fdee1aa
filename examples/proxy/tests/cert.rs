//! `mesh-proxy cert`, from the shell: a whole life of certificates, and what goes wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn cert(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-proxy"));
    command
        .current_dir(dir)
        .arg("cert")
        .args(arguments)
        .output()
        .expect("it runs")
}

fn succeeds(dir: &Path, arguments: &[&str]) -> String {
    let output = cert(dir, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

fn fails(dir: &Path, arguments: &[&str]) -> String {
    let output = cert(dir, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).expect("text")
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

const ISSUE: [&str; 9] = [
    "issue",
    "--service",
    "orders",
    "--namespace",
    "dept-barc",
    "--out",
    "certs",
    "--state-dir",
    "ca",
];
const VERIFY: [&str; 5] = ["verify", "--cert", "certs/cert.pem", "--ca", "certs/ca.pem"];

#[test]
fn a_certificate_is_issued_listed_looked_at_and_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let made = succeeds(
        dir,
        &["init", "--trust-domain", "cluster.local", "--state-dir", "ca"],
    );
    assert!(
        made.starts_with("made a CA for the trust domain cluster.local\n"),
        "{made}"
    );
    let issued = succeeds(
        dir,
        &[&ISSUE[..], &["--dns", "orders.example", "--ttl", "2d"]].concat(),
    );
    assert!(
        issued.contains("to spiffe://cluster.local/ns/dept-barc/sa/orders\n"),
        "{issued}"
    );
    let serial = issued.split_whitespace().nth(1).expect("a serial number");
    assert_eq!(
        (mode(dir.join("certs/key.pem")), mode(dir.join("ca"))),
        (0o600, 0o700)
    );

    let listed = succeeds(dir, &["list", "--state-dir", "ca"]);
    assert!(
        listed.lines().nth(1).expect("one").starts_with(serial),
        "{listed}"
    );
    let listed = succeeds(dir, &["list", "--json", "--state-dir", "ca"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(
        (listed["serial"].as_str(), listed["state"].as_str()),
        (Some(serial), Some("good"))
    );

    let seen = succeeds(dir, &["inspect", "--json", "certs/cert.pem"]);
    let seen: serde_json::Value = serde_json::from_str(&seen).expect("JSON");
    assert_eq!(seen["serial"].as_str(), Some(serial));
    assert_eq!(seen["identity"], "spiffe://cluster.local/ns/dept-barc/sa/orders");
    assert_eq!(seen["dns_names"], serde_json::json!(["orders.example"]));
    assert!(succeeds(dir, &["inspect", "certs/ca.pem"]).contains("ca            yes"));

    let good = succeeds(dir, &VERIFY);
    assert!(
        good.starts_with("good: spiffe://cluster.local/ns/dept-barc/sa/orders"),
        "{good}"
    );
    let spiffe = ["--spiffe", "spiffe://cluster.local/ns/dept-barc/sa/billing"];
    let other = fails(dir, &[&VERIFY[..], &spiffe].concat());
    assert!(
        other.contains("sa/billing") && other.contains("sa/orders"),
        "{other}"
    );
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    assert!(fails(dir, &ISSUE).contains("mesh-proxy cert init --state-dir ca"));
    succeeds(dir, &["init", "--state-dir", "ca"]);
    assert!(fails(dir, &["init", "--state-dir", "ca"]).contains("there is a CA already"));
    succeeds(dir, &ISSUE);
    assert!(fails(dir, &ISSUE).contains("--force"));
    succeeds(dir, &[&ISSUE[..], &["--force"]].concat());
    assert!(fails(dir, &["inspect", "nowhere.pem"]).contains("nowhere.pem: it cannot be read"));
    fs::write(dir.join("junk.pem"), "junk\n").expect("written");
    assert!(fails(dir, &["inspect", "junk.pem"]).contains("junk.pem: line 1"));
    succeeds(dir, &["init", "--state-dir", "other"]);
    let foreign = [
        "issue",
        "--service",
        "orders",
        "--out",
        "foreign",
        "--state-dir",
        "other",
    ];
    succeeds(dir, &foreign);
    let error = fails(
        dir,
        &["verify", "--cert", "foreign/cert.pem", "--ca", "certs/ca.pem"],
    );
    assert!(error.contains("does the peer belong to this mesh"), "{error}");
    fs::set_permissions(dir.join("ca"), fs::Permissions::from_mode(0o755)).expect("loosened");
    assert!(fails(dir, &ISSUE).contains("chmod 700"));
    let usage = cert(
        dir,
        &["issue", "--service", "orders", "--out", "x", "--ttl", "soon"],
    );
    assert_eq!(usage.status.code(), Some(2));
}
