//! What a peer tells of a request: its id, its deadline, its attempt.

use super::*;

#[test]
fn an_authenticated_peer_tells_id_deadline_and_attempt() {
    let (headers, context, marks) = through(
        &nobody(frontend()),
        &[
            ("x-request-id", "theirs"),
            ("x-mesh-deadline-ms", "250"),
            ("x-mesh-attempt", "2"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-source-service", "admin"),
            ("x-mesh-anything", "1"),
        ],
    );
    assert_eq!(marks.request_id, "theirs");
    assert_eq!(
        context.deadline,
        Some(context.received + Duration::from_millis(250))
    );
    assert_eq!(context.attempt, 2);
    assert_eq!(text(&headers, "x-mesh-deadline-ms"), Some("250"));
    assert_eq!(text(&headers, "x-mesh-attempt"), Some("2"));
    // Who it is, it proves; where others are, it may only tell if it is trusted with that.
    assert_eq!(text(&headers, "x-source-service"), Some("frontend"));
    assert_eq!(text(&headers, "x-forwarded-for"), Some("10.0.0.1"));
    assert_eq!(text(&headers, "x-mesh-anything"), None);
}

#[test]
fn the_application_beside_an_outbound_listener_counts_as_authenticated() {
    let own = "checkout".parse().expect("a name");
    let peer = Arc::new(PeerInfo::plaintext(([127, 0, 0, 1], 4000).into()));
    let peer = PeerMarks::new(&peer, &Trust::nobody(), Direction::Outbound, Some(&own));
    let (headers, context, marks) = through(
        &peer,
        &[
            ("x-request-id", "mine"),
            ("x-mesh-attempt", "1"),
            ("x-mesh-cert-fingerprint", "00"),
        ],
    );
    assert_eq!(text(&headers, "x-source-service"), Some("checkout"));
    assert_eq!(text(&headers, "x-mesh-cert-fingerprint"), None);
    assert_eq!(
        (marks.request_id, context.attempt),
        (HeaderValue::from_static("mine"), 1)
    );
    let inbound = PeerMarks::new(peer.peer(), &Trust::nobody(), Direction::Inbound, Some(&own));
    assert!(!inbound.is_authenticated());
}

#[test]
fn what_is_no_number_is_no_deadline_and_no_attempt() {
    for value in [
        "",
        "-1",
        "+5",
        "1.5",
        "0x5",
        "4294967296",
        "99999999999999999999",
        "5 5",
    ] {
        let fields = [("x-mesh-deadline-ms", value), ("x-mesh-attempt", value)];
        let (_, context, _) = through(&nobody(frontend()), &fields);
        assert_eq!((context.deadline, context.attempt), (None, 0), "{value:?}");
    }
    let twice = [("x-mesh-attempt", "1"), ("x-mesh-attempt", "2")];
    assert_eq!(through(&nobody(frontend()), &twice).1.attempt, 0);
    assert_eq!(
        through(&nobody(frontend()), &[("x-mesh-attempt", "4294967295")])
            .1
            .attempt,
        u32::MAX
    );
}

#[test]
fn a_told_deadline_shortens_and_never_extends() {
    for (set, told, expected) in [(100, 250, 100), (500, 250, 250)] {
        let mut headers = headers(&[("x-mesh-deadline-ms", &told.to_string())]);
        let mut context = context();
        context.deadline = Some(context.received + Duration::from_millis(set));
        let facts = Facts::of(&headers);
        inherit(&mut headers, facts, &nobody(frontend()), &mut context);
        assert_eq!(
            context.deadline,
            Some(context.received + Duration::from_millis(expected))
        );
    }
}

#[test]
fn a_grpc_timeout_is_a_deadline_whoever_sends_it_but_only_of_a_call() {
    let (headers, context, _) = through(&nobody(frontend()), &[("grpc-timeout", "1S")]);
    assert_eq!(context.deadline, None);
    assert!(headers.contains_key("grpc-timeout"));
    for (value, expected) in [
        ("1H", Some(Duration::from_secs(3600))),
        ("2M", Some(Duration::from_secs(120))),
        ("3S", Some(Duration::from_secs(3))),
        ("99999999m", Some(Duration::from_millis(99_999_999))),
        ("5u", Some(Duration::from_micros(5))),
        ("6n", Some(Duration::from_nanos(6))),
        ("", None),
        ("S", None),
        ("5", None),
        ("5s", None),
        ("-5S", None),
        ("999999999S", None),
        ("5é", None),
    ] {
        let call = ("content-type", "application/grpc");
        let (headers, context, _) = through(&nobody(stranger()), &[("grpc-timeout", value), call]);
        assert_eq!(
            context.deadline.map(|deadline| deadline - context.received),
            expected,
            "{value}"
        );
        assert!(headers.contains_key("grpc-timeout"));
    }
}

#[test]
fn a_request_id_is_kept_only_if_it_is_one_of_visible_characters() {
    let long = "a".repeat(129);
    for value in ["", "a b", "é", &long] {
        let (_, _, marks) = through(&nobody(frontend()), &[("x-request-id", value)]);
        assert_eq!(marks.request_id.len(), 36, "{value:?}");
    }
    let (headers, _, marks) = through(
        &nobody(frontend()),
        &[("x-request-id", "a"), ("x-request-id", "b")],
    );
    assert_eq!(
        (
            marks.request_id.len(),
            text(&headers, "x-request-id").map(str::len)
        ),
        (36, Some(36))
    );
}

#[test]
fn a_new_request_id_is_a_random_uuid() {
    let ids: std::collections::HashSet<String> = (0..1000)
        .map(|i| {
            let id = if i % 2 == 0 {
                ids::request_id()
            } else {
                ids::Ids::new(&ids::Parent::New(crate::trace::SampleRatio::NEVER)).request_id()
            };
            let id = id.to_str().expect("ASCII").to_owned();
            let groups: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12], "{id}");
            assert!(
                id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-')),
                "{id}"
            );
            assert_eq!(id.as_bytes()[14], b'4', "{id}");
            assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
            id
        })
        .collect();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn a_refusal_tells_the_id_a_believed_peer_brought_or_a_new_one() {
    let brought = headers(&[("x-request-id", "theirs")]);
    assert_eq!(
        RequestMarks::of_refused(&brought, &nobody(frontend())).request_id,
        "theirs"
    );
    assert_eq!(
        RequestMarks::of_refused(&brought, &nobody(stranger()))
            .request_id
            .len(),
        36
    );
    assert_eq!(
        RequestMarks::of_refused(&HeaderMap::new(), &nobody(frontend()))
            .request_id
            .len(),
        36
    );
}
