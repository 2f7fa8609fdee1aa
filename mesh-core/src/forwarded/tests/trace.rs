//! Trace context, well-formed and not.

use super::*;
use crate::forwarded::trace;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_trace_is_taken_over_from_anyone() {
    let (headers, _, _) = through(
        &nobody(stranger()),
        &[
            ("traceparent", TRACE),
            ("tracestate", "a=1,b@c=2"),
            ("tracestate", "d=3"),
        ],
    );
    assert_eq!(text(&headers, "traceparent"), Some(TRACE));
    assert_eq!(
        text(&headers, "x-trace-id"),
        Some("4bf92f3577b34da6a3ce929d0e0e4736")
    );
    assert_eq!(text(&headers, "x-span-id"), Some("00f067aa0ba902b7"));
    assert_eq!(
        headers.get_all("tracestate").iter().collect::<Vec<_>>(),
        ["a=1,b@c=2", "d=3"]
    );
}

#[test]
fn a_trace_of_a_later_version_goes_on_as_one_of_ours() {
    for parent in [
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-comes",
    ] {
        let (headers, _, _) = through(
            &nobody(stranger()),
            &[("traceparent", parent), ("tracestate", "a=1")],
        );
        assert_eq!(text(&headers, "traceparent"), Some(TRACE));
        assert_eq!(text(&headers, "tracestate"), Some("a=1"));
    }
}

#[test]
fn a_malformed_trace_begins_anew_without_its_state() {
    for parent in [
        "",
        "00",
        "00-0-0-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0é-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
    ] {
        let (headers, _, _) = through(
            &nobody(stranger()),
            &[("traceparent", parent), ("tracestate", "a=1")],
        );
        let new = text(&headers, "traceparent").expect("set");
        assert!(new.len() == 55 && !new.contains("4bf92f"), "{parent}: {new}");
        assert_eq!(text(&headers, "tracestate"), None, "{parent}");
    }
    let (headers, _, _) = through(
        &nobody(stranger()),
        &[("traceparent", TRACE), ("traceparent", TRACE)],
    );
    assert_ne!(text(&headers, "traceparent"), Some(TRACE));
    let (headers, _, _) = through(&nobody(stranger()), &[("tracestate", "a=1")]);
    assert_eq!(text(&headers, "tracestate"), None);
}

#[test]
fn a_malformed_state_goes_and_its_trace_stays() {
    let many = (0..33).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
    for state in ["a", "=1", "a=", "A=1", "a=1=2", "a=\u{e9}", "a b=1", &many] {
        let (headers, _, _) = through(
            &nobody(stranger()),
            &[("traceparent", TRACE), ("tracestate", state)],
        );
        assert_eq!(
            (text(&headers, "traceparent"), text(&headers, "tracestate")),
            (Some(TRACE), None),
            "{state}"
        );
    }
    let (headers, _, _) = through(
        &nobody(stranger()),
        &[("traceparent", TRACE), ("tracestate", " a=1 , ,b=2")],
    );
    assert!(headers.contains_key("tracestate"));
}

#[test]
fn b3_is_understood_where_there_is_no_traceparent() {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let single = |rest: &str| format!("{trace}-{span}{rest}");
    for (fields, expected) in [
        (vec![("b3", single("-1"))], TRACE.to_owned()),
        (vec![("b3", single("-d-05e3ac9a4f6e3b90"))], TRACE.to_owned()),
        (vec![("b3", single("-0"))], format!("00-{trace}-{span}-00")),
        (vec![("b3", single(""))], format!("00-{trace}-{span}-00")),
        (
            vec![("b3", format!("a3ce929d0e0e4736-{span}-1"))],
            format!("00-0000000000000000a3ce929d0e0e4736-{span}-01"),
        ),
        (
            vec![
                ("x-b3-traceid", trace.into()),
                ("x-b3-spanid", span.into()),
                ("x-b3-sampled", "1".into()),
            ],
            TRACE.to_owned(),
        ),
        (
            vec![
                ("x-b3-traceid", trace.into()),
                ("x-b3-spanid", span.into()),
                ("x-b3-flags", "1".into()),
            ],
            TRACE.to_owned(),
        ),
        (
            vec![("x-b3-traceid", trace.into()), ("x-b3-spanid", span.into())],
            format!("00-{trace}-{span}-00"),
        ),
        (
            vec![
                ("traceparent", TRACE.into()),
                ("b3", "1111111111111111-1111111111111111-1".into()),
            ],
            TRACE.to_owned(),
        ),
        (
            vec![("traceparent", "broken".into()), ("b3", single("-1"))],
            TRACE.to_owned(),
        ),
    ] {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let (headers, _, _) = through(&nobody(stranger()), &fields);
        assert_eq!(
            text(&headers, "traceparent"),
            Some(expected.as_str()),
            "{fields:?}"
        );
    }
}

