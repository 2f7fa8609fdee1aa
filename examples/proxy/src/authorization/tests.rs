use std::sync::Arc;

use http::{Method, Request};
use mesh_core::{MeshContext, PeerInfo, RequestHead};
use mesh_traffic::LiveSplits;
use mesh_traffic::router::Asking;

use super::*;
use crate::routing;

/// A service that frontend may read, with a rule that rewrites.
fn mesh(authorization: &str) -> config::Config {
    let text = format!(
        r#"
serviceMesh:
  namespace: shop
  identity: {{ service: gate }}
  services:
    - {{ name: orders, port: 1, hosts: ["*"], endpoints: ["127.0.0.1:1"], authorization: {{ {authorization} }} }}
  trafficManagement:
    rules:
      - id: old
        conditions: [ {{ type: path, operator: prefix, value: /old }} ]
        destinations: [ {{ service: orders }} ]
        rewrite: {{ prefix: / }}
"#
    );
    let loaded = config::parse("mesh.yaml", &text).unwrap_or_else(|report| panic!("{report}"));
    loaded.config
}

struct Asked<'a> {
    direction: Direction,
    service: Option<&'a str>,
    method: Method,
    path: &'a str,
}

fn get<'a>(service: Option<&'a str>, path: &'a str) -> Asked<'a> {
    Asked {
        direction: Direction::Inbound,
        service,
        method: Method::GET,
        path,
    }
}

/// What is said to a request, and how often something was audited.
fn ask(config: &config::Config, asked: Asked<'_>) -> (Result<(), Error>, bool) {
    let telemetry = Telemetry::new();
    let (table, _) = routing::table(config, &LiveSplits::default()).expect("a table");
    let compiled = compile(&config.mesh, &telemetry).expect("policies");
    let address = ([127, 0, 0, 1], 5).into();
    let peer = match asked.service {
        Some(service) => {
            let service = ServiceName::new(service).expect("a name");
            let identity = identity_of(&config.mesh, &service).expect("an identity");
            PeerInfo::mtls(address, identity, "ab12", "01")
        }
        None => PeerInfo::plaintext(address),
    };
    let mut context = MeshContext::new(Instant::now());
    context.direction = asked.direction;
    context.peer = Some(Arc::new(peer));
    let uri = format!("http://orders{}", asked.path);
    let request = Request::builder()
        .method(asked.method)
        .uri(uri)
        .body(())
        .expect("a request");
    let head = RequestHead::of(&request);
    let routed = table.route(&Asking::of(&head, &context)).expect("it is routed");
    let decision = routed.decision();
    let authorization = compiled.met_by(decision).expect("the service has a policy");
    let checked = authorization.check(&AskedFor::of(&head, &context, decision), context.received);
    let audited = telemetry
        .render()
        .contains("service_mesh_authorization_audited_total 1");
    (checked, audited)
}

fn passes(config: &config::Config, asked: Asked<'_>) -> bool {
    ask(config, asked).0.is_ok()
}

const READERS: &str = r#"rules: [
    { action: allow, from: ["spiffe://cluster.local/ns/shop/sa/frontend"], methods: [GET], paths: ["/api/**", "/old/**"] },
    { action: deny, paths: ["/admin/**"] } ]"#;

#[test]
fn a_rule_means_the_identity_that_was_proved() {
    let config = mesh(READERS);
    assert!(passes(&config, get(Some("frontend"), "/api/x")));
    assert!(!passes(&config, get(Some("printer"), "/api/x")));
    assert!(!passes(&config, get(None, "/api/x")));
    assert!(!passes(&config, get(Some("frontend"), "/other")));
    let (refused, audited) = ask(&config, get(Some("printer"), "/api/x"));
    let message = refused.expect_err("refused").to_string();
    assert!(
        message.contains("spiffe://cluster.local/ns/shop/sa/printer"),
        "{message}"
    );
    assert!(!audited);
}

