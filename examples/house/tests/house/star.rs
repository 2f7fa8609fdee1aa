//! The star: the leaves depend on mesh-core and never on each other.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::DependencyKind;

use crate::{CRATES, metadata, root, run};

const CORE: &str = CRATES[0];

/// By what their names begin with.
const WEB_FRAMEWORKS: [&str; 7] = ["axum", "actix", "warp", "rocket", "tonic", "tower-http", "poem"];
const TLS: [&str; 8] = [
    "rustls",
    "tokio-rustls",
    "openssl",
    "native-tls",
    "aws-lc",
    "ring",
    "rcgen",
    "webpki",
];
const KUBERNETES: [&str; 2] = ["kube", "k8s-openapi"];
const METRICS: [&str; 4] = ["metrics", "prometheus", "opentelemetry", "tracing-opentelemetry"];

/// What a crate needs to be built by itself, direct and indirect.
fn needs(package: &str, features: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(root())
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .args(features);
    let tree = run(&mut cargo);
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| *name != package).map(str::to_owned).collect()
}

fn assert_none_of(needs: &BTreeSet<String>, forbidden: &[&str]) {
    let found: Vec<_> = needs
        .iter()
        .filter(|name| forbidden.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    assert!(
        found.is_empty(),
        "mesh-core comes with {found:?}: put what needs it into a leaf"
    );
}

#[test]
fn a_leaf_depends_on_the_core_and_on_no_other_leaf() {
    let metadata = metadata();
    for leaf in &CRATES[1..] {
        let package = metadata
            .workspace_packages()
            .into_iter()
            .find(|package| package.name == *leaf)
            .unwrap_or_else(|| panic!("{leaf} is no member of the workspace"));
        let ours: BTreeSet<_> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development && dependency.path.is_some())
            .map(|dependency| dependency.name.as_str())
            .collect();
        assert_eq!(
            ours,
            BTreeSet::from([CORE]),
            "{leaf} may depend on {CORE} only: what two leaves share is a trait or a value there"
        );
    }
}

#[test]
fn the_core_depends_on_nothing_of_ours() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let core = packages
        .iter()
        .find(|package| package.name == CORE)
        .expect("a member");
    let ours: Vec<_> = core
        .dependencies
        .iter()
        .filter(|dependency| dependency.path.is_some())
        .map(|dependency| dependency.name.as_str())
        .collect();
    assert!(ours.is_empty(), "{CORE} depends on {ours:?}");
}

#[test]
fn the_libraries_depend_on_no_example() {
    for package in metadata().workspace_packages() {
        if CRATES.contains(&package.name.as_str()) {
            for dependency in package
                .dependencies
                .iter()
                .filter(|dependency| dependency.path.is_some())
            {
                assert!(
                    CRATES.contains(&dependency.name.as_str()),
                    "{} depends on {}, which is no library of the mesh",
                    package.name,
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn the_core_comes_with_no_web_framework_tls_kubernetes_or_metrics() {
    let needs = needs(CORE, &["--all-features"]);
    assert!(
        needs.contains("hyper") && needs.contains("tokio"),
        "not the whole tree: {needs:?}"
    );
    for forbidden in [&WEB_FRAMEWORKS[..], &TLS, &KUBERNETES, &METRICS] {
        assert_none_of(&needs, forbidden);
    }
}

#[test]
fn the_core_without_http_comes_without_hyper() {
    for features in [&[][..], &["--features", "testkit"]] {
        let needs = needs(CORE, features);
        assert!(needs.contains("tokio"), "not the whole tree: {needs:?}");
        assert_none_of(&needs, &["hyper", "h2", "tower-layer"]);
    }
}

#[test]
fn a_canary_or_an_authority_comes_without_an_http_stack() {
    for leaf in ["mesh-canary", "mesh-tls"] {
        let needs = needs(leaf, &[]);
        assert!(needs.contains(CORE), "not the whole tree: {needs:?}");
        let http: Vec<_> = needs.iter().filter(|name| name.starts_with("hyper")).collect();
        assert!(
            http.is_empty(),
            "{leaf} comes with {http:?}: put it behind a feature"
        );
    }
}
