//! The documents the mesh is built to: their blocks load as they stand, and mean what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_core::KeyBy;
use mesh_proxy::config::{
    Algorithm, AnalysisTemplate, Authority, Config, Direction, Discovery, HealthCheckKind, ListenerTls,
    Loaded, Protocol, RuleAction, Trust, Upgrade, UpstreamTls, VersionsFrom, load, parse,
};
use mesh_tls::KeyType;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).expect(path)
}

fn loaded(text: &str) -> Loaded {
    parse("mesh.yaml", text).unwrap_or_else(|report| panic!("{report}"))
}

fn config(text: &str) -> Config {
    loaded(text).config
}

const MESH: &str = "tests/documents/service-mesh.yaml";
const CANARY: &str = "tests/documents/canary-deployment.yaml";
const TEMPLATES: &str = "tests/documents/analysis-templates.yaml";

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn the_service_mesh_block_loads_as_it_stands() {
    let mesh = config(&read(MESH)).mesh;
    assert!(mesh.enabled);
    assert_eq!(mesh.namespace.as_str(), "dept-barc");
    assert_eq!(
        mesh.identity.id.as_str(),
        "spiffe://cluster.local/ns/dept-barc/sa/service-mesh-proxy"
    );

    let [service] = mesh.services.as_slice() else {
        panic!("one service")
    };
    assert_eq!(
        (service.name.as_str(), service.port, service.replicas),
        ("sample-service", 3001, Some(3))
    );
    assert!(service.enable_tracing);
    assert_eq!(service.origin.to_string(), "mesh.yaml:5:7");
    let mutual = UpstreamTls::Mutual {
        server_name: None,
        ca: None,
    };
    assert_eq!(service.tls, mutual);
    assert_eq!(service.load_balancing.algorithm, Algorithm::LeastConnections);
    let check = service
        .load_balancing
        .health_check
        .as_ref()
        .expect("on by default");
    assert_eq!(
        (check.interval, &check.kind),
        (30 * SECOND, &HealthCheckKind::Tcp)
    );

    let limit = service
        .rate_limiting
        .as_ref()
        .expect("the default of every service");
    assert_eq!((limit.quota.requests(), limit.quota.burst_size()), (1000, 100));
    assert_eq!((&limit.key, limit.dry_run), (&KeyBy::SourceService, false));

    let tls = mesh.mutual_tls.as_ref().expect("enabled");
    assert!(tls.enforce_client_certs && tls.verify_peer_certificate);
    assert_eq!(
        (tls.key_type, tls.lifetime, tls.renew_before),
        (KeyType::Rsa2048, 90 * DAY, 7 * DAY)
    );
    let suites: Vec<_> = tls
        .cipher_suites
        .iter()
        .flatten()
        .map(|suite| suite.name())
        .collect();
    assert_eq!(suites, ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]);
    assert_eq!(tls.protocols.len(), 2);
    assert_eq!(tls.authority, Authority::Local);

    let [listener] = mesh.listeners.as_slice() else {
        panic!("the default listener")
    };
    assert_eq!(
        (&*listener.name, listener.bind.to_string()),
        ("inbound", "0.0.0.0:8080".to_owned())
    );
    assert_eq!(listener.tls, ListenerTls::Strict);
}

#[test]
fn the_canary_block_loads_as_it_stands_alone() {
    let config = config(&read(CANARY));
    let canary = config.canary.expect("the block");
    assert!(canary.enabled && !canary.auto_promote && canary.auto_rollback);
    assert_eq!(canary.success.error_rate.get(), 0.01);
    assert_eq!(
        (canary.success.response_time, canary.success.duration),
        (SECOND / 2, 300 * SECOND)
    );
    assert_eq!(canary.rollback.error_rate.get(), 0.05);
    assert_eq!(
        (canary.rollback.response_time, canary.rollback.duration),
        (SECOND, 60 * SECOND)
    );
    let stages: Vec<_> = canary
        .stages
        .iter()
        .map(|stage| {
            (
                stage.weight,
                stage.duration.map(|duration| duration.as_secs() / 60),
            )
        })
        .collect();
    assert_eq!(
        stages,
        [
            (5, Some(5)),
            (10, Some(5)),
            (20, Some(10)),
            (50, Some(10)),
            (100, None)
        ]
    );
    assert!(config.mesh.services.is_empty() && config.mesh.mutual_tls.is_none());
}

