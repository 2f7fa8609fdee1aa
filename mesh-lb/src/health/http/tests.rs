use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::UnboundedReceiver;

use super::super::connection::tests::{Far, Piped, rest_of};
use super::*;

fn path(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

fn check() -> (HttpCheck, UnboundedReceiver<DuplexStream>) {
    let (connect, far) = Piped::new(Far::Pipe);
    (HttpCheck::new(path("/healthz")).connect(connect), far)
}

async fn read_head(io: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

/// Checks against an endpoint that writes this and closes.
async fn against(
    check: HttpCheck,
    far: &mut UnboundedReceiver<DuplexStream>,
    answer: &str,
) -> Option<String> {
    let endpoint = Piped::endpoint();
    let serve = async {
        let mut io = far.recv().await.expect("a connection");
        read_head(&mut io).await;
        io.write_all(answer.as_bytes()).await.expect("open");
        io.shutdown().await.expect("open");
        rest_of(io).await
    };
    let (found, rest) = tokio::join!(check.check(&endpoint), serve);
    assert!(rest.is_empty(), "nothing follows the request");
    found.err().map(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn the_request_is_a_plain_get_that_asks_to_be_the_last() {
    let (check, mut far) = check();
    let (endpoint, check) = (Piped::endpoint(), check.clone());
    let asked = tokio::spawn(async move { check.check(&endpoint).await });
    let mut io = far.recv().await.expect("a connection");
    assert_eq!(
        read_head(&mut io).await,
        "GET /healthz HTTP/1.1\r\nhost: 10.0.0.7:3001\r\nuser-agent: mesh-health-check\r\nconnection: close\r\n\r\n"
    );
    io.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .expect("open");
    assert!(rest_of(io).await.is_empty());
    asked.await.expect("ran").expect("it is well");
}

#[tokio::test(start_paused = true)]
async fn a_given_host_is_asked_for() {
    let (check, mut far) = check();
    let check = check.host(Authority::from_static("orders.example"));
    let asked = tokio::spawn(async move { check.check(&Piped::endpoint()).await });
    let mut io = far.recv().await.expect("a connection");
    assert!(read_head(&mut io).await.contains("host: orders.example\r\n"));
    drop(io);
    asked.await.expect("ran").expect_err("it closed");
}

#[tokio::test(start_paused = true)]
async fn the_status_decides_and_what_was_expected_is_said() {
    for (answer, expected) in [
        ("200 OK\r\ncontent-length: 2\r\n\r\nok", None),
        ("299 Fine\r\ncontent-length: 0\r\n\r\n", None),
        (
            "301 Moved Permanently\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
            Some("10.0.0.7:3001 answered 301 to GET /healthz: expected 200-299"),
        ),
        (
            "429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
            Some("10.0.0.7:3001 answered 429 to GET /healthz: expected 200-299"),
        ),
        (
            "100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            None,
        ),
    ] {
        let (check, mut far) = check();
        let found = against(check, &mut far, &format!("HTTP/1.1 {answer}")).await;
        assert_eq!(found.as_deref(), expected, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_statuses_can_be_expected() {
    for (status, well) in [("401 Unauthorized", true), ("200 OK", false)] {
        let (check, mut far) = check();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let found = against(check.expecting(401..=403), &mut far, &answer).await;
        assert_eq!(found.is_none(), well, "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_is_named() {
    for (answer, expected) in [
        ("", "connection closed before message completed"),
        ("SSH-2.0-server\r\n\r\n", "invalid HTTP version parsed"),
        ("HTTP/1.1 20", "connection closed before message completed"),
    ] {
        let (check, mut far) = check();
        let found = against(check, &mut far, answer).await.expect("it is not well");
        let expected = format!("10.0.0.7:3001 gave no answer to GET /healthz: {expected}");
        assert!(found.starts_with(&expected), "{found}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_neither_fills_the_memory_nor_delays_the_verdict() {
    let (check, mut far) = check();
    let asked = tokio::spawn(async move {
        let begun = Instant::now();
        check.check(&Piped::endpoint()).await.map(|()| begun.elapsed())
    });
    let mut io = far.recv().await.expect("a connection");
    read_head(&mut io).await;
    io.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("open");
    let mut written = 0;
    while io.write_all(&[b'x'; 1024]).await.is_ok() {
        written += 1;
        assert!(written < 1024, "a megabyte was taken");
    }
    let took = asked.await.expect("ran").expect("it is well");
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_is_not_waited_for() {
    let (check, mut far) = check();
    let asked = tokio::spawn(async move {
        let begun = Instant::now();
        check.check(&Piped::endpoint()).await.map(|()| begun.elapsed())
    });
    let mut io = far.recv().await.expect("a connection");
    read_head(&mut io).await;
    io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        .await
        .expect("open");
    let took = asked.await.expect("ran").expect("it is well");
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_without_end_is_cut_off() {
    let (check, mut far) = check();
    let asked = tokio::spawn(async move {
        check
            .limit(Duration::from_secs(60))
            .check(&Piped::endpoint())
            .await
    });
    let mut io = far.recv().await.expect("a connection");
    read_head(&mut io).await;
    io.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.expect("open");
    let mut written = 0;
    while io.write_all(&[b'x'; 1024]).await.is_ok() {
        written += 1;
        assert!(written < 256, "a quarter of a megabyte was taken");
    }
    let error = asked.await.expect("ran").expect_err("too large");
    assert!(error.to_string().contains("message head is too large"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_not_well_after_the_limit_of_connection_and_answer_together() {
    let (check, mut far) = check();
    let begun = Instant::now();
    let endpoint = Piped::endpoint();
    let asked = check.limit(Duration::from_millis(700));
    let (found, _io) = tokio::join!(asked.check(&endpoint), far.recv());
    let error = found.expect_err("silent");
    assert_eq!(
        error.to_string(),
        "10.0.0.7:3001 gave no answer to GET /healthz within 700ms"
    );
    assert_eq!(begun.elapsed(), Duration::from_millis(700));
}

/// Answers one HTTP/2 request, and gives its head.
async fn serve_http2(io: DuplexStream, status: u16, body: usize) -> http::request::Parts {
    let mut connection = h2::server::handshake(io).await.expect("HTTP/2");
    let (request, mut respond) = connection.accept().await.expect("a request").expect("a good one");
    let response = http::Response::builder().status(status).body(()).expect("a head");
    let mut stream = respond.send_response(response, body == 0).expect("open");
    if body > 0 {
        stream
            .send_data(Bytes::from(vec![b'x'; body]), true)
            .expect("open");
    }
    drop(stream);
    while connection.accept().await.is_some_and(|next| next.is_ok()) {}
    request.into_parts().0
}

#[tokio::test(start_paused = true)]
async fn http2_is_spoken_where_it_was_agreed_on_or_is_configured() {
    for (agreed, scheme) in [(true, "https"), (false, "http")] {
        for (status, body) in [(200, 0), (204, 0), (200, 1_000_000), (503, 3)] {
            let (connect, mut far) = Piped::new(Far::Pipe);
            let check = HttpCheck::new(path("/healthz?deep=1"));
            let check = if agreed {
                check.connect(connect.agreeing(HttpProtocol::Http2))
            } else {
                check.connect(connect).protocol(Protocol::Http2)
            };
            let endpoint = Piped::endpoint();
            let serve = async { serve_http2(far.recv().await.expect("a connection"), status, body).await };
            let begun = Instant::now();
            let (found, head) = tokio::join!(check.check(&endpoint), serve);
            assert!(
                begun.elapsed() < Duration::from_millis(50),
                "a large body is not waited for"
            );
            assert_eq!(head.uri, *format!("{scheme}://10.0.0.7:3001/healthz?deep=1"));
            assert_eq!(head.method, http::Method::GET);
            let found = found.err().map(|error| error.to_string());
            let expected = (status == 503)
                .then(|| "10.0.0.7:3001 answered 503 to GET /healthz?deep=1: expected 200-299".to_owned());
            assert_eq!(found, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn http1_is_spoken_if_configured_whatever_was_agreed_on() {
    let (connect, mut far) = Piped::new(Far::Pipe);
    let check = HttpCheck::new(path("/"))
        .connect(connect.agreeing(HttpProtocol::Http2))
        .protocol(Protocol::Http1);
    let found = against(check, &mut far, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(found, None);
}

#[tokio::test(start_paused = true)]
async fn an_http1_endpoint_that_is_spoken_to_in_http2_is_not_well() {
    let (connect, mut far) = Piped::new(Far::Pipe);
    let check = HttpCheck::new(path("/"))
        .connect(connect)
        .protocol(Protocol::Http2);
    let endpoint = Piped::endpoint();
    let serve = async {
        let mut io = far.recv().await.expect("a connection");
        io.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await
            .expect("open");
        io.shutdown().await.expect("open");
        io
    };
    let (found, _io) = tokio::join!(check.check(&endpoint), serve);
    let error = found.expect_err("not HTTP/2").to_string();
    assert!(
        error.starts_with("10.0.0.7:3001 gave no answer to GET /: "),
        "{error}"
    );
}
