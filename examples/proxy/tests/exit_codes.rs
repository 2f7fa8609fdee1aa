//! What the shell is told: 0 for a valid configuration, 2 for a broken one or bad usage, and nothing is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn mesh_proxy(command: &str, config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mesh-proxy"))
        .args([command, "--config"])
        .arg(config)
        .output()
        .expect("it starts")
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect()
}

#[test]
fn every_broken_file_is_reported_and_ends_with_2_whether_checked_or_run() {
    let broken = files("tests/broken");
    assert!(broken.len() >= 10, "only {} broken files", broken.len());
    for path in broken {
        for command in ["check", "run"] {
            let ended = mesh_proxy(command, &path);
            let report = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(
                ended.status.code(),
                Some(2),
                "{command} {}: {report}",
                path.display()
            );
            assert!(
                report.contains("expected:") || report.contains("problem"),
                "{command} {}: {report}",
                path.display()
            );
            assert!(ended.stdout.is_empty(), "{command} {}", path.display());
        }
    }
}

#[test]
fn every_golden_file_is_valid() {
    let golden = files("../golden");
    assert_eq!(golden.len(), 3);
    for path in golden {
        let ended = mesh_proxy("check", &path);
        assert_eq!(ended.status.code(), Some(0), "{}", path.display());
        assert_eq!(String::from_utf8_lossy(&ended.stdout), "configuration is valid\n");
    }
}

#[test]
fn a_configuration_that_would_be_served_less_safely_than_it_says_is_not_served() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("mesh.yaml");
    let service = "{ name: s, port: 1, discovery: { kubernetes: { versionLabel: version } } }";
    let text = format!("serviceMesh: {{ metrics: {{ bind: '127.0.0.1:0' }}, services: [{service}] }}");
    std::fs::write(&path, text).expect("written");
    let ended = mesh_proxy("run", &path);
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("not started"));
}

#[test]
fn a_certificate_that_is_not_there_is_named_and_nothing_is_served() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/b.yaml");
    let ended = mesh_proxy("run", &golden);
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("cert.pem cannot be read"));
}

#[test]
fn a_file_that_is_not_there_ends_with_2() {
    assert_eq!(
        mesh_proxy("check", Path::new("nowhere.yaml")).status.code(),
        Some(2)
    );
}

#[test]
fn explain_ends_with_0_for_a_decision_3_for_no_route_and_2_for_a_bad_file_or_bad_usage() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/a.yaml");
    let explain = |config: &Path, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-proxy"));
        command.args(["explain", "--config"]).arg(config).args(more);
        let ended = command.output().expect("it starts");
        (
            ended.status.code(),
            String::from_utf8_lossy(&ended.stdout).into_owned(),
        )
    };
    let to = [
        "--method",
        "GET",
        "--path",
        "/x",
        "--header",
        "Host: sample-service",
        "--source",
        "frontend",
    ];
    let (code, text) = explain(&golden, &to);
    assert_eq!(code, Some(0));
    assert!(text.contains("→ sample-service, version stable"), "{text}");
    let (code, text) = explain(&golden, &["--path", "/x", "--header", "host: nobody", "--json"]);
    assert_eq!(code, Some(3));
    let json: serde_json::Value = serde_json::from_str(&text).expect("one object");
    assert_eq!(json["error"]["code"], "no_route");
    let broken = files("tests/broken");
    assert_eq!(explain(&broken[0], &["--path", "/"]).0, Some(2));
    assert_eq!(
        explain(&golden, &["--path", "/", "--header", "nothing"]).0,
        Some(2)
    );
    assert_eq!(explain(&golden, &["--path", "/a%2fb"]).0, Some(2));
    let help = explain(&golden, &["--help"]).1;
    assert!(help.contains("mesh-proxy explain --config mesh.yaml"), "{help}");
}