#[test]
fn a_path_that_is_rewritten_is_denied_by_what_it_was_or_what_it_becomes() {
    let config = mesh(READERS);
    assert!(
        passes(&config, get(Some("frontend"), "/old/api/x")),
        "what allows is about what was asked for"
    );
    assert!(passes(&config, get(Some("frontend"), "/old/administrator")));
    for path in ["/old/admin/x", "/old/Admin", "/old/admin?x=y"] {
        assert!(
            !passes(&config, get(Some("frontend"), path)),
            "{path} becomes /admin"
        );
    }
    let outer = mesh("rules: [ { action: allow }, { action: deny, paths: [/old/secret] } ]");
    assert!(!passes(&outer, get(None, "/old/secret")) && passes(&outer, get(None, "/secret")));
}

#[test]
fn an_audit_counts_and_lets_pass() {
    let config = mesh(&format!("mode: audit, {READERS}"));
    let (passed, audited) = ask(&config, get(None, "/admin"));
    assert!(passed.is_ok() && audited);
    let (passed, audited) = ask(&config, get(Some("frontend"), "/api/x"));
    assert!(passed.is_ok() && !audited);
}

#[test]
fn on_a_listener_for_the_own_application_this_process_asks() {
    let config = mesh(r#"rules: [ { action: allow, from: ["spiffe://cluster.local/ns/shop/sa/gate"] } ]"#);
    let own = |direction| Asked {
        direction,
        ..get(None, "/")
    };
    assert!(passes(&config, own(Direction::Outbound)));
    assert!(!passes(&config, own(Direction::Inbound)));
}

#[test]
fn without_rules_everything_is_denied_but_probes() {
    let config = mesh("rules: [], probes: { paths: [/healthz], networks: [127.0.0.0/8] }");
    assert!(passes(&config, get(None, "/healthz")));
    assert!(!passes(&config, get(None, "/")) && !passes(&config, get(Some("frontend"), "/healthz/x")));
    let posted = Asked {
        method: Method::POST,
        ..get(None, "/healthz")
    };
    assert!(!passes(&config, posted));
}

#[test]
fn who_proved_nothing_can_be_denied_by_name() {
    let config =
        mesh("rules: [ { action: allow }, { action: deny, from: [unauthenticated], methods: [POST] } ]");
    let post = |service| Asked {
        method: Method::POST,
        ..get(service, "/")
    };
    assert!(passes(&config, get(None, "/")) && passes(&config, post(Some("frontend"))));
    assert!(!passes(&config, post(None)));
}

#[test]
fn a_copy_is_asked_about_as_it_is_sent_and_whose_it_is() {
    let config = mesh(READERS);
    let compiled = compile(&config.mesh, &Telemetry::new()).expect("policies");
    let orders = ServiceName::new("orders").expect("a name");
    let authorization = compiled.of(&orders).expect("a policy");
    let copied = |service: Option<&str>, path: &str| {
        let mut request = Request::get(path).body(()).expect("a request");
        if let Some(service) = service {
            let service = ServiceName::new(service).expect("a name");
            let identity = identity_of(&config.mesh, &service).expect("an identity");
            let mut context = MeshContext::new(Instant::now());
            context.peer = Some(Arc::new(PeerInfo::mtls(
                ([127, 0, 0, 1], 5).into(),
                identity,
                "ab12",
                "01",
            )));
            request.extensions_mut().insert(context);
        }
        authorization.allows_copy(&RequestHead::of(&request))
    };
    assert!(copied(Some("frontend"), "/api/x"));
    assert!(!copied(Some("printer"), "/api/x") && !copied(Some("frontend"), "/admin"));
    assert!(!copied(None, "/api/x"), "nobody knows whose it is");
}

#[test]
fn only_answers_that_may_last_are_asked_about_again() {
    use http_body::SizeHint;
    struct Sized(SizeHint);
    impl http_body::Body for Sized {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }

        fn size_hint(&self) -> SizeHint {
            self.0
        }
    }
    assert!(Standing::concerns(&Sized(SizeHint::default())));
    assert!(Standing::concerns(&Sized(SizeHint::with_exact((1 << 20) + 1))));
    assert!(!Standing::concerns(&Sized(SizeHint::with_exact(1 << 20))));
    assert!(!Standing::concerns(&mesh_core::body::Body::empty()));
}