#[test]
fn the_analysis_templates_load_as_they_stand() {
    let config = config(&read(TEMPLATES));
    let [
        AnalysisTemplate::Inline {
            name,
            query,
            success_condition,
            failure_condition,
            ..
        },
    ] = config.analysis_templates.as_slice()
    else {
        panic!("one template")
    };
    assert_eq!(&**name, "success-rate");
    assert!(
        query.contains("job=\"{{.Service}}-{{.Version}}\"") && query.ends_with("* 100\n"),
        "{query}"
    );
    assert_eq!(success_condition.as_deref(), Some("result[0] >= 99"));
    assert_eq!(failure_condition.as_deref(), Some("result[0] < 95"));
}

#[test]
fn the_blocks_load_together_in_one_file_or_as_documents_of_one() {
    let together = config(&[MESH, CANARY, TEMPLATES].map(read).concat());
    let documents = config(&[MESH, CANARY, TEMPLATES].map(read).join("---\n"));
    for config in [together, documents] {
        assert_eq!(config.mesh.services.len(), 1);
        assert_eq!(config.canary.map(|canary| canary.stages.len()), Some(5));
        assert_eq!(config.analysis_templates.len(), 1);
    }
}

#[test]
fn the_documents_objects_are_rules_limits_and_faults() {
    let text = "
serviceMesh:
  services:
    - { name: sample-service, port: 3001 }
  trafficManagement:
    rules:
      - id: 'api-v2-routing'
        name: 'Route API v2 requests'
        priority: 100
        enabled: true
        conditions:
          - { type: 'header', field: 'api-version', operator: 'equals', value: 'v2' }
        destinations:
          - { service: 'sample-service-v2', weight: 100 }
        rateLimiting: { enabled: true, requestsPerSecond: 1000, burstSize: 100, keyExtractor: 'source_service' }
        faultInjection: { delay: { percentage: 10, fixedDelay: 1000 }, abort: { percentage: 5, httpStatus: 503 } }
";
    let mesh = config(text).mesh;
    let rule = &mesh.rules[0];
    assert_eq!(
        (&*rule.id, &*rule.name, rule.priority),
        ("api-v2-routing", "Route API v2 requests", 100)
    );
    assert_eq!(rule.conditions[0].to_string(), "header api-version equals \"v2\"");
    let RuleAction::Forward(split) = &rule.action else {
        panic!("it forwards")
    };
    let destination = &split.destinations()[0];
    assert_eq!(destination.service().map(|s| s.as_str()), Some("sample-service"));
    assert_eq!(destination.version().map(|version| version.as_str()), Some("v2"));
    let fault = rule.fault_injection.expect("written");
    assert_eq!(
        fault.delay.map(|delay| delay.delay),
        Some(mesh_traffic::fault::Delay::fixed(SECOND))
    );
    assert_eq!(
        fault
            .abort
            .map(|abort| abort.abort.error().http_status().as_u16()),
        Some(503)
    );
}

#[test]
fn every_key_of_the_interface_description_is_known() {
    let config = config(&read("tests/documents/every-key.yaml"));
    let mesh = &config.mesh;
    let service = &mesh.services[0];
    assert_eq!(
        service.stable_version.as_ref().map(|version| version.as_str()),
        Some("v1")
    );
    assert_eq!(service.endpoints[1].weight, 3);
    let label = VersionsFrom::Label("version".into());
    assert_eq!(service.discovery, Some(Discovery::Kubernetes { versions: label }));
    assert_eq!(service.timeout, Some(15 * SECOND));
    assert_eq!(service.tls, UpstreamTls::Off, "neither mutual nor external");
    assert!(service.authorization.is_some() && service.compression.is_some() && service.retry.is_some());
    let end = service
        .fault_injection
        .and_then(|fault| fault.until)
        .expect("until");
    assert_eq!(
        end.duration_since(std::time::UNIX_EPOCH)
            .map(|since| since.as_secs())
            .ok(),
        Some(1_798_675_200)
    );
    assert_eq!(mesh.rules[0].conditions.len(), 1);
    assert!(mesh.telemetry.otlp.is_some() && mesh.telemetry.jaeger.is_some());
    assert_eq!(
        config
            .canary
            .and_then(|canary| canary.services)
            .map(|services| services.len()),
        Some(1)
    );
}

