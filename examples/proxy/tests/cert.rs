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

/// The serial number of what `cert issue` told.
fn serial(issued: &str) -> &str {
    issued.split_whitespace().nth(1).expect("a serial number")
}

#[test]
fn a_certificate_is_revoked_listed_and_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    succeeds(dir, &["init", "--intermediate", "--state-dir", "ca"]);
    let issued = succeeds(dir, &ISSUE);
    let serial = serial(&issued);
    assert!(
        succeeds(dir, &["crl", "--out", "crl.pem", "--state-dir", "ca"]).contains("wrote 2 revocation lists")
    );
    let with_list = [&VERIFY[..], &["--crl", "crl.pem"]].concat();
    succeeds(dir, &with_list);

    let revoke = [
        "revoke",
        "--serial",
        serial,
        "--reason",
        "key-compromise",
        "--state-dir",
        "ca",
    ];
    let told = succeeds(dir, &revoke);
    assert!(
        told.contains("key compromise") && told.contains("list    2"),
        "{told}"
    );
    // Once more, and for another reason: nothing changes.
    let again = succeeds(dir, &["revoke", "--serial", serial, "--state-dir", "ca"]);
    assert_eq!(again, told);
    let listed = succeeds(dir, &["list", "--state-dir", "ca"]);
    assert!(
        listed.contains("revoked") && listed.contains("key compromise"),
        "{listed}"
    );
    let listed = succeeds(dir, &["list", "--json", "--state-dir", "ca"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(
        (listed["state"].as_str(), listed["reason"].as_str()),
        (Some("revoked"), Some("key compromise"))
    );

    let lists = succeeds(dir, &["crl", "--out", "-", "--state-dir", "ca"]);
    assert_eq!(lists.matches("-----BEGIN X509 CRL-----").count(), 2);
    fs::write(dir.join("crl.pem"), &lists).expect("written");
    let error = fails(dir, &with_list);
    assert!(error.contains("revoked"), "{error}");

    let error = fails(dir, &["revoke", "--serial", "07", "--state-dir", "ca"]);
    assert!(
        error.contains("07 was not issued by this CA") && error.contains("cert list"),
        "{error}"
    );
    let usage = cert(dir, &["revoke", "--serial", "xyz", "--state-dir", "ca"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_rotation_is_walked_through_step_by_step_and_says_what_comes_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    succeeds(dir, &["init", "--state-dir", "ca"]);
    let old = succeeds(dir, &ISSUE);
    let rotate = |more: &[&str]| succeeds(dir, &[&["rotate", "--state-dir", "ca"], more].concat());
    let told = rotate(&[]);
    assert!(told.starts_with("prepare: generation 2 is prepared\n"), "{told}");
    assert!(
        told.contains("next: the prepared generation takes over at ") && told.contains("held: "),
        "{told}"
    );
    // Who starts now may not have asked yet.
    let error = fails(dir, &["rotate", "--state-dir", "ca"]);
    assert!(error.contains("wait until") && error.contains("force"), "{error}");
    let told = rotate(&["--force"]);
    assert!(told.starts_with("activate: generation 2 is active\n"), "{told}");
    assert!(
        told.contains("next: the generation that was replaced is removed at "),
        "{told}"
    );
    let error = fails(dir, &["rotate", "--step", "remove", "--state-dir", "ca"]);
    assert!(error.contains("generation 1 signed may be good until"), "{error}");

    // Both are believed, by who asks now.
    fs::rename(dir.join("certs"), dir.join("old")).expect("moved");
    succeeds(dir, &ISSUE);
    for certificate in ["old/cert.pem", "certs/cert.pem"] {
        succeeds(dir, &["verify", "--cert", certificate, "--ca", "certs/ca.pem"]);
    }
    let status = succeeds(dir, &["status", "--state-dir", "ca"]);
    assert!(
        status.contains("retiring") && status.contains("active"),
        "{status}"
    );
    let status = succeeds(dir, &["status", "--json", "--state-dir", "ca"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["generations"][1]["state"], "active");
    assert_eq!(status["next"]["step"], "remove");

    assert!(rotate(&["--step", "taint"]).starts_with("taint: generation 2 is tainted\n"));
    assert!(rotate(&["--step", "prepare"]).starts_with("prepare: generation 3 is prepared\n"));
    assert!(rotate(&["--step", "abort"]).starts_with("abort: generation 3 is aborted\n"));
    assert!(rotate(&["--step", "remove", "--force"]).starts_with("remove: generation 1 is removed\n"));
    let error = fails(dir, &["revoke", "--serial", serial(&old), "--state-dir", "ca"]);
    assert!(error.contains("generation 1, which was removed"), "{error}");
}
