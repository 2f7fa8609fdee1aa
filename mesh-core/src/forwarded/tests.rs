use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderValue;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::SpiffeId;
use crate::context::{Direction, MeshContext};
use crate::edge::Facts;
use crate::peer::PeerInfo;

mod client;
mod told;
mod trace;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect(name),
            HeaderValue::from_bytes(value.as_bytes()).expect(value),
        );
    }
    headers
}

fn stranger() -> PeerInfo {
    PeerInfo::plaintext(([203, 0, 113, 9], 4000).into())
}

fn frontend() -> PeerInfo {
    let identity = SpiffeId::of_service("cluster.local", "dept-barc", "frontend").expect("valid parts");
    PeerInfo::mtls(([10, 0, 0, 1], 4000).into(), identity, "ab12", "01")
}

fn marks_of(peer: PeerInfo, trust: &Trust) -> PeerMarks {
    PeerMarks::new(&Arc::new(peer), trust, Direction::Inbound, None)
}

fn context() -> MeshContext {
    MeshContext::new(Instant::now())
}

fn orders() -> TargetMarks {
    TargetMarks::new(&"orders".parse().expect("a name"))
}

/// A request with these fields goes through the room; what it carries on, and what was learnt of it.
fn through(peer: &PeerMarks, fields: &[(&str, &str)]) -> (HeaderMap, MeshContext, RequestMarks) {
    let (mut headers, mut context) = (headers(fields), context());
    let facts = Facts::of(&headers);
    let believed = inherit(&mut headers, facts, peer, &mut context);
    let marks = mark_request(&mut headers, believed, &context, peer, &orders());
    (headers, context, marks)
}

/// The value of a field that must be there once, or not at all.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    assert!(values.len() < 2, "{name}: {values:?}");
    values.first().map(|value| value.to_str().expect("ASCII"))
}

fn nobody(peer: PeerInfo) -> PeerMarks {
    marks_of(peer, &Trust::nobody())
}

