//! What is written and not honoured is named; what must not be served without keeps the proxy from running.

use mesh_proxy::config::{Warning, parse};

fn warnings(text: &str) -> Vec<Warning> {
    match parse("mesh.yaml", text) {
        Ok(loaded) => loaded.warnings,
        Err(report) => panic!("{report}"),
    }
}

/// Paths, and whether each keeps the proxy from running.
fn told(text: &str) -> Vec<(String, bool)> {
    warnings(text)
        .iter()
        .map(|warning| (warning.path().to_owned(), warning.refuses_to_run()))
        .collect()
}

/// The same below a service of one endpoint.
fn told_of_service(keys: &str) -> Vec<(String, bool)> {
    let text = format!(
        "serviceMesh:\n  mutualTLS: {{ enabled: true }}\n  listeners: [{{ name: a, bind: '127.0.0.1:1', tls: off }}]\n  services: [{{ name: s, port: 1, endpoints: ['127.0.0.1:4001'], {keys} }}]\n"
    );
    let prefix = "serviceMesh.services[0].";
    told(&text)
        .into_iter()
        .filter_map(|(path, refuses)| Some((path.strip_prefix(prefix)?.to_owned(), refuses)))
        .collect()
}

#[test]
fn what_is_not_written_is_not_warned_of() {
    assert_eq!(
        told("serviceMesh: { services: [{ name: s, port: 1, endpoints: ['127.0.0.1:4001'] }] }"),
        []
    );
}

#[test]
fn a_warning_says_where_what_and_what_happens_instead() {
    let text = "serviceMesh:\n  enabled: false\n  services:\n    - name: s\n      port: 1\n      endpoints: ['127.0.0.1:4001']\n";
    let [warning] = warnings(text).try_into().expect("one");
    assert_eq!(
        warning.to_string(),
        "mesh.yaml:2:3: serviceMesh.enabled: not honoured by this version yet: requests are routed as if it were true"
    );
    assert!(!warning.refuses_to_run());
}

#[test]
fn security_that_would_be_missing_keeps_the_proxy_from_running() {
    let keys = "discovery: { kubernetes: { versionLabel: version } }";
    assert_eq!(told_of_service(keys), [("discovery.kubernetes".to_owned(), true)]);
}

#[test]
fn every_algorithm_is_honoured() {
    for algorithm in [
        "round_robin",
        "least_connections",
        "random",
        "weighted",
        "p2c_ewma",
        "ring_hash",
        "maglev",
    ] {
        let keys = format!("loadBalancing: {{ algorithm: {algorithm} }}");
        assert_eq!(told_of_service(&keys), [], "{algorithm}");
    }
}

#[test]
fn an_authority_that_signs_nothing_yet_keeps_the_proxy_from_running() {
    for (authority, refuses) in [
        ("local: {}", false),
        ("files: { cert: c, key: k, ca: a }", false),
        ("remote: { url: 'https://ca.example', joinTokenFile: t }", false),
        ("kubernetes: { secret: s }", true),
        ("spire: { socket: s }", true),
    ] {
        let text = format!("serviceMesh: {{ mutualTLS: {{ enabled: true, authority: {{ {authority} }} }} }}");
        let refused = warnings(&text).iter().any(Warning::refuses_to_run);
        assert_eq!(refused, refuses, "{authority}");
    }
}

#[test]
fn what_is_switched_off_needs_no_honouring() {
    for keys in [
        "enableMutualTLS: false",
        "enableTracing: false",
        "outlierDetection: { enabled: false }",
        "authorization: { enabled: false }",
        "authorization: { mode: audit, rules: [{ action: allow }] }",
        "authorization: { rules: [], probes: { paths: [/healthz], networks: [10.0.0.0/8] } }",
        "rateLimiting: {}",
        "rateLimiting: { enabled: false }",
        "retry: { enabled: false }",
    ] {
        assert_eq!(told_of_service(keys), [], "{keys}");
    }
    assert_eq!(
        told("serviceMesh: { admin: { enabled: false }, mutualTLS: { enabled: false } }"),
        []
    );
    assert_eq!(told("canaryDeployment: { enabled: false }"), []);
}

#[test]
fn what_a_rule_does_is_honoured_or_told_of() {
    let rule = |keys: &str| {
        let text = format!(
            "serviceMesh: {{ services: [{{ name: s, port: 1, endpoints: ['127.0.0.1:1'] }}], trafficManagement: {{ rules: [{{ id: r, {keys} }}] }} }}"
        );
        told(&text)
    };
    let to = "destinations: [{ service: s }]";
    for keys in [
        "redirect: { host: a.example.org }".to_owned(),
        format!("{to}, rewrite: {{ host: a.example.org }}"),
        format!("{to}, requestHeaders: {{ remove: [x-debug] }}"),
        format!("{to}, responseHeaders: {{ set: {{ x-a: b }} }}"),
        format!("{to}, timeout: 1s"),
        format!("{to}, mirror: {{ service: s }}"),
        format!("{to}, retry: {{ attempts: 2 }}"),
    ] {
        assert_eq!(rule(&keys), [], "{keys}");
    }
}

#[test]
fn requests_with_nowhere_to_go_are_told_of() {
    let services = "services: [{ name: s, port: 1, endpoints: [{ address: '127.0.0.1:1', version: v1 }] }]";
    let rules = "rules: [{ id: r, destinations: [{ service: s-v2 }] }]";
    let version = warnings(&format!(
        "serviceMesh: {{ {services}, trafficManagement: {{ {rules} }} }}"
    ));
    assert_eq!(
        version[0].path(),
        "serviceMesh.trafficManagement.rules[0].destinations[0]"
    );
    assert!(
        version[0].message().contains("no endpoint of s has version v2"),
        "{}",
        version[0]
    );
}

#[test]
fn a_stable_version_may_come_of_a_rollout() {
    let services = "services: [{ name: s, port: 1, endpoints: [{ address: '127.0.0.1:1', version: v1 }, { address: '127.0.0.1:2', version: v2 }] }]";
    let text = format!("serviceMesh: {{ {services} }}\ncanaryDeployment: {{}}\n");
    assert!(told(&text).contains(&("serviceMesh.services[0].stableVersion".to_owned(), false)));
    assert!(parse("x", &format!("serviceMesh: {{ {services} }}")).is_err());
}

#[test]
fn a_rule_about_identities_that_nobody_can_prove_is_told_of() {
    let rules = |from: &str| format!("authorization: {{ rules: [{{ action: deny, from: [{from}] }}] }}");
    let path = "authorization.rules[0]".to_owned();
    for from in ["\"*\"", "\"spiffe://cluster.local/ns/a/sa/b\""] {
        assert_eq!(told_of_service(&rules(from)), [(path.clone(), false)], "{from}");
    }
    assert_eq!(told_of_service(&rules("unauthenticated, \"*\"")), []);
    assert_eq!(
        told_of_service("authorization: { rules: [{ action: deny }] }"),
        []
    );

    // On a listener for the own application, this process is the one who asks.
    let of_listener = |keys: &str| {
        told(&format!(
            "serviceMesh: {{ mutualTLS: {{ enabled: true }}, listeners: [{{ name: a, bind: '127.0.0.1:1', {keys} }}], services: [{{ name: s, port: 1, endpoints: ['127.0.0.1:4001'], {} }}] }}",
            rules("\"*\"")
        ))
    };
    assert_eq!(of_listener("direction: outbound, tls: off"), []);
    assert_eq!(of_listener("tls: permissive"), []);
}
