use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

#[test]
fn the_nine_methods_keep_their_names() {
    for name in &METHODS[1..] {
        let method = Method::from_bytes(name.as_bytes()).expect("a method");
        assert_eq!(MethodLabel::of(&method).as_str(), *name);
    }
}

#[test]
fn a_method_in_lower_case_is_another_method() {
    let method = Method::from_bytes(b"get").expect("a token");
    assert_eq!(MethodLabel::of(&method), MethodLabel::OTHER);
}

#[test]
fn grpc_is_told_by_content_type_before_version() {
    let mut fields = HeaderMap::new();
    fields.insert("content-type", http::HeaderValue::from_static("application/grpc"));
    assert_eq!(Protocol::of(Version::HTTP_11, &fields), Protocol::Grpc);
    assert_eq!(Protocol::of(Version::HTTP_10, &HeaderMap::new()), Protocol::Http1);
    assert_eq!(Protocol::of(Version::HTTP_3, &HeaderMap::new()), Protocol::Other);
}

#[test]
fn the_class_of_a_class_is_itself() {
    for status in (100..1000).filter_map(|code| StatusCode::from_u16(code).ok()) {
        let class = StatusLabel::of(status).class();
        assert_eq!(class.class(), class);
        assert!(
            matches!(&*class.text(), "1xx" | "2xx" | "3xx" | "4xx" | "5xx" | "other"),
            "{class}"
        );
    }
}

#[test]
fn every_kind_of_error_has_a_number_of_its_own() {
    let numbers: HashSet<u64> = ErrorKind::ALL
        .iter()
        .map(|kind| reason_number(Some(*kind)))
        .collect();
    assert_eq!(numbers.len(), ErrorKind::ALL.len());
    assert!(!numbers.contains(&reason_number(None)));
    assert!(numbers.iter().all(|number| *number < 1 << 16));
}

#[test]
fn a_configured_text_needs_no_escaping_and_is_not_long() {
    assert_eq!(configured("a \"b\"\\\r\nc"), "a _b____c");
    assert_eq!(configured(&"x".repeat(500)).len(), LONGEST);
}

fn any_labels(sources: &Sources) -> impl Strategy<Value = RequestLabels> + use<> {
    let sources = [
        SourceId::UNKNOWN,
        SourceId::OTHER,
        sources.id("a"),
        sources.id("b"),
    ];
    let protocols = [Protocol::Other, Protocol::Http1, Protocol::Http2, Protocol::Grpc];
    let statuses = prop_oneof![Just(0u16), 1u16..=5, 100u16..=599];
    let kinds = std::iter::once(None)
        .chain(ErrorKind::ALL.map(Some))
        .collect::<Vec<_>>();
    let select = (
        prop::sample::select(sources.to_vec()),
        0u8..10,
        prop::sample::select(protocols.to_vec()),
    );
    (select, statuses, prop::sample::select(kinds)).prop_map(
        |((source, method, protocol), status, reason)| RequestLabels {
            source,
            method: MethodLabel(method),
            protocol,
            status: StatusLabel(status),
            reason,
        },
    )
}

proptest! {
    #[test]
    fn labels_pack_into_the_same_word_if_and_only_if_they_are_equal(
        (a, b) in { let sources = Sources::new(9); (any_labels(&sources), any_labels(&sources)) },
    ) {
        prop_assert_eq!(a.pack() == b.pack(), a == b);
    }
}
