use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that answers once, and what it was asked.
async fn server(answer: impl Into<Vec<u8>>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = answer.into();
    let asked = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("accepted");
        let mut asked = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&asked).contains("&timeout=") {
            let length = client.read(&mut piece).await.expect("read");
            assert!(length > 0, "the request broke off");
            asked.extend_from_slice(&piece[..length]);
        }
        // The client may have seen enough before it is all written.
        let _ = client.write_all(&answer).await;
        String::from_utf8(asked).expect("text")
    });
    (url, asked)
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn sampled(answer: impl Into<Vec<u8>>) -> Result<Samples, MetricError> {
    let (url, asked) = server(answer).await;
    let source = Prometheus::new(&url).expect("a URL");
    let samples = source.sample(&MetricQuery::Prometheus("up".to_owned())).await;
    asked.await.expect("asked");
    samples
}

fn success(kind: &str, result: &str) -> String {
    http(
        "200 OK",
        &format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#),
    )
}

#[tokio::test]
async fn every_kind_of_answer_becomes_numbers() {
    let vector = r#"[{"metric":{"a":"1"},"value":[1.5,"99.5"]},{"metric":{},"value":[1.5,"+Inf"]}]"#;
    let matrix = r#"[{"metric":{},"values":[[1,"1"],[2,"2"]]},{"metric":{},"values":[[1,"3"]]}]"#;
    let cases = [
        (
            success("vector", vector),
            Samples::Vector(vec![99.5, f64::INFINITY]),
        ),
        (success("vector", "[]"), Samples::Vector(Vec::new())),
        (
            success("scalar", r#"[1,"-Inf"]"#),
            Samples::Scalar(f64::NEG_INFINITY),
        ),
        (success("matrix", matrix), Samples::Vector(vec![1.0, 2.0, 3.0])),
    ];
    for (answer, samples) in cases {
        assert_eq!(sampled(answer).await.expect("samples"), samples);
    }
    let nan = sampled(success("vector", r#"[{"value":[1,"NaN"]}]"#))
        .await
        .expect("a number");
    assert!(matches!(nan, Samples::Vector(numbers) if numbers[0].is_nan()));
}

#[tokio::test]
async fn the_query_is_sent_as_a_form_to_the_path_of_the_api() {
    let (url, asked) = server(success("vector", "[]")).await;
    let source = Prometheus::new(&(url + "/prometheus/"))
        .expect("a URL")
        .limit(Duration::from_millis(2500));
    let query = "sum(a{b=~\"x|ü\"}) / 2 + 1\n&c";
    source
        .sample(&MetricQuery::Prometheus(query.to_owned()))
        .await
        .expect("answered");
    let asked = asked.await.expect("asked");
    assert!(
        asked.starts_with("POST /prometheus/api/v1/query HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("content-type: application/x-www-form-urlencoded\r\n"),
        "{asked}"
    );
    let form = "query=sum%28a%7Bb%3D~%22x%7C%C3%BC%22%7D%29%20%2F%202%20%2B%201%0A%26c&timeout=2.5s";
    assert!(asked.ends_with(form), "{asked}");
}

#[tokio::test]
async fn no_answer_is_no_number() {
    use MetricErrorKind::{Malformed, Rejected, Unavailable};
    let wrong = r#"{"status":"error","errorType":"bad_data","error":"parse error:\nunexpected end"}"#;
    let large = format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(LARGEST + 1));
    let long_head = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(LARGEST_HEAD));
    let many = format!("[{}]", vec![r#"{"value":[1,"1"]}"#; 10_001].join(","));
    let cases = [
        (
            http("400 Bad Request", wrong),
            Rejected,
            "answered 400 Bad Request: parse error: unexpected end",
        ),
        (
            http("422 Unprocessable Entity", "?"),
            Rejected,
            "without saying why",
        ),
        (http("503 Service Unavailable", ""), Unavailable, "answered 503"),
        (http("429 Too Many Requests", ""), Unavailable, "answered 429"),
        (http("302 Found", ""), Malformed, "redirects are not followed"),
        (http("200 OK", ""), Malformed, "no JSON"),
        (http("200 OK", wrong), Malformed, "no success: parse error"),
        (
            success("string", r#"[1,"a"]"#),
            Malformed,
            "a string, which has no numbers",
        ),
        (
            success("vector", r#"[{"value":[1,"many"]}]"#),
            Malformed,
            "\"many\" instead of a number",
        ),
        (
            success("vector", r#"[{"histogram":[1,{}]}]"#),
            Malformed,
            "a series without a number",
        ),
        (
            success("vector", &many),
            Malformed,
            "10001 numbers: at most 10000",
        ),
        (large, Malformed, "answered more than 2097152 bytes"),
        (long_head, Unavailable, "did not answer"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(),
            Unavailable,
            "broke off its answer",
        ),
        (String::new(), Unavailable, "did not answer"),
        ("SSH-2.0\r\n".to_owned(), Unavailable, "did not answer"),
    ];
    for (answer, kind, part) in cases {
        let error = sampled(answer).await.expect_err(part);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn numbers_that_the_server_warns_of_are_none_but_remarks_do_no_harm() {
    let answer = |beside: &str| {
        let data = r#"{"resultType":"scalar","result":[1,"100"]}"#;
        http(
            "200 OK",
            &format!(r#"{{"status":"success","data":{data},{beside}}}"#),
        )
    };
    let partial = answer(r#""warnings":["store 10.0.0.7\n did not answer","another"]"#);
    let error = sampled(partial).await.expect_err("a part");
    assert!(error.is_transient(), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("warns that its numbers may not be whole: store 10.0.0.7  did not answer"),
        "{error}"
    );
    for unreadable in [r#""warnings":"partial""#, r#""warnings":{"a":1}"#] {
        let error = sampled(answer(unreadable)).await.expect_err("no list");
        assert_eq!(error.kind(), MetricErrorKind::Malformed, "{error}");
    }
    let error = sampled(answer(r#""warnings":[{"a":1}]"#))
        .await
        .expect_err("a part");
    assert!(error.to_string().ends_with(r#"{"a":1}"#), "{error}");
    for whole in [
        r#""warnings":[]"#,
        r#""warnings":null"#,
        r#""infos":["metric might not be a counter"]"#,
    ] {
        assert_eq!(
            sampled(answer(whole)).await.expect("whole"),
            Samples::Scalar(100.0)
        );
    }
}

#[tokio::test]
async fn nobody_there_is_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let source = Prometheus::new(&url).expect("a URL");
    let error = source
        .sample(&MetricQuery::Prometheus("up".to_owned()))
        .await
        .expect_err("nobody");
    assert!(
        error.is_transient() && error.to_string().contains("takes no connection"),
        "{error}"
    );
}

/// Takes connections and never says anything.
struct Silent(Arc<std::sync::Mutex<Vec<tokio::io::DuplexStream>>>);

impl Connect for Silent {
    type Io = tokio::io::DuplexStream;

    async fn connect(&self, _: &Endpoint) -> std::io::Result<mesh_core::connect::Connected<Self::Io>> {
        let (near, far) = tokio::io::duplex(4096);
        self.0.lock().expect("not poisoned").push(far);
        Ok(mesh_core::connect::Connected::new(near))
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let source = Prometheus::over("https://prometheus.example", Silent(Arc::default())).expect("a URL");
    let began = tokio::time::Instant::now();
    let error = source
        .sample(&MetricQuery::Prometheus("up".to_owned()))
        .await
        .expect_err("silence");
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    assert!(
        error.is_transient() && error.to_string().contains("did not answer within 30s"),
        "{error}"
    );
}

#[tokio::test]
async fn counts_of_requests_are_not_asked_here() {
    let query =
        mesh_core::metric::TrafficQuery::new("orders".parse().expect("a name"), "v2".parse().expect("one"));
    let source = Prometheus::new("http://127.0.0.1:1").expect("a URL");
    let error = source
        .sample(&MetricQuery::Traffic(query))
        .await
        .expect_err("unsupported");
    assert_eq!(error.kind(), MetricErrorKind::Unsupported);
}

#[test]
fn what_is_no_address_is_refused() {
    let cases = [
        ("prometheus:9090", "a URL with a host"),
        ("/metrics", "a URL with a host"),
        ("https://prometheus:9090", "http, or a way to connect"),
        ("ftp://prometheus:9090", "http or https"),
        ("http://me:secret@prometheus", "without a user or a password"),
        ("http://prometheus/?a=b", "without a query"),
        ("http://a b", "a URL, as"),
    ];
    for (url, part) in cases {
        let error = Prometheus::new(url).expect_err(url);
        assert!(error.to_string().contains(part), "{error}");
    }
    let source = Prometheus::new("http://[::1]").expect("IPv6");
    assert_eq!(source.endpoint.address.to_string(), "[::1]:80");
}