/// What is written out there as a default is what comes of leaving it out.
#[test]
fn the_defaults_are_those_of_the_interface_description() {
    let written = config(&read("tests/documents/every-key.yaml")).mesh;
    let bare = config(
        "serviceMesh: { services: [{ name: s, port: 1 }], listeners: [{ name: l, bind: '0.0.0.0:1' }] }",
    )
    .mesh;
    assert_eq!(written.listeners[0].limits, bare.listeners[0].limits);
    let (written_service, service) = (&written.services[0], &bare.services[0]);
    assert_eq!(written_service.circuit_breaker, service.circuit_breaker);
    assert_eq!(written_service.outlier_detection, service.outlier_detection);
    assert_eq!(
        written_service.load_balancing.health_check,
        service.load_balancing.health_check
    );
    assert_eq!(
        written_service.load_balancing.panic_threshold,
        service.load_balancing.panic_threshold
    );
    assert_eq!(
        written_service.load_balancing.algorithm,
        service.load_balancing.algorithm
    );
    let retry = config("serviceMesh: { services: [{ name: s, port: 1, retry: {} }] }")
        .mesh
        .services[0]
        .retry
        .clone();
    let (written_retry, retry) = (
        written_service.retry.as_ref().expect("written"),
        retry.expect("written"),
    );
    assert_eq!(written_retry.budget, retry.budget);
    assert_eq!(
        (written_retry.attempts, &written_retry.on),
        (retry.attempts, &retry.on)
    );
    assert_eq!(written.metrics, bare.metrics);
    let (written_admin, admin) = (
        written.admin.as_ref().expect("on"),
        bare.admin.as_ref().expect("on"),
    );
    assert_eq!(
        (written_admin.bind, admin.bind),
        ("127.0.0.1:9091".parse().expect("an address"), written_admin.bind)
    );
    assert!(admin.is_by_default && !written_admin.is_by_default);

    for off in [
        service.rate_limiting.is_none(),
        service.fault_injection.is_none(),
        service.authorization.is_none(),
        service.compression.is_none(),
        service.timeout.is_none(),
        service.load_balancing.slow_start.is_none(),
        service.retry.is_none(),
    ] {
        assert!(off);
    }
    let limits = bare.listeners[0].limits;
    assert_eq!(
        (limits.request_head, limits.idle, limits.keep_alive),
        (10 * SECOND, 60 * SECOND, 60 * SECOND)
    );
    assert_eq!(
        (limits.max_head_bytes, limits.max_headers, limits.max_uri_bytes),
        (65_536, 100, 16_384)
    );
    assert_eq!((limits.max_connections, limits.max_streams), (10_000, 100));
    assert_eq!(limits.max_connection_age, None);
    assert_eq!(bare.listeners[0].upgrades, [Upgrade::WebSocket]);
    assert_eq!(bare.listeners[0].trust, Trust::Hops(0));
    assert_eq!(bare.listeners[0].direction, Direction::Inbound);
}

#[test]
fn the_golden_configurations_load() {
    let golden = |name: &str| {
        let path = file(&format!("../golden/{name}.yaml"));
        load(&path).unwrap_or_else(|report| panic!("{report}"))
    };
    let a = golden("a");
    assert_eq!(a.warnings, []);
    assert_eq!(
        a.config.mesh.services[0].load_balancing.algorithm,
        Algorithm::RoundRobin
    );
    assert_eq!(a.config.mesh.listeners[0].tls, ListenerTls::Off);

    let b = golden("b").config.mesh;
    assert_eq!(b.identity.id.as_str(), "spiffe://bench.local/ns/a/sa/b");
    let tls = b.mutual_tls.expect("enabled");
    let Authority::Files {
        cert,
        key,
        ca,
        crl: None,
    } = tls.authority
    else {
        panic!("files")
    };
    assert_eq!(
        [cert, key, ca].map(|path| path.display().to_string()),
        ["cert.pem", "key.pem", "ca.pem"]
    );
    let UpstreamTls::Mutual {
        server_name: Some(name),
        ..
    } = &b.services[0].tls
    else {
        panic!("mutual TLS, by name")
    };
    assert_eq!(name.as_str(), "localhost");

    let c = golden("c");
    assert_eq!(c.warnings, []);
    let mesh = c.config.mesh;
    let limits = mesh.listeners[0].limits;
    assert_eq!(
        (limits.request_head, limits.idle),
        (SECOND, Duration::from_millis(1200))
    );
    assert_eq!(mesh.services[0].protocol, Protocol::Http1);
    assert_eq!(mesh.services[0].timeout, Some(Duration::from_millis(1500)));
    assert!(matches!(&mesh.rules[0].action, RuleAction::Respond(respond) if respond.status() == 403));
}

#[test]
fn the_quickstart_loads_without_a_warning() {
    let quickstart = load(&file("../quickstart.yaml")).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(quickstart.warnings, []);
    assert_eq!(
        quickstart.config.mesh.listeners[0].tls,
        ListenerTls::Off,
        "off without quotes"
    );
}
