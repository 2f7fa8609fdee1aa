use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use proptest::prelude::*;

use super::*;

type Inner = Full<Bytes>;

fn with_content_type(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(value).expect("a field value"))])
}

fn refusal(error: &Error, grpc: bool) -> (http::response::Parts, String) {
    let (parts, body) = reject::<Inner>(error, grpc).into_parts();
    let bytes = read(body);
    (parts, String::from_utf8(bytes.to_vec()).expect("text"))
}

fn read(body: RejectBody<Inner>) -> Bytes {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    let collected: Result<_, Infallible> = runtime.block_on(body.collect());
    match collected {
        Ok(collected) => collected.to_bytes(),
        Err(never) => match never {},
    }
}

#[test]
fn only_the_media_type_of_grpc_is_grpc() {
    for grpc in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;v=1",
        "Application/GRPC ; x=y",
    ] {
        assert!(is_grpc(&with_content_type(grpc)), "{grpc}");
    }
    for other in [
        "application/grpc-web",
        "application/grpcx",
        "application/grp",
        "application/json",
        "",
    ] {
        assert!(!is_grpc(&with_content_type(other)), "{other}");
    }
    assert!(!is_grpc(&HeaderMap::new()));
}

#[test]
fn every_kind_is_refused_with_its_status_and_its_code() {
    for kind in ErrorKind::ALL {
        let error = Error::new(kind, "why");
        let (parts, body) = refusal(&error, false);
        assert_eq!(parts.status, kind.http_status());
        assert_eq!(parts.headers["x-mesh-error"], kind.code());
        assert_eq!(parts.headers["content-type"], "application/problem+json");
        assert_eq!(parts.extensions.get::<ErrorKind>(), Some(&kind));
        assert!(body.contains(&format!("\"code\":\"{}\"", kind.code())), "{body}");

        let (parts, body) = refusal(&error, true);
        assert_eq!(parts.status, 200);
        assert_eq!(parts.headers["x-mesh-error"], kind.code());
        assert_eq!(parts.headers["content-type"], "application/grpc");
        assert_eq!(
            parts.headers["grpc-status"],
            kind.grpc_code().number().to_string()
        );
        assert_eq!(parts.headers["grpc-message"], "why");
        assert_eq!(body, "");
    }
}

#[test]
fn a_problem_document_has_the_members_of_rfc_9457() {
    let error = Error::new(
        ErrorKind::NoRoute,
        "no rule and no service matches host \"x\\y\"\n",
    );
    let (_, body) = refusal(&error, false);
    assert_eq!(
        body,
        "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"no rule and no service \
         matches host \\\"x\\\\y\\\"\\u000a\",\"code\":\"no_route\"}\n"
    );
}

#[test]
fn a_status_without_a_name_has_a_title_too() {
    let error = Error::new(ErrorKind::FaultInjected, "a fault")
        .with_status(StatusCode::from_u16(599).expect("a status"));
    let (parts, body) = refusal(&error, false);
    assert_eq!(parts.status, 599);
    assert!(body.contains("\"title\":\"Refused\",\"status\":599"), "{body}");
}

#[test]
fn an_injected_fault_speaks_grpc_as_configured() {
    let error = Error::new(ErrorKind::FaultInjected, "a fault").with_status(StatusCode::FORBIDDEN);
    let (parts, _) = refusal(&error, true);
    assert_eq!(parts.headers["grpc-status"], "7");
}

#[test]
fn a_grpc_message_is_percent_encoded() {
    let (parts, _) = refusal(&Error::new(ErrorKind::Timeout, "50% of ä\r\n"), true);
    assert_eq!(parts.headers["grpc-message"], "50%25 of %C3%A4%0D%0A");
}

#[test]
fn a_response_that_passed_keeps_its_body_and_is_no_refusal() {
    let response = Response::new(RejectBody::inner(Inner::from("hello")));
    assert_eq!(refusal_of(&response), None);
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert!(!response.body().is_end_stream());
    assert_eq!(read(response.into_body()), "hello");
}

#[test]
fn who_may_ask_again_is_told_when_in_whole_seconds_and_never_at_once() {
    for (after, seconds) in [
        (Duration::ZERO, "1"),
        (Duration::from_millis(1), "1"),
        (Duration::from_secs(30), "30"),
        (Duration::from_millis(30_001), "31"),
        (Duration::MAX, "18446744073709551615"),
    ] {
        let error = Error::new(ErrorKind::CircuitOpen, "it rests").with_retry_after(after);
        let refusal = reject::<Inner>(&error, false);
        assert_eq!(refusal.headers()["retry-after"], seconds, "{after:?}");
        assert!(
            !reject::<Inner>(&error, true)
                .headers()
                .contains_key("retry-after")
        );
    }
}

#[test]
fn a_refusal_knows_its_length_and_its_end() {
    let http = reject::<Inner>(&Error::new(ErrorKind::Timeout, "no answer"), false);
    assert_eq!(refusal_of(&http), Some(ErrorKind::Timeout));
    let length = http.body().size_hint().exact().expect("known");
    assert_eq!(read(http.into_body()).len() as u64, length);

    let grpc = reject::<Inner>(&Error::new(ErrorKind::Timeout, "no answer"), true);
    assert!(
        grpc.body().is_end_stream(),
        "trailers-only: the head ends the stream"
    );
    assert_eq!(grpc.body().size_hint().exact(), Some(0));
}

#[test]
fn an_inner_body_that_fails_is_passed_on() {
    let failing =
        http_body_util::StreamBody::new(futures_util::stream::iter([Err::<Frame<Bytes>, _>("broken")]));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    let result = runtime.block_on(RejectBody::inner(failing).collect());
    assert_eq!(result.err(), Some("broken"));
}

proptest! {
    #[test]
    fn no_message_breaks_a_refusal(message in "\\PC{0,50}|[\\x00-\\x7f\u{80}-\u{ff}]{0,50}") {
        let error = Error::new(ErrorKind::BadRequest, message.clone());
        let (_, body) = refusal(&error, false);
        prop_assert!(body.chars().filter(|c| c.is_ascii_control()).eq(['\n']), "{}", body);
        let (parts, _) = refusal(&error, true);
        let encoded = parts.headers["grpc-message"].to_str().expect("visible ASCII");
        prop_assert_eq!(decode(encoded), message);
    }
}

fn decode(encoded: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next(), rest.next()].map(|b| char::from(b.expect("two digits")));
            bytes.push(u8::from_str_radix(&String::from_iter(hex), 16).expect("hexadecimal"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("as it was")
}

#[test]
fn a_refusal_says_how_often_it_was_tried() {
    let error = Error::new(ErrorKind::UpstreamReset, "it broke");
    assert!(
        !reject::<crate::body::Body>(&error, false)
            .headers()
            .contains_key("x-mesh-attempt")
    );
    let error = error.with_attempts(3);
    for grpc in [false, true] {
        assert_eq!(
            reject::<crate::body::Body>(&error, grpc).headers()["x-mesh-attempt"],
            "3"
        );
    }
}