#[test]
fn a_malformed_b3_begins_a_new_trace() {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    for value in [
        "0",
        "",
        trace,
        &format!("{trace}-{span}-2"),
        &format!("{trace}-{span}-1-x"),
        &format!("{trace}-{span}-1-{span}-"),
        &format!("{trace}0-{span}"),
    ] {
        let (headers, _, _) = through(&nobody(stranger()), &[("b3", value)]);
        assert!(
            !text(&headers, "traceparent").expect("set").contains("4bf92f"),
            "{value}"
        );
    }
}

#[test]
fn new_traces_are_sampled_at_the_ratio_of_their_target() {
    let sampled = |ratio: f64| {
        let (peer, target) = (nobody(stranger()), orders().with_sampling(ratio));
        (0..1000)
            .filter(|_| {
                let mut headers = HeaderMap::new();
                mark_request(&mut headers, Believed::default(), &context(), &peer, &target);
                text(&headers, "traceparent").expect("set").ends_with("-01")
            })
            .count()
    };
    assert_eq!(
        (sampled(0.0), sampled(1.0), sampled(f64::NAN), sampled(7.0)),
        (0, 1000, 0, 1000)
    );
    let half = sampled(0.5);
    assert!((350..650).contains(&half), "{half}");
}

#[test]
fn the_ratio_does_not_change_what_was_decided_elsewhere() {
    let (mut headers, mut context, peer) = (
        headers(&[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0")]),
        context(),
        nobody(stranger()),
    );
    let facts = Facts::of(&headers);
    let believed = inherit(&mut headers, facts, &peer, &mut context);
    mark_request(
        &mut headers,
        believed,
        &context,
        &peer,
        &orders().with_sampling(1.0),
    );
    assert!(text(&headers, "traceparent").expect("set").ends_with("-00"));
}

#[test]
fn a_request_of_which_a_span_is_made_goes_on_as_a_part_of_that() {
    let span = parent_span(&headers(&[(
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-00",
    )]));
    for fields in [&[("traceparent", TRACE), ("tracestate", "a=1")][..], &[]] {
        let (mut headers, mut context, peer) = (headers(fields), context(), nobody(stranger()));
        let facts = Facts::of(&headers);
        let believed = inherit(&mut headers, facts, &peer, &mut context);
        context.span = span;
        mark_request(&mut headers, believed, &context, &peer, &orders());
        assert_eq!(
            text(&headers, "traceparent"),
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-00")
        );
        assert_eq!(
            text(&headers, "x-trace-id"),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert_eq!(text(&headers, "x-span-id"), Some("1111111111111111"));
        assert_eq!(
            text(&headers, "tracestate"),
            fields.get(1).map(|(_, state)| *state)
        );
    }
}

#[test]
fn the_fields_of_a_span_are_there_once_whatever_was_there_before() {
    let span = parent_span(&headers(&[("traceparent", TRACE)])).expect("well-formed");
    let (same, other) = (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "11111111111111111111111111111111",
    );
    for fields in [
        &[][..],
        &[
            ("traceparent", "nothing"),
            ("x-trace-id", same),
            ("x-span-id", "nothing"),
        ],
        &[("x-trace-id", other)],
        &[("x-trace-id", same), ("x-trace-id", other)],
        &[
            ("traceparent", TRACE),
            ("accept", "a"),
            ("accept", "b"),
            ("traceparent", TRACE),
        ],
    ] {
        let mut headers = headers(fields);
        set_parent_span(&mut headers, span);
        for (name, told) in [
            ("traceparent", TRACE),
            ("x-trace-id", same),
            ("x-span-id", "00f067aa0ba902b7"),
        ] {
            let values: Vec<_> = headers.get_all(name).iter().collect();
            assert_eq!(values, [told], "{name} of {fields:?}");
            assert!(values[0].is_sensitive(), "{name} of {fields:?}");
        }
    }
}

#[test]
fn what_is_believed_tells_the_span_a_request_came_from() {
    let single = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1";
    for fields in [[("traceparent", TRACE)], [("b3", single)]] {
        let (mut headers, mut context, peer) = (headers(&fields), context(), nobody(stranger()));
        let told = parent_span(&headers).expect("well-formed");
        assert_eq!(told.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(
            (told.span.to_string().as_str(), told.sampled),
            ("00f067aa0ba902b7", true)
        );
        let facts = Facts::of(&headers);
        let believed = inherit(&mut headers, facts, &peer, &mut context);
        assert_eq!(believed.parent_span(), Some(told));
    }
    assert_eq!(Believed::default().parent_span(), None);
}

proptest! {
    #[test]
    fn any_trace_fields_give_one_well_formed_trace(
        fields in prop::collection::vec((prop::sample::select(vec!["traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"]), "[0-9a-f-]{0,60}|[ -~é]{0,60}"), 0..5),
    ) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (headers, _, _) = through(&nobody(stranger()), &fields);
        let parent = text(&headers, "traceparent").expect("set");
        prop_assert!(trace::of(&headers).is_some_and(|trace| trace.exact), "{}", parent);
        prop_assert_eq!(text(&headers, "x-trace-id"), parent.get(3..35));
        prop_assert_eq!(text(&headers, "x-span-id"), parent.get(36..52));
    }
}
