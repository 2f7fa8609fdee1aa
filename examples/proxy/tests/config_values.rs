//! Units, words, and what keys mean to each other.

use std::path::Path;
use std::time::Duration;

use mesh_proxy::config::{
    AuthorizationMode, Config, HealthCheckKind, LARGEST_FILE, ListenerTls, MutualTls, Report, RuleAction,
    Service, load, parse,
};
use mesh_tls::KeyType;

fn config(text: &str) -> Config {
    match parse("mesh.yaml", text) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{text}\n{report}"),
    }
}

fn report(text: &str) -> Report {
    match parse("mesh.yaml", text) {
        Ok(_) => panic!("it was taken: {text}"),
        Err(report) => report,
    }
}

/// Path and expectation of the only problem.
fn only_problem(text: &str) -> (String, String) {
    let report = report(text);
    let [problem] = report.problems() else {
        panic!("{report}")
    };
    (problem.path().to_owned(), problem.expected().to_owned())
}

/// A service with these keys besides name and port.
fn with(keys: &str) -> String {
    format!("serviceMesh: {{ services: [{{ name: s, port: 1, {keys} }}] }}")
}

fn service(keys: &str) -> Service {
    config(&with(keys)).mesh.services.remove(0)
}

fn mutual_tls(keys: &str) -> MutualTls {
    let text = format!("serviceMesh: {{ mutualTLS: {{ {keys} }} }}");
    config(&text).mesh.mutual_tls.expect("enabled")
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_bare_number_has_the_documents_unit() {
    let interval = |text: &str| {
        let service = service(&format!("loadBalancing: {{ healthCheckInterval: {text} }}"));
        service.load_balancing.health_check.expect("on").interval
    };
    for text in ["30000", "30s", "'30s'", "30000ms", "0.5m", "30_000ms"] {
        match text {
            "30_000ms" => assert!(
                parse(
                    "x",
                    &with(&format!("loadBalancing: {{ healthCheckInterval: {text} }}"))
                )
                .is_err()
            ),
            _ => assert_eq!(interval(text), 30_000 * MS, "{text}"),
        }
    }
    let fault = service("faultInjection: { delay: { percentage: 0.5, fixedDelay: 1000 } }").fault_injection;
    let delay = fault.and_then(|fault| fault.delay).expect("written");
    assert_eq!(
        (delay.delay, delay.percentage.get()),
        (mesh_traffic::fault::Delay::fixed(1000 * MS), 0.5)
    );

    let canary = config(
        "canaryDeployment: { successCriteria: { responseTime: 250, duration: 300 }, stages: [{ weight: 1, duration: 90 }, { weight: 100 }] }",
    );
    let canary = canary.canary.expect("written");
    assert_eq!(
        (canary.success.response_time, canary.success.duration),
        (250 * MS, 300_000 * MS)
    );
    assert_eq!(canary.stages[0].duration, Some(90_000 * MS));
}

#[test]
fn a_number_without_a_unit_the_document_gives_is_refused() {
    for keys in [
        "timeout: 15",
        "retry: { perTryTimeout: 1.5 }",
        "outlierDetection: { interval: 10 }",
    ] {
        let report = report(&with(keys));
        let hint = report.problems()[0].hint().expect("what to do");
        assert!(hint.contains("needs its unit"), "{hint}");
    }
    assert_eq!(service("timeout: 15s").timeout, Some(15_000 * MS));
}

#[test]
fn sizes_have_units_or_are_bytes() {
    for (text, bytes) in [("1024", 1024), ("1KiB", 1024), ("2kB", 2000), ("0", 0)] {
        let compression = service(&format!("compression: {{ minSize: {text} }}")).compression;
        assert_eq!(
            compression.map(|compression| compression.min_size),
            Some(bytes),
            "{text}"
        );
    }
}

#[test]
fn words_are_words_with_and_without_quotes() {
    for (word, tls) in [
        ("off", ListenerTls::Off),
        ("'off'", ListenerTls::Off),
        ("\"off\"", ListenerTls::Off),
    ] {
        let text = format!("serviceMesh: {{ listeners: [{{ name: a, bind: '127.0.0.1:1', tls: {word} }}] }}");
        assert_eq!(config(&text).mesh.listeners[0].tls, tls, "{word}");
    }
    for word in ["on", "off", "yes", "no", "'true'", "0", "~"] {
        let (path, expected) = only_problem(&format!("serviceMesh: {{ enabled: {word} }}"));
        assert_eq!(
            (path.as_str(), expected.as_str()),
            ("serviceMesh.enabled", "true or false"),
            "{word}"
        );
    }
}

#[test]
fn an_age_of_zero_is_none() {
    let age = |age: &str| {
        let limits = format!("limits: {{ maxConnectionAge: {age} }}");
        let text = format!("serviceMesh: {{ listeners: [{{ name: a, bind: '127.0.0.1:1', {limits} }}] }}");
        config(&text).mesh.listeners[0].limits.max_connection_age
    };
    assert_eq!(
        (age("0"), age("0s"), age("1h")),
        (None, None, Some(Duration::from_secs(3600)))
    );
}

#[test]
fn versions_and_values_of_conditions_are_taken_as_written() {
    let endpoint = service("stableVersion: 1.10, endpoints: [{ address: '127.0.0.1:1', version: 1.10 }]");
    assert_eq!(
        endpoint.endpoints[0]
            .version
            .as_ref()
            .map(|version| version.as_str()),
        Some("1.10")
    );
    let rule = "{ id: r, conditions: [{ type: query, field: page, operator: in, value: [1, true, x] }], respond: { status: 403 } }";
    let rule = &config(&format!(
        "serviceMesh: {{ trafficManagement: {{ rules: [{rule}] }} }}"
    ))
    .mesh
    .rules[0];
    assert_eq!(
        rule.conditions[0].values().collect::<Vec<_>>(),
        ["1", "true", "x"]
    );
}

#[test]
fn every_condition_there_is_can_be_written() {
    let named = ["header", "cookie", "query"];
    for kind in mesh_traffic::router::Subject::KINDS {
        for operator in mesh_traffic::router::Operator::ALL {
            let field = if named.contains(&kind) { ", field: x" } else { "" };
            let value = match (operator.as_str(), kind) {
                ("exists" | "not_exists", _) => String::new(),
                ("in", "path") => ", value: [/a, /b]".to_owned(),
                ("in", _) => ", value: [a, b]".to_owned(),
                (_, "path") => ", value: /a".to_owned(),
                _ => ", value: a".to_owned(),
            };
            let condition = format!("{{ type: {kind}{field}, operator: {operator}{value} }}");
            let rule = format!("{{ id: r, conditions: [{condition}], respond: {{ status: 403 }} }}");
            let text = format!("serviceMesh: {{ trafficManagement: {{ rules: [{rule}] }} }}");
            let always =
                matches!(operator.as_str(), "exists" | "not_exists") && matches!(kind, "path" | "method");
            assert_eq!(parse("x", &text).is_ok(), !always, "{condition}");
        }
    }
}

#[test]
fn the_kind_of_a_health_check_follows_from_its_path() {
    let kind = |keys: &str| {
        let service = service(&format!("loadBalancing: {{ healthCheck: {{ {keys} }} }}"));
        service.load_balancing.health_check.expect("on").kind
    };
    assert_eq!(kind(""), HealthCheckKind::Tcp);
    assert_eq!(kind("kind: grpc"), HealthCheckKind::Grpc);
    for keys in [
        "path: /healthz, expectedStatus: 200-204",
        "kind: http, path: /healthz, expectedStatus: 200-204",
    ] {
        let HealthCheckKind::Http {
            path,
            expected_status,
        } = kind(keys)
        else {
            panic!("{keys}")
        };
        assert_eq!((&*path, expected_status.ends()), ("/healthz", (200, 204)));
    }
    let off = service("loadBalancing: { healthCheck: { enabled: false } }");
    assert_eq!(off.load_balancing.health_check, None);
    for keys in [
        "kind: http",
        "kind: tcp, path: /x",
        "expectedStatus: 200",
        "timeout: 31s",
    ] {
        let text = with(&format!("loadBalancing: {{ healthCheck: {{ {keys} }} }}"));
        assert_eq!(report(&text).problems().len(), 1, "{keys}");
    }
    let quick = service("loadBalancing: { healthCheckInterval: 500 }")
        .load_balancing
        .health_check
        .expect("on");
    assert_eq!((quick.interval, quick.timeout), (500 * MS, 500 * MS));
}

#[test]
fn key_type_and_key_size_agree_or_one_of_them_is_missing() {
    for (keys, kind) in [
        ("enabled: true", KeyType::EcdsaP256),
        ("keySize: 3072", KeyType::Rsa3072),
        ("keyType: ecdsa-p384", KeyType::EcdsaP384),
        ("keyType: ecdsa-p384, keySize: 384", KeyType::EcdsaP384),
        ("keyType: rsa-4096, keySize: 4096", KeyType::Rsa4096),
    ] {
        assert_eq!(mutual_tls(keys).key_type, kind, "{keys}");
    }
    for keys in [
        "keyType: rsa-2048, keySize: 4096",
        "keySize: 1024",
        "keySize: 256",
        "keyType: rsa-512",
    ] {
        report(&format!("serviceMesh: {{ mutualTLS: {{ {keys} }} }}"));
    }
}

#[test]
fn short_certificates_are_renewed_after_two_thirds_of_their_life() {
    let day = Duration::from_secs(86_400);
    for (keys, lifetime, before) in [
        ("enabled: true", 90 * day, 7 * day),
        ("certificateValidityDays: 365", 365 * day, 7 * day),
        ("workloadTtl: 24h", day, day / 3),
        ("workloadTtl: 14d", 14 * day, 7 * day),
        ("workloadTtl: 24h, renewBefore: 1h", day, day / 24),
    ] {
        let tls = mutual_tls(keys);
        assert_eq!((tls.lifetime, tls.renew_before), (lifetime, before), "{keys}");
    }
    for keys in [
        "certificateValidityDays: 89",
        "certificateValidityDays: 366",
        "workloadTtl: 4m",
        "workloadTtl: 15d",
        "workloadTtl: 1h, renewBefore: 1h",
    ] {
        assert_eq!(
            report(&format!("serviceMesh: {{ mutualTLS: {{ {keys} }} }}"))
                .problems()
                .len(),
            1,
            "{keys}"
        );
    }
}

#[test]
fn verification_is_switched_off_only_on_purpose() {
    assert!(!mutual_tls("verifyPeerCertificate: false, iAcceptInsecure: true").verify_peer_certificate);
    let (path, _) = only_problem("serviceMesh: { mutualTLS: { verifyPeerCertificate: false } }");
    assert_eq!(path, "serviceMesh.mutualTLS.verifyPeerCertificate");
}

#[test]
fn admin_beyond_loopback_needs_someone_to_let_in() {
    let admin = |keys: &str| parse("x", &format!("serviceMesh: {{ admin: {{ {keys} }} }}"));
    let id = "spiffe://cluster.local/ns/ops/sa/admin";
    for keys in [
        "bind: '127.0.0.1:9091'",
        "bind: '[::1]:9091'",
        &format!("bind: '0.0.0.0:9091', tls: true, allow: ['{id}']"),
        "bind: '0.0.0.0:9091', tokenFile: token",
        "bind: '0.0.0.0:9091', enabled: false",
    ] {
        assert!(admin(keys).is_ok(), "{keys}");
    }
    for keys in [
        "bind: '0.0.0.0:9091'",
        "bind: '0.0.0.0:9091', tls: true",
        "bind: '[::]:9091', tls: true, allow: []",
        &format!("bind: '10.0.0.1:9091', allow: ['{id}']"),
    ] {
        assert!(admin(keys).is_err(), "{keys}");
    }
}

#[test]
fn default_listeners_follow_mutual_tls() {
    for (keys, tls) in [
        ("", ListenerTls::Off),
        ("mutualTLS: { enabled: false }", ListenerTls::Off),
        ("mutualTLS: { enabled: true }", ListenerTls::Strict),
        (
            "mutualTLS: { enabled: true, enforceClientCerts: true }",
            ListenerTls::Strict,
        ),
        (
            "mutualTLS: { enabled: true, enforceClientCerts: false }",
            ListenerTls::Permissive,
        ),
    ] {
        assert_eq!(
            config(&format!("serviceMesh: {{ {keys} }}")).mesh.listeners[0].tls,
            tls,
            "{keys}"
        );
    }
}

#[test]
fn the_longest_name_of_a_service_counts() {
    let rule = |service: &str| {
        let services = "services: [{ name: a, port: 1 }, { name: a-b, port: 2 }, { name: a-b-v3, port: 3 }]";
        let rules = format!("rules: [{{ id: r, destinations: [{{ service: {service} }}] }}]");
        let text = format!("serviceMesh: {{ {services}, trafficManagement: {{ {rules} }} }}");
        let RuleAction::Forward(split) = config(&text).mesh.rules.remove(0).action else {
            panic!("it forwards")
        };
        let destination = &split.destinations()[0];
        let version = destination.version().map(|version| version.as_str().to_owned());
        (
            destination.service().expect("a service").as_str().to_owned(),
            version,
        )
    };
    let of = |service: &str, version: Option<&str>| (service.to_owned(), version.map(str::to_owned));
    assert_eq!(rule("a"), of("a", None));
    assert_eq!(rule("a-v2"), of("a", Some("v2")));
    assert_eq!(rule("a-b-v2"), of("a-b", Some("v2")));
    assert_eq!(rule("a-b-v3"), of("a-b-v3", None));
}

#[test]
fn a_service_with_a_problem_is_still_there_for_rules() {
    let text = "serviceMesh: { services: [{ name: a, port: 0 }], trafficManagement: { rules: [{ id: r, destinations: [{ service: a-v2 }] }] } }";
    assert_eq!(only_problem(text).0, "serviceMesh.services[0].port");
    let nameless = "serviceMesh: { services: [{ port: 1 }], trafficManagement: { rules: [{ id: r, destinations: [{ service: a }] }] } }";
    assert_eq!(only_problem(nameless).0, "serviceMesh.services[0].name");
}

#[test]
fn a_limit_of_its_own_takes_the_place_of_the_default() {
    let all = "trafficManagement: { rateLimiting: { requestsPerSecond: 10 } }";
    let services = "services: [{ name: a, port: 1 }, { name: b, port: 1, rateLimiting: { requestsPerSecond: 5 } }, { name: c, port: 1, rateLimiting: { enabled: false } }]";
    let mesh = config(&format!("serviceMesh: {{ {all}, {services} }}")).mesh;
    let rates: Vec<_> = mesh
        .services
        .iter()
        .map(|service| {
            service
                .rate_limiting
                .as_ref()
                .map(|limit| (limit.quota.requests(), limit.quota.burst_size()))
        })
        .collect();
    assert_eq!(rates, [Some((10, 10)), Some((5, 5)), None]);
    assert_eq!(
        service("rateLimiting: {}").rate_limiting,
        None,
        "an empty block says nothing"
    );
}

#[test]
fn parts_that_are_switched_off_are_not_there() {
    let service = service(
        "circuitBreaker: { enabled: false }, outlierDetection: { enabled: false }, retry: { enabled: false }, compression: { enabled: false }, authorization: { enabled: false }, faultInjection: { enabled: false }",
    );
    assert!(
        service.circuit_breaker.is_none() && service.outlier_detection.is_none() && service.retry.is_none()
    );
    assert!(
        service.compression.is_none() && service.authorization.is_none() && service.fault_injection.is_none()
    );
    let mesh = config("serviceMesh: { metrics: { enabled: false }, admin: { enabled: false } }").mesh;
    assert!(mesh.metrics.is_none() && mesh.admin.is_none());
}

#[test]
fn who_may_do_what_is_read_rule_by_rule() {
    let authorization = service(
        "authorization: { mode: audit, probes: { paths: [/ok], networks: [10.0.0.0/8] }, rules: [\
         { action: allow, from: [\"spiffe://mesh/ns/*/sa/a\", \"*\", unauthenticated], methods: [GET], paths: [\"/a/**\"] }, \
         { action: deny }] }",
    )
    .authorization
    .expect("written");
    assert_eq!(authorization.mode, AuthorizationMode::Audit);
    assert!(authorization.probes.is_some());
    let [allow, deny] = authorization.rules.as_slice() else {
        panic!("{authorization:?}")
    };
    let from = allow
        .from
        .as_ref()
        .expect("written")
        .iter()
        .map(ToString::to_string);
    assert_eq!(
        from.collect::<Vec<_>>(),
        ["spiffe://mesh/ns/*/sa/a", "*", "unauthenticated"]
    );
    assert_eq!(allow.methods.as_deref(), Some([http::Method::GET].as_slice()));
    assert_eq!(allow.paths.as_ref().expect("written")[0].as_str(), "/a/**");
    assert_eq!((&deny.from, &deny.methods, &deny.paths), (&None, &None, &None));

    for (keys, path) in [
        (
            "rules: [{ action: allow, paths: [/a/../b] }]",
            "rules[0].paths[0]",
        ),
        (
            "rules: [{ action: allow, from: [unauthentcated] }]",
            "rules[0].from[0]",
        ),
        ("rules: [], probes: { paths: [/a//b] }", "probes.paths[0]"),
        ("rules: [], probes: { paths: [] }", "probes.paths"),
        (
            "rules: [], probes: { paths: [/a], networks: [10.1.2.3/8] }",
            "probes.networks[0]",
        ),
        ("rules: [], probes: { networks: [10.0.0.0/8] }", "probes.paths"),
    ] {
        let (found, _) = only_problem(&with(&format!("authorization: {{ {keys} }}")));
        assert_eq!(found, format!("serviceMesh.services[0].authorization.{path}"));
    }
}

#[test]
fn secrets_are_not_printed() {
    let keys = "authority: { remote: { url: 'https://ca.example.org', joinToken: hunter2 } }";
    let tls = mutual_tls(keys);
    assert!(!format!("{tls:?}").contains("hunter2"));
}

#[test]
fn a_ca_at_another_place_is_named_by_https_and_joined_with_one_token() {
    let remote = |keys: &str| {
        parse(
            "x",
            &format!("serviceMesh: {{ mutualTLS: {{ authority: {{ remote: {{ {keys} }} }} }} }}"),
        )
    };
    assert!(remote("url: 'https://ca.example:9443', joinTokenFile: token").is_ok());
    for keys in [
        "url: 'https://ca.example:9443'",
        "url: 'http://ca.example:9443', joinTokenFile: token",
        "url: 'https://ca.example:9443/v1', joinTokenFile: token",
        "url: 'https://ca.example:9443', joinToken: '', joinTokenFile: token",
    ] {
        assert!(remote(keys).is_err(), "{keys}");
    }
}

#[test]
fn certificates_are_handed_out_only_by_who_has_the_ca() {
    let tls = mutual_tls("certificateApi: { bind: '0.0.0.0:9443' }");
    assert_eq!(tls.certificate_api, Some(([0, 0, 0, 0], 9443).into()));
    assert_eq!(mutual_tls("enabled: true").certificate_api, None);
    let off = mutual_tls("certificateApi: { bind: '0.0.0.0:9443', enabled: false }");
    assert_eq!(off.certificate_api, None);
    for keys in [
        "certificateApi: {}",
        "certificateApi: { bind: '0.0.0.0:9443' }, authority: { files: { cert: c, key: k, ca: a } }",
        "certificateApi: { bind: '0.0.0.0:9443' }, verifyPeerCertificate: false, iAcceptInsecure: true",
    ] {
        assert!(
            parse("x", &format!("serviceMesh: {{ mutualTLS: {{ {keys} }} }}")).is_err(),
            "{keys}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_like_any_other_problem() {
    let missing = load(Path::new("no-such-file.yaml")).expect_err("there is none");
    assert!(
        missing.to_string().starts_with("no-such-file.yaml: 1 problem\n"),
        "{missing}"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("mesh.yaml");
    std::fs::write(&path, b"a: 1\nb: \xff\n").expect("written");
    assert!(
        load(&path)
            .expect_err("not UTF-8")
            .to_string()
            .contains("not UTF-8, in line 2")
    );
    let large = usize::try_from(LARGEST_FILE).expect("small enough") + 1;
    std::fs::write(&path, vec![b'#'; large]).expect("written");
    assert!(
        load(&path)
            .expect_err("too large")
            .to_string()
            .contains("at most 4MiB")
    );
    assert!(load(directory.path()).is_err());
}

#[test]
fn more_problems_than_anyone_reads_are_not_all_told() {
    let text = format!("serviceMesh: {{ services: [{}] }}", "x, ".repeat(5000));
    let report = report(&text);
    assert_eq!(report.problems().len(), 1000);
    assert!(
        report
            .to_string()
            .starts_with("mesh.yaml: more than 1000 problems; the first 1000 are told\n")
    );
}

#[test]
fn what_a_terminal_would_act_on_is_shown_and_not_done() {
    let report = report("serviceMesh: { \"\\e[31mred\\u0007\": 1 }");
    let shown = report.to_string();
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
}

#[test]
fn stages_rise_to_all_of_the_traffic() {
    let stages = |stages: &str| parse("x", &format!("canaryDeployment: {{ stages: [{stages}] }}"));
    for good in [
        "{ weight: 5, duration: 1m }, { weight: 100 }",
        "{ weight: 5, duration: 1m }, { weight: 100, duration: 1m }",
    ] {
        assert!(stages(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "{ weight: 100 }",
        "{ weight: 0, duration: 1m }, { weight: 100 }",
        "{ weight: 5, duration: 1m }",
        "{ weight: 5 }, { weight: 100 }",
        "{ weight: 5, duration: 1m }, { weight: 5, duration: 1m }, { weight: 100 }",
        "{ weight: 50, duration: 1m }, { weight: 5, duration: 1m }, { weight: 100 }",
    ] {
        assert!(stages(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_burst_that_takes_a_lifetime_to_come_back_is_refused() {
    let text = "serviceMesh: { services: [{ name: s, port: 1, endpoints: ['127.0.0.1:1'], rateLimiting: { requestsPerSecond: 1, burstSize: 4294967295 } }] }";
    let report = parse("mesh.yaml", text).expect_err("136 years").to_string();
    assert!(
        report.contains("rateLimiting.burstSize") && report.contains("a hundred years"),
        "{report}"
    );
}

#[test]
fn a_delay_is_fixed_or_drawn_in_one_of_three_ways() {
    let delay = |keys: &str| {
        let fault = service(&format!(
            "faultInjection: {{ delay: {{ percentage: 1, {keys} }} }}"
        ));
        fault
            .fault_injection
            .and_then(|fault| fault.delay)
            .expect("written")
            .delay
    };
    let uniform = delay("uniform: { min: 100, max: 2s }");
    let pareto = delay("pareto: { min: 100ms, p99: 10s }, maxDelay: 20s");
    let normal = delay("normal: { mean: 1s, deviation: 100ms }");
    for random in 0..500 {
        assert!((100 * MS..=2000 * MS).contains(&uniform.sample(random)));
        assert!((100 * MS..=20_000 * MS).contains(&pareto.sample(random)));
        assert!((300 * MS..=1700 * MS).contains(&normal.sample(random)));
    }
    let long = (0..10_000)
        .filter(|random| pareto.sample(*random) > 10_000 * MS)
        .count();
    assert!((50..150).contains(&long), "about one of a hundred: {long}");
}

#[test]
fn a_fault_that_means_nothing_is_refused() {
    for (keys, told) in [
        (
            "delay: { percentage: 1 }",
            "one of fixedDelay, uniform, normal, pareto",
        ),
        (
            "delay: { percentage: 1, fixedDelay: 1, uniform: { max: 2 } }",
            "fixedDelay and uniform",
        ),
        (
            "delay: { percentage: 1, uniform: { min: 3s, max: 2s } }",
            "less than max",
        ),
        (
            "delay: { percentage: 1, pareto: { min: 3s, p99: 2s } }",
            "more than min",
        ),
        ("delay: { percentage: 1, fixedDelay: 6m }", "at most 5m"),
        ("abort: { percentage: 1, httpStatus: 204 }", "has a body"),
        (
            "throttle: { percentage: 1, bytesPerSecond: 0 }",
            "faultInjection.throttle.bytesPerSecond",
        ),
        ("until: '2030-01-01T00:00:00Z'", "neither delay nor abort"),
    ] {
        let report = parse("x", &with(&format!("faultInjection: {{ {keys} }}")))
            .expect_err(keys)
            .to_string();
        assert!(report.contains(told), "{keys}: {report}");
    }
}

#[test]
fn a_shared_limit_needs_a_store() {
    let text = |store: &str| {
        format!(
            "serviceMesh: {{ services: [{{ name: s, port: 1, endpoints: ['127.0.0.1:1'], rateLimiting: {{ requestsPerSecond: 1, shared: true }} }}], trafficManagement: {{ {store} }} }}"
        )
    };
    for (store, told) in [
        ("", "a shared rateLimiting and no limitStore"),
        ("limitStore: { redis: 'http://a' }", "limitStore.redis"),
        (
            "limitStore: { redis: 'redis://a', timeout: 2s }",
            "limitStore.timeout",
        ),
    ] {
        let report = parse("x", &text(store)).expect_err(store).to_string();
        assert!(report.contains(told), "{store}: {report}");
    }
    let store = parse("x", &text("limitStore: { redis: 'redis://:secret@a' }")).expect("a store");
    let store = store.config.mesh.limit_store.expect("written");
    assert_eq!(store.timeout, 20 * MS);
    assert!(!format!("{store:?}").contains("secret"));
}

#[test]
fn what_is_unusual_is_noted_only_if_it_is_written_and_by_what_is_written() {
    let text = |keys: &str| format!("serviceMesh: {{ {keys} }}");
    let anomalies = |keys: &str| config(&text(keys)).mesh.telemetry.anomalies;
    assert_eq!(anomalies("telemetry: {}"), None);
    assert_eq!(anomalies("telemetry: { anomalies: { enabled: false } }"), None);
    let defaults = anomalies("telemetry: { anomalies: {} }").expect("on");
    assert_eq!(
        (defaults.window, defaults.sensitivity, defaults.minimum_requests),
        (Duration::from_secs(10), 6.0, 20)
    );
    let written = "telemetry: { anomalies: { window: 1m, sensitivity: 3, minimumRequests: 100 } }";
    let written = anomalies(written).expect("on");
    assert_eq!(
        (written.window, written.sensitivity, written.minimum_requests),
        (Duration::from_secs(60), 3.0, 100)
    );
    let (_, wrong) = only_problem(&text("telemetry: { anomalies: { window: 100ms } }"));
    assert!(wrong.contains("1s"), "{wrong}");
}