#[test]
fn a_forwarded_request_carries_every_field_of_the_contract() {
    let (headers, _, marks) = through(&nobody(frontend()), &[("accept", "*/*")]);
    for (name, value) in [
        ("x-source-service", "frontend"),
        ("x-target-service", "orders"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-service-mesh-version", crate::VERSION),
        ("x-mesh-mtls", "true"),
        ("x-mesh-cert-fingerprint", "ab12"),
        (
            "x-forwarded-client-cert",
            "Hash=ab12;URI=spiffe://cluster.local/ns/dept-barc/sa/frontend",
        ),
    ] {
        assert_eq!(text(&headers, name), Some(value), "{name}");
    }
    assert_eq!(headers["x-request-id"], marks.request_id);
    assert_eq!(text(&headers, "x-mesh-deadline-ms"), None);
    assert_eq!(text(&headers, "x-mesh-attempt"), None);
    let parent = text(&headers, "traceparent").expect("set");
    assert_eq!(text(&headers, "x-trace-id"), parent.get(3..35));
    assert_eq!(text(&headers, "x-span-id"), parent.get(36..52));
}

#[test]
fn a_stranger_is_unknown_and_has_no_certificate() {
    let (headers, _, _) = through(&nobody(stranger()), &[]);
    assert_eq!(text(&headers, "x-source-service"), Some("unknown"));
    assert_eq!(text(&headers, "x-mesh-mtls"), Some("false"));
    assert_eq!(text(&headers, "x-forwarded-proto"), Some("http"));
    assert_eq!(text(&headers, "x-mesh-cert-fingerprint"), None);
    assert_eq!(text(&headers, "x-forwarded-client-cert"), None);
}

#[test]
fn an_address_of_ipv4_in_ipv6_is_told_as_ipv4() {
    let peer = PeerInfo::plaintext("[::ffff:192.0.2.1]:5".parse().expect("an address"));
    assert_eq!(
        text(&through(&nobody(peer), &[]).0, "x-forwarded-for"),
        Some("192.0.2.1")
    );
}

#[test]
fn nothing_a_stranger_says_of_the_mesh_goes_on() {
    let (headers, context, marks) = through(
        &nobody(stranger()),
        &[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-port", "1"),
            (
                "x-forwarded-client-cert",
                "Hash=00;URI=spiffe://cluster.local/ns/a/sa/admin",
            ),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-request-id", "mine"),
            ("x-source-service", "admin"),
            ("X-Source-Service", "admin"),
            ("x-target-service", "admin"),
            ("x-service-mesh-version", "9"),
            ("x-mesh-mtls", "true"),
            ("x-mesh-cert-fingerprint", "00"),
            ("x-mesh-deadline-ms", "1"),
            ("x-mesh-attempt", "9"),
            ("x-mesh-anything", "1"),
            ("x-mesh-error", "timeout"),
            ("x-trace-id", "1"),
            ("x-span-id", "1"),
            ("x-end", "1"),
        ],
    );
    assert_eq!(text(&headers, "x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(text(&headers, "x-forwarded-proto"), Some("http"));
    assert_eq!(text(&headers, "x-source-service"), Some("unknown"));
    assert_eq!(text(&headers, "x-target-service"), Some("orders"));
    assert_eq!(text(&headers, "x-mesh-mtls"), Some("false"));
    assert_eq!(text(&headers, "x-service-mesh-version"), Some(crate::VERSION));
    assert_ne!(marks.request_id, "mine");
    assert_ne!(text(&headers, "x-trace-id"), Some("1"));
    assert_eq!(text(&headers, "x-end"), Some("1"));
    for name in [
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-client-cert",
        "x-real-ip",
        "forwarded",
        "x-mesh-cert-fingerprint",
        "x-mesh-deadline-ms",
        "x-mesh-attempt",
        "x-mesh-anything",
        "x-mesh-error",
    ] {
        assert_eq!(text(&headers, name), None, "{name}");
    }
    assert_eq!(
        (context.deadline, context.attempt, context.client),
        (None, 0, None)
    );
}

#[test]
fn rules_see_nothing_that_is_only_claimed() {
    let mut headers = headers(&[
        ("x-source-service", "admin"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "1"),
        ("x-mesh-mtls", "true"),
    ]);
    let facts = Facts::of(&headers);
    inherit(&mut headers, facts, &nobody(stranger()), &mut context());
    assert!(headers.is_empty(), "{headers:?}");
}

#[test]
fn a_trusted_proxy_tells_where_a_request_came_from() {
    let peer = marks_of(stranger(), &Trust::hops(1));
    let (headers, context, marks) = through(
        &peer,
        &[
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("x-request-id", "theirs"),
            ("x-mesh-attempt", "3"),
            ("x-source-service", "admin"),
        ],
    );
    assert_eq!(
        text(&headers, "x-forwarded-for"),
        Some("6.6.6.6, 192.0.2.7, 203.0.113.9")
    );
    assert_eq!(text(&headers, "x-forwarded-proto"), Some("https"));
    assert_eq!(text(&headers, "x-forwarded-host"), Some("shop.example"));
    assert_eq!(marks.request_id, "theirs");
    assert_eq!(context.client, Some([192, 0, 2, 7].into()));
    // It is trusted with addresses, not with the mesh's own fields: it has proved nothing.
    assert_eq!(text(&headers, "x-source-service"), Some("unknown"));
    assert_eq!(context.attempt, 0);
}

#[test]
fn lines_of_a_chain_are_joined_and_the_peer_stands_last() {
    let peer = marks_of(stranger(), &Trust::hops(1));
    let (headers, _, _) = through(
        &peer,
        &[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", ""),
            ("x-forwarded-for", "2.2.2.2, 3.3.3.3"),
        ],
    );
    assert_eq!(
        text(&headers, "x-forwarded-for"),
        Some("1.1.1.1, 2.2.2.2, 3.3.3.3, 203.0.113.9")
    );
}

#[test]
fn a_trusted_proxy_that_tells_no_known_scheme_is_not_repeated() {
    let peer = marks_of(stranger(), &Trust::hops(1));
    for fields in [
        &[("x-forwarded-proto", "gopher")][..],
        &[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")],
        &[],
    ] {
        assert_eq!(text(&through(&peer, fields).0, "x-forwarded-proto"), Some("http"));
    }
}

#[test]
fn a_response_tells_its_request_again() {
    let peer = nobody(frontend());
    let (_, _, marks) = through(&peer, &[("x-request-id", "theirs")]);
    let mut headers = headers(&[
        ("x-request-id", "the application's"),
        ("x-mesh-mtls", "false"),
        ("etag", "x"),
    ]);
    mark_response(&mut headers, marks, &peer);
    assert_eq!(text(&headers, "x-request-id"), Some("theirs"));
    assert_eq!(text(&headers, "x-mesh-mtls"), Some("true"));
    assert_eq!(text(&headers, "x-service-mesh-version"), Some(crate::VERSION));
    assert_eq!(text(&headers, "etag"), Some("x"));
}

#[test]
fn the_rest_of_the_time_is_told_and_never_less_than_nothing() {
    let (peer, mut context) = (nobody(stranger()), context());
    for (left, told) in [
        (Duration::from_millis(1500), "1500"),
        (Duration::from_secs(1 << 40), "4294967295"),
    ] {
        context.deadline = Some(context.received + left);
        let mut headers = HeaderMap::new();
        mark_request(&mut headers, Believed::default(), &context, &peer, &orders());
        assert_eq!(text(&headers, "x-mesh-deadline-ms"), Some(told));
    }
    context.received += Duration::from_secs(1 << 41);
    let mut headers = HeaderMap::new();
    mark_request(&mut headers, Believed::default(), &context, &peer, &orders());
    assert_eq!(text(&headers, "x-mesh-deadline-ms"), Some("0"));
}

proptest! {
    #[test]
    fn the_last_of_a_chain_is_always_the_peer(lines in prop::collection::vec("[ -~é]{0,20}", 0..4), hops in 0_u8..3) {
        let fields: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", line.as_str())).collect();
        let (headers, context, _) = through(&marks_of(stranger(), &Trust::hops(hops)), &fields);
        let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        prop_assert_eq!(values.len(), 1);
        let last = values[0].as_bytes().rsplit(|b| *b == b',').next().expect("a member").trim_ascii();
        prop_assert_eq!(last, b"203.0.113.9");
        if hops == 0 {
            prop_assert_eq!(context.client_address(), None::<IpAddr>);
        }
    }
}
