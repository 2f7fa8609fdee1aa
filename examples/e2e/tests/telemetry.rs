//! What the metrics port says after traffic of a known amount.

use axum::body::Body;
use e2e::{Connection, Proxy, listen, serve, until};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use sample_service::{Instance, router};
use tokio::task::JoinSet;

async fn ask(connection: &mut Connection, method: &str, host: &str, path: &str) -> StatusCode {
    let builder = Request::builder().method(method).uri(path).header(HOST, host);
    let answer = connection
        .send(builder.body(Body::empty()).expect("a request"))
        .await
        .expect("served");
    let status = answer.status();
    answer.into_body().collect().await.expect("a whole body");
    status
}

/// The app, a service nobody listens for, one that is too slow, and a rule that answers.
async fn proxy() -> Proxy {
    let app = serve(router(Instance {
        name: "a".into(),
        version: "v1".into(),
    }))
    .await;
    // Nobody listens there any more.
    let gone = listen().await.1;
    Proxy::start(&format!(
        "\n    - {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"] }}\n    \
         - {{ name: gone, port: 1, hosts: [gone], endpoints: [\"{gone}\"] }}\n    \
         - {{ name: slow, port: 1, hosts: [slow], endpoints: [\"{app}\"], timeout: 100ms }}\n  \
         trafficManagement: {{ rules: [ {{ id: teapot, name: t, priority: 1, enabled: true, \
         conditions: [ {{ type: path, operator: equals, value: /tea }} ], respond: {{ status: 418 }} }} ] }}"
    ))
    .await
}

/// Waits until so many are counted, and looks that it is not more.
async fn counted(proxy: &Proxy, count: usize, name: &str, labels: &[(&str, &str)]) {
    let what = format!("{count} {name} {labels:?}");
    let sum = until(&what, async || {
        let sum = proxy.sum(name, labels).await;
        (sum >= count as f64).then_some(sum)
    })
    .await;
    assert_eq!(sum, count as f64, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_counted_once_with_its_labels() {
    let proxy = proxy().await;
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let mut connection = Connection::http1(proxy.address).await.expect("listening");
        clients.spawn(async move {
            for _ in 0..50 {
                assert_eq!(ask(&mut connection, "GET", "app", "/").await, StatusCode::OK);
            }
        });
    }
    for mut stream in Connection::http2(proxy.address)
        .await
        .expect("listening")
        .streams(10)
    {
        clients.spawn(async move {
            for _ in 0..30 {
                assert_eq!(ask(&mut stream, "POST", "app", "/sink").await, StatusCode::OK);
            }
        });
    }
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    for _ in 0..7 {
        assert_eq!(
            ask(&mut connection, "GET", "app", "/missing").await,
            StatusCode::NOT_FOUND
        );
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("all were answered");
    }
    let app = |method, status, protocol| {
        [
            ("source_service", "unknown"),
            ("target_service", "app"),
            ("version", "stable"),
            ("route", ""),
            ("method", method),
            ("status", status),
            ("protocol", protocol),
            ("direction", "inbound"),
            ("reason", ""),
        ]
    };
    let total = "service_mesh_requests_total";
    counted(&proxy, 400, total, &app("GET", "200", "http1")).await;
    counted(&proxy, 300, total, &app("POST", "200", "http2")).await;
    counted(&proxy, 7, total, &app("GET", "404", "http1")).await;
    counted(&proxy, 707, total, &[]).await;
    let seconds = "service_mesh_request_duration_seconds_count";
    counted(&proxy, 400, seconds, &app("GET", "2xx", "http1")).await;
    counted(&proxy, 707, seconds, &[]).await;
    let http = "http_requests_total";
    counted(
        &proxy,
        700,
        http,
        &[
            ("service", "app"),
            ("version", "stable"),
            ("code", "200"),
            ("job", "app-stable"),
        ],
    )
    .await;
    counted(
        &proxy,
        7,
        http,
        &[("service", "app"), ("version", "stable"), ("code", "404")],
    )
    .await;
    counted(
        &proxy,
        707,
        "service_mesh_attempts_total",
        &[("target_service", "app")],
    )
    .await;
}

#[tokio::test]
async fn what_the_mesh_refuses_has_its_reason() {
    let proxy = proxy().await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    for _ in 0..5 {
        assert_eq!(
            ask(&mut connection, "GET", "nowhere", "/").await,
            StatusCode::NOT_FOUND
        );
        assert_eq!(
            ask(&mut connection, "GET", "gone", "/").await,
            StatusCode::BAD_GATEWAY
        );
        assert_eq!(
            ask(&mut connection, "GET", "app", "/tea").await,
            StatusCode::IM_A_TEAPOT
        );
    }
    for _ in 0..2 {
        assert_eq!(
            ask(&mut connection, "GET", "slow", "/delay/10000").await,
            StatusCode::GATEWAY_TIMEOUT
        );
    }
    let total = "service_mesh_requests_total";
    counted(
        &proxy,
        5,
        total,
        &[
            ("target_service", "unknown"),
            ("status", "404"),
            ("reason", "no_route"),
        ],
    )
    .await;
    counted(
        &proxy,
        5,
        total,
        &[
            ("target_service", "gone"),
            ("status", "502"),
            ("reason", "upstream_connect"),
        ],
    )
    .await;
    counted(
        &proxy,
        2,
        total,
        &[
            ("target_service", "slow"),
            ("status", "504"),
            ("reason", "timeout"),
        ],
    )
    .await;
    counted(
        &proxy,
        5,
        total,
        &[("route", "teapot"), ("status", "418"), ("reason", "")],
    )
    .await;
    counted(&proxy, 17, total, &[]).await;
    counted(
        &proxy,
        5,
        "http_requests_total",
        &[("service", "gone"), ("code", "502")],
    )
    .await;
}
