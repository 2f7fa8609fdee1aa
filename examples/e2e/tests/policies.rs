//! What is let through and what fails on purpose, as clients see it: curl, tonic, hyper.

#[path = "shared/raw.rs"]
mod raw;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use e2e::{Connection, Proxy, serve, until};
use http::header::HOST;
use http_body_util::BodyExt;
use raw::Raw;
use tokio::process::Command;
use tokio::time::Instant;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

/// A proxy before one service with these keys, and these of `serviceMesh` after it.
async fn proxy(keys: &str, mesh: &str) -> Proxy {
    Proxy::start(&services(&app().await, keys, mesh)).await
}

async fn app() -> String {
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/long", get(|| async { "x".repeat(100_000) }));
    serve(app).await.to_string()
}

fn services(app: &str, keys: &str, mesh: &str) -> String {
    format!("[ {{ name: app, port: 1, hosts: [\"*\"], endpoints: [\"{app}\"], {keys} }} ]\n{mesh}")
}

/// What curl prints of an answer: its head, and its body.
async fn curl(proxy: &Proxy, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-si", "--max-time", "20"])
        .args(arguments)
        .arg(format!("http://{}/", proxy.address))
        .output()
        .await
        .expect("curl is installed");
    String::from_utf8(output.stdout)
        .expect("text")
        .to_ascii_lowercase()
}

async fn status(connection: &mut Connection, path: &str) -> u16 {
    let request = http::Request::get(path).header(HOST, "app");
    let request = request.body(Body::empty()).expect("a request");
    let answer = connection.send(request).await.expect("an answer");
    let status = answer.status().as_u16();
    answer.into_body().collect().await.expect("a whole body");
    status
}

/// What a tonic client makes of a call that does not reach the service.
async fn grpc(proxy: &Proxy) -> Status {
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.address)).expect("a URI");
    let endpoint = endpoint.origin("http://app".parse().expect("a URI"));
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.expect("the proxy listens"));
    client.ready().await.expect("connected");
    let path = http::uri::PathAndQuery::from_static("/test.Echo/Unary");
    client
        .unary(Request::new(Bytes::new()), path, Raw)
        .await
        .expect_err("it is no gRPC service")
}

