use std::sync::Arc;

use tokio::time::Instant;

use super::*;
use crate::{PeerInfo, ServiceName, SpiffeId};

fn request(fields: &[(&str, &str)]) -> http::Request<()> {
    let mut builder = http::Request::get("/");
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).expect("valid")
}

fn from_peer(peer: PeerInfo) -> http::Request<()> {
    let mut context = MeshContext::new(Instant::now());
    context.peer = Some(Arc::new(peer));
    let mut request = request(&[
        ("x-source-service", "forged"),
        ("x-forwarded-for", "198.51.100.1"),
    ]);
    request.extensions_mut().insert(context);
    request
}

fn frontend() -> PeerInfo {
    let identity = SpiffeId::of_service("cluster.local", "dept-barc", "frontend").expect("valid");
    PeerInfo::mtls("192.0.2.7:5555".parse().expect("valid"), identity, "ab", "01")
}

fn by(text: &str) -> KeyBy {
    text.parse().expect("an extractor")
}

#[test]
fn source_service_is_the_verified_identity_and_never_a_header() {
    let request = from_peer(frontend());
    assert_eq!(
        by("source_service").key(&RequestHead::of(&request)),
        Some(RequestKey::text("frontend"))
    );

    let anonymous = from_peer(PeerInfo::plaintext("192.0.2.7:5555".parse().expect("valid")));
    assert_eq!(by("source_service").key(&RequestHead::of(&anonymous)), None);
}

#[test]
fn on_an_outbound_listener_the_source_is_this_process() {
    let mut context = MeshContext::new(Instant::now());
    context.own_service = Some(ServiceName::new("orders").expect("valid"));
    let mut request = request(&[]);
    request.extensions_mut().insert(context);
    assert_eq!(
        by("source_service").key(&RequestHead::of(&request)),
        Some(RequestKey::text("orders"))
    );
}

#[test]
fn client_ip_is_the_peer_without_its_port_and_never_a_header() {
    let request = from_peer(frontend());
    let expected = RequestKey::address("192.0.2.7".parse().expect("valid"));
    assert_eq!(by("client_ip").key(&RequestHead::of(&request)), Some(expected));
}

#[test]
fn without_a_context_there_is_neither_source_nor_address() {
    let request = request(&[("x-source-service", "forged")]);
    for text in ["source_service", "client_ip"] {
        assert_eq!(by(text).key(&RequestHead::of(&request)), None, "{text}");
    }
}

#[test]
fn a_header_key_is_the_first_field_trimmed() {
    let request = request(&[("X-Tenant", "acme "), ("x-tenant", "other")]);
    let head = RequestHead::of(&request);
    assert_eq!(by("header:x-tenant").key(&head), Some(RequestKey::text("acme")));
    assert_eq!(by("header:x-other").key(&head), None);
}

#[test]
fn a_header_key_need_not_be_a_text() {
    let mut request = request(&[]);
    request.headers_mut().insert(
        "x-key",
        http::HeaderValue::from_bytes(b"\xff").expect("obs-text is allowed"),
    );
    assert_eq!(
        by("header:x-key").key(&RequestHead::of(&request)),
        Some(RequestKey::bytes(b"\xff"))
    );
}

#[test]
fn a_cookie_key_is_found_in_any_cookie_field() {
    let request = request(&[
        ("cookie", "a=1; Session=no"),
        ("cookie", "b=2;session=s1; session=s2"),
    ]);
    let head = RequestHead::of(&request);
    assert_eq!(by("cookie:session").key(&head), Some(RequestKey::text("s1")));
    assert_eq!(by("cookie:sess").key(&head), None);
}

#[test]
fn none_has_no_key() {
    assert_eq!(by("none").key(&RequestHead::of(&from_peer(frontend()))), None);
}

#[test]
fn extractors_are_read_back_as_they_are_written() {
    for text in [
        "source_service",
        "client_ip",
        "header:x-tenant",
        "cookie:Session",
        "none",
    ] {
        assert_eq!(by(text).to_string(), text);
    }
    assert_eq!(KeyBy::default(), by("source_service"));
}

#[test]
fn a_wrong_extractor_is_refused_with_the_right_ones() {
    for (text, why) in [
        ("source", "no extractor has this name"),
        ("header", "the header's name is missing"),
        ("header:", "not a header name"),
        ("header:a b", "not a header name"),
        ("cookie:", "not a cookie name"),
        ("cookie:a;b", "not a cookie name"),
        ("query:x", "no extractor has this name"),
    ] {
        let error = text.parse::<KeyBy>().expect_err(text).to_string();
        assert!(
            error.contains(why) && error.contains("client_ip, header:NAME"),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_key_that_may_be_a_secret_is_not_shown() {
    assert!(!format!("{:?}", RequestKey::text("s3cret")).contains("s3cret"));
}

#[test]
fn extractors_can_be_stored_behind_a_pointer() {
    let stored: Vec<Arc<dyn KeyExtractor>> = vec![Arc::new(by("none")), Arc::new(by("header:x-tenant"))];
    let request = request(&[("x-tenant", "acme")]);
    let keys: Vec<_> = stored
        .iter()
        .map(|extractor| extractor.key(&RequestHead::of(&request)))
        .collect();
    assert_eq!(keys, [None, Some(RequestKey::text("acme"))]);
}
