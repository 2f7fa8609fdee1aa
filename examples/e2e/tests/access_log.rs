//! The access log of the proxy.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use e2e::{Proxy, listen, serve, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "shared/collector.rs"]
mod collector;
#[path = "shared/load.rs"]
mod load;

use collector::Collector;
use load::{load, percentile};

/// Sends these bytes, and returns all that comes back.
async fn raw(proxy: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(proxy).await.expect("listening");
    stream.write_all(request).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let line = answer.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.strip_prefix(": ")).expect(name)
}

async fn lines(proxy: &Proxy, count: usize) -> Vec<String> {
    until("the lines are written", async || {
        let output = proxy.output();
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        (lines.len() >= count && output.ends_with('\n')).then_some(lines)
    })
    .await
}

async fn services() -> String {
    let app = serve(Router::new().fallback(|| std::future::ready("hello"))).await;
    let gone = listen().await.1;
    format!(
        "\n    - {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"] }}\n    \
         - {{ name: gone, port: 1, hosts: [gone], endpoints: [\"{gone}\"] }}"
    )
}

#[tokio::test]
async fn a_line_has_the_ids_of_the_answer_and_of_the_span_and_nothing_secret() {
    let collector = Collector::start().await;
    let telemetry = format!(
        "telemetry: {{ accessLog: {{}}, otlp: {{ endpoint: \"http://{}\" }} }}",
        collector.address
    );
    let proxy = Proxy::start(&format!("{}\n  {telemetry}", services().await)).await;
    let answer = raw(
        proxy.address,
        b"POST /a?password=secret HTTP/1.1\r\nhost: app\r\nauthorization: Bearer secret\r\ncookie: id=secret\r\n\
          user-agent: curl/8\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
    )
    .await;
    let gone = raw(
        proxy.address,
        b"GET / HTTP/1.1\r\nhost: gone\r\nconnection: close\r\n\r\n",
    )
    .await;
    let nowhere = raw(
        proxy.address,
        b"GET / HTTP/1.1\r\nhost: nowhere\r\nconnection: close\r\n\r\n",
    )
    .await;
    let lines = lines(&proxy, 3).await;
    assert!(!lines.concat().contains("secret"), "{lines:?}");
    let read = |line: &String| serde_json::from_str::<Value>(line).expect("JSON");
    let all: Vec<Value> = lines.iter().map(read).collect();
    let [line, refused, lost] = &all[..] else {
        panic!("{all:?}");
    };
    for (key, value) in [
        ("direction", "inbound".into()),
        ("listener", "inbound".into()),
        ("target", "app".into()),
        ("method", "POST".into()),
        ("host", "app".into()),
        ("path", "/a".into()),
        ("protocol", "http1".into()),
        ("status", 200.into()),
        ("reason", Value::Null),
        ("body", "complete".into()),
        ("attempts", 1.into()),
        ("bytes_in", 2.into()),
        ("bytes_out", 5.into()),
        ("client", "127.0.0.1".into()),
        ("user_agent", "curl/8".into()),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
    for (line, answer) in [(line, &answer), (refused, &gone), (lost, &nowhere)] {
        assert_eq!(line["request_id"], field(answer, "x-request-id"), "{line}");
    }
    assert_eq!(
        [&refused["reason"], &lost["reason"]],
        ["upstream_connect", "no_route"]
    );
    let spans = collector.has(5).await;
    for line in &all {
        let id = line["span_id"].as_str().expect("an id");
        let span = spans
            .iter()
            .find(|span| span.id == id && span.is_server)
            .expect("its span");
        assert_eq!(line["trace_id"], span.trace.as_str());
        assert_eq!(line["request_id"], span.is("mesh.request_id"));
    }
}

#[tokio::test]
async fn nothing_that_is_sent_makes_a_second_line() {
    for format in ["json", "text"] {
        let proxy = Proxy::start(&format!(
            "{}\n  telemetry: {{ accessLog: {{ format: {format}, query: true }} }}",
            services().await
        ))
        .await;
        for request in [
            &b"GET /a%0a%7b%22status%22:200%7d?x=%0d%0a HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nhost: app\r\nuser-agent: a\"}\t{\"b\\\r\nconnection: close\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: app\r\nuser-agent: \xff\xc2\x85 status=200\r\nconnection: close\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: app\r\nx-request-id: a\xe2\x80\xa8b\r\nconnection: close\r\n\r\n",
            b"BREW\"} / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n",
            b"GET /\\\"/../x HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n",
        ] {
            raw(proxy.address, request).await;
        }
        raw(
            proxy.address,
            b"GET /last HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n",
        )
        .await;
        let lines = lines(&proxy, 7).await;
        assert_eq!(lines.len(), 7, "{lines:#?}");
        let unreadable = lines.iter().filter(|line| line.contains("malformed")).count();
        let counted = "service_mesh_unreadable_requests_total";
        assert!(unreadable > 0, "{lines:#?}");
        assert_eq!(
            proxy.sum(counted, &[("reason", "malformed")]).await,
            unreadable as f64
        );
        for line in &lines {
            assert!(!line.chars().any(char::is_control), "{line:?}");
            if format == "json" {
                let line: Value = serde_json::from_str(line).expect("JSON");
                assert!(line.as_object().is_some_and(|line| line.len() == 26), "{line}");
            } else {
                let has_ids = line.contains(" trace_id=");
                assert!(line.contains(" status="), "{line}");
                assert_ne!(has_ids, line.contains(" reason=malformed"), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn the_log_can_be_switched_on_and_off_while_it_runs_and_is_whole_at_the_end() {
    let services = services().await;
    let mut proxy = Proxy::start(&services).await;
    let ask = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n");
        raw(proxy.address, request.as_bytes()).await
    };
    let reloaded = async |count: f64| {
        until("the configuration was reloaded", async || {
            let reloads = proxy
                .sum("service_mesh_config_reloads_total", &[("result", "success")])
                .await;
            (reloads >= count).then_some(())
        })
        .await;
    };
    ask("/before").await;
    proxy
        .configure(&format!("{services}\n  telemetry: {{ accessLog: {{}} }}"))
        .await;
    reloaded(1.0).await;
    for n in 0..50 {
        ask(&format!("/{n}")).await;
    }
    proxy.configure(&services).await;
    reloaded(2.0).await;
    ask("/after").await;
    proxy.signal("TERM").await;
    assert!(proxy.ended().await.success());
    let output = proxy.output();
    assert_eq!(output.lines().count(), 50, "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_log_that_nobody_reads_slows_no_request_and_does_not_hold_up_the_end() {
    // A pipe holds some hundred lines, and the queue 4096.
    const REQUESTS: usize = 8000;
    let services = services().await;
    let read = Proxy::start(&format!("{services}\n  telemetry: {{ accessLog: {{}} }}")).await;
    let calm = load(read.address, 2000).await;
    let mut proxy = Proxy::start_unread(&format!("{services}\n  telemetry: {{ accessLog: {{}} }}")).await;
    let stalled = load(proxy.address, REQUESTS).await;
    let limit = 10 * percentile(&calm, 99) + Duration::from_millis(250);
    let slowest = percentile(&stalled, 99);
    assert!(
        slowest < limit,
        "99 of 100 took {slowest:?} at most, of {limit:?}"
    );
    let lines = "service_mesh_access_log_lines_total";
    let dropped = proxy.sum(lines, &[("outcome", "dropped")]).await;
    assert!(dropped > 0.0);
    let before = proxy.peak_memory();
    load(proxy.address, 1000).await;
    let more = proxy.peak_memory().saturating_sub(before);
    assert!(more < 16 << 20, "{more} bytes more");
    until("each that finds no room is counted", async || {
        (proxy.sum(lines, &[("outcome", "dropped")]).await >= dropped + 1000.0).then_some(())
    })
    .await;
    proxy.signal("TERM").await;
    assert!(
        proxy.ended().await.success(),
        "it waits for readers for a while only"
    );
}