#[tokio::test]
async fn curl_is_told_when_to_come_again() {
    let proxy = proxy("rateLimiting: { requestsPerSecond: 1, burstSize: 2 }", "").await;
    for _ in 0..2 {
        let passed = curl(&proxy, &[]).await;
        assert!(passed.starts_with("http/1.1 200"), "{passed}");
        assert!(!passed.contains("ratelimit"), "{passed}");
    }
    let refused = curl(&proxy, &[]).await;
    assert!(refused.starts_with("http/1.1 429"), "{refused}");
    for field in [
        "x-mesh-error: rate_limited",
        "retry-after: 1",
        "ratelimit-policy: \"default\";q=1;w=1",
        "ratelimit: \"default\";r=0;t=1",
        "content-type: application/problem+json",
        "x-request-id: ",
    ] {
        assert!(refused.contains(field), "{field}\n{refused}");
    }
    until("the refusal is counted", async || {
        let limited = proxy.sum("service_mesh_rate_limited_total", &[]).await;
        let labels = [("reason", "rate_limited"), ("status", "429")];
        let requests = proxy.sum("service_mesh_requests_total", &labels).await;
        (limited == 1.0 && requests == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_grpc_client_is_told_in_its_own_language() {
    let proxy = proxy("rateLimiting: { requestsPerSecond: 1, burstSize: 1 }", "").await;
    grpc(&proxy).await;
    let status = grpc(&proxy).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").expect("told");
    let pushback: u64 = pushback.to_str().expect("text").parse().expect("a number");
    assert!((1..=1000).contains(&pushback), "{pushback}");
}

#[tokio::test]
async fn each_value_of_a_field_has_its_allowance_and_those_without_share_one() {
    let keys = "rateLimiting: { requestsPerSecond: 1, burstSize: 1, keyExtractor: \"header:x-tenant\" }";
    let proxy = proxy(keys, "").await;
    for (arguments, code) in [
        (&["-H", "x-tenant: acme"][..], "200"),
        (&["-H", "x-tenant: other"], "200"),
        (&["-H", "x-tenant: acme"], "429"),
        (&[], "200"),
        (&[], "429"),
    ] {
        let answer = curl(&proxy, arguments).await;
        assert!(
            answer.starts_with(&format!("http/1.1 {code}")),
            "{arguments:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_client_is_known_by_its_address() {
    let keys = "rateLimiting: { requestsPerSecond: 1, burstSize: 1, keyExtractor: client_ip }";
    let proxy = proxy(keys, "").await;
    for (from, code) in [("127.0.0.1", "200"), ("127.0.0.2", "200"), ("127.0.0.1", "429")] {
        let answer = curl(&proxy, &["--interface", from]).await;
        assert!(
            answer.starts_with(&format!("http/1.1 {code}")),
            "{from}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_dry_run_counts_and_lets_pass() {
    let keys = "rateLimiting: { requestsPerSecond: 1, burstSize: 1, dryRun: true }";
    let proxy = proxy(keys, "").await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    for _ in 0..3 {
        assert_eq!(status(&mut connection, "/").await, 200);
    }
    assert_eq!(proxy.sum("service_mesh_rate_limited_total", &[]).await, 2.0);
}

#[tokio::test]
async fn what_was_counted_counts_on_after_a_reload() {
    let app = app().await;
    let limit = "rateLimiting: { requestsPerSecond: 1, burstSize: 1, keyExtractor: none }";
    // Nothing comes back within the test.
    let slow = limit
        .replace("burstSize: 1", "burstSize: 60")
        .replace("requestsPerSecond: 1,", "requestsPerSecond: 1, replicas: 60,");
    let generation = |number: u32, keys: &str| {
        let rule = format!(
            "  trafficManagement: {{ rules: [ {{ id: g, conditions: [ {{ type: path, operator: equals, value: /g }} ], \
             respond: {{ status: {number} }} }} ] }}\n"
        );
        services(&app, keys, &rule)
    };
    let proxy = Proxy::start(&generation(201, &slow)).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    assert_eq!(status(&mut connection, "/").await, 200);
    assert_eq!(status(&mut connection, "/").await, 429);
    for (number, keys, code) in [
        (202, slow.clone(), 429),
        // Another limit begins anew.
        (203, slow.replace("burstSize: 60", "burstSize: 120"), 200),
    ] {
        proxy.configure(&generation(number, &keys)).await;
        until("the new configuration is in use", async || {
            (u32::from(status(&mut connection, "/g").await) == number).then_some(())
        })
        .await;
        assert_eq!(status(&mut connection, "/").await, code, "{number}");
    }
}

#[tokio::test]
async fn a_rule_has_a_limit_of_its_own_before_that_of_the_service() {
    let rules = "  trafficManagement:\n    rateLimiting: { requestsPerSecond: 1, burstSize: 2 }\n    rules:\n      \
                 - { id: long, conditions: [ { type: path, operator: equals, value: /long } ], \
                 destinations: [ { service: app } ], rateLimiting: { requestsPerSecond: 1, burstSize: 1 } }\n";
    let proxy = proxy("protocol: http1", rules).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    for (path, code) in [("/long", 200), ("/long", 429), ("/", 200), ("/", 429)] {
        assert_eq!(status(&mut connection, path).await, code, "{path}");
    }
}

#[tokio::test]
async fn a_limit_is_divided_among_the_replicas_of_this_process() {
    let mesh = "  identity: { service: edge }\n";
    let edge = |replicas: usize| {
        let endpoints: Vec<_> = (0..replicas)
            .map(|at| format!("\"127.0.0.1:{}\"", 50_001 + at))
            .collect();
        format!(
            "{{ name: edge, port: 1, endpoints: [{}], loadBalancing: {{ healthCheck: {{ enabled: false }} }} }}",
            endpoints.join(", ")
        )
    };
    let app = app().await;
    let services = format!(
        "[ {{ name: app, port: 1, hosts: [\"*\"], endpoints: [\"{app}\"], rateLimiting: {{ requestsPerSecond: 1, burstSize: 8 }} }}, {} ]\n{mesh}",
        edge(4)
    );
    let proxy = Proxy::start(&services).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(status(&mut connection, "/").await);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[tokio::test]
async fn faults_are_injected_counted_and_end_with_the_switch() {
    let app = app().await;
    let keys = "faultInjection: { delay: { percentage: 100, fixedDelay: 300 }, \
                abort: { percentage: 100, httpStatus: 503, grpcStatus: 10 } }";
    let proxy = Proxy::start(&services(&app, keys, "")).await;
    let start = Instant::now();
    let answer = curl(&proxy, &[]).await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    assert!(answer.contains("x-mesh-error: fault_injected"), "{answer}");
    assert_eq!(grpc(&proxy).await.code(), Code::Aborted);
    for kind in ["delay", "abort"] {
        let counted = proxy
            .sum("service_mesh_faults_injected_total", &[("kind", kind)])
            .await;
        assert_eq!(counted, 2.0, "{kind}");
    }
    until("they are counted as requests", async || {
        let labels = [("reason", "fault_injected")];
        (proxy.sum("service_mesh_requests_total", &labels).await == 2.0).then_some(())
    })
    .await;
    let attempts = proxy.sum("service_mesh_attempts_total", &[]).await;
    assert_eq!(attempts, 0.0, "none of them left");

    proxy
        .configure(&services(&app, keys, "  faults: { enabled: false }\n"))
        .await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    until("they end", async || {
        (status(&mut connection, "/").await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_share_of_the_requests_fails() {
    const ASKED: u32 = 2_000;
    let proxy = proxy(
        "faultInjection: { abort: { percentage: 10, httpStatus: 500 } }",
        "",
    )
    .await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    let mut failed = 0;
    for _ in 0..ASKED {
        failed += u32::from(status(&mut connection, "/").await == 500);
    }
    // Five standard deviations: once in three million runs.
    assert!((133..=267).contains(&failed), "{failed} of {ASKED}, expected 200");
}

#[tokio::test]
async fn a_response_breaks_off_after_what_may_pass() {
    let proxy = proxy(
        "faultInjection: { reset: { percentage: 100, afterBytes: 5000 } }",
        "",
    )
    .await;
    for http2 in [false, true] {
        let mut connection = match http2 {
            true => Connection::http2(proxy.address).await.expect("listening"),
            false => Connection::http1(proxy.address).await.expect("listening"),
        };
        let request = http::Request::get("/long").header(HOST, "app");
        let request = request.body(Body::empty()).expect("a request");
        let answer = connection.send(request).await.expect("a head");
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        let mut came = 0;
        let broken = loop {
            match body.frame().await {
                Some(Ok(frame)) => came += frame.into_data().map_or(0, |data| data.len()),
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        assert!(broken && came <= 5000, "http2: {http2}, {came} bytes");
    }
}

#[tokio::test]
async fn a_slow_response_comes_whole() {
    let keys = "faultInjection: { throttle: { percentage: 100, bytesPerSecond: 100KiB } }";
    let proxy = proxy(keys, "").await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    let start = Instant::now();
    assert_eq!(status(&mut connection, "/long").await, 200);
    let took = start.elapsed();
    assert!(took > Duration::from_millis(800), "{took:?}");
}

#[tokio::test]
async fn only_who_is_known_can_ask_for_trouble() {
    let app = app().await;
    let keys = "faultInjection: { onRequest: true }";
    let proxy = Proxy::start(&services(&app, keys, "")).await;
    let asking = ["-H", "x-mesh-fault-abort: 418"];
    // Anybody can reach an inbound listener; an outbound one serves the application beside it.
    let answer = curl(&proxy, &asking).await;
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    let outbound = format!(
        "serviceMesh:\n  listeners: [ {{ name: out, bind: \"{}\", tls: \"off\", direction: outbound }} ]\n  services: {}",
        proxy.address,
        services(&app, keys, "")
    );
    proxy.replace(&outbound).await;
    until("the listener is another", async || {
        let answer = curl(&proxy, &asking).await;
        answer.starts_with("http/1.1 418").then_some(())
    })
    .await;
    let answer = curl(&proxy, &[]).await;
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
}
