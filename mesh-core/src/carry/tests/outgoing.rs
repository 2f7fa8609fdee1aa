//! What a request that goes out gets of one that came in.

use std::time::Duration;

use http::{HeaderMap, Request};
use proptest::prelude::*;
use tokio::time::Instant;

use super::{PARENT, SPAN, TRACE, due_in, request, text};
use crate::carry::Carried;
use crate::context::MeshContext;
use crate::error::ErrorKind;

const SECOND: Duration = Duration::from_secs(1);

/// This call, made for a request with these fields.
fn made_for(fields: &[(&str, &str)], mut call: Request<()>) -> HeaderMap {
    let carried = Carried::of(&request(fields));
    carried.put_into(&mut call, Instant::now()).expect("in time");
    call.headers().clone()
}

/// This call, made now for a request that is due in this time.
fn within(left: Duration, mut call: Request<()>) -> Request<()> {
    let carried = Carried::of(&due_in(request(&[]), left));
    carried.put_into(&mut call, Instant::now()).expect("in time");
    call
}

fn left(call: &Request<()>) -> Duration {
    let context = call.extensions().get::<MeshContext>().expect("a context");
    context.deadline.expect("a deadline") - Instant::now()
}

#[test]
fn ids_trace_and_choice_go_on_and_nothing_else_does() {
    let came = [
        ("x-request-id", "r-7"),
        ("traceparent", PARENT),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
        ("x-trace-id", TRACE),
        ("x-span-id", SPAN),
        ("x-canary-user", "true"),
        ("cookie", "session=secret; canary=always; theme=dark"),
        ("authorization", "Bearer secret"),
        ("proxy-authorization", "Basic secret"),
        ("x-api-key", "secret"),
        ("x-source-service", "frontend"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-client-cert", "Hash=ab"),
        ("x-mesh-mtls", "true"),
        ("x-mesh-cert-fingerprint", "ab"),
        // Believed in the context only.
        ("x-mesh-attempt", "3"),
        ("x-mesh-deadline-ms", "5"),
        ("baggage", "user=anna"),
        ("host", "orders"),
    ];
    let expected = request(&[
        ("x-request-id", "r-7"),
        ("traceparent", PARENT),
        ("tracestate", "a=1,b=2"),
        ("x-trace-id", TRACE),
        ("x-span-id", SPAN),
        ("x-canary-user", "true"),
        ("cookie", "canary=always"),
    ]);
    assert_eq!(&made_for(&came, Request::new(())), expected.headers());
}

#[test]
fn what_a_call_says_itself_stays() {
    let came = [
        ("x-request-id", "r-7"),
        ("traceparent", PARENT),
        ("tracestate", "a=1"),
        ("x-trace-id", TRACE),
        ("x-canary-user", "true"),
        ("cookie", "canary=always"),
    ];
    let b3 = "463ac35c9f6413ad48485a3953bb6124-0020000000000001-1";
    let other = "00-463ac35c9f6413ad48485a3953bb6124-0020000000000001-00";
    for own in [
        ("traceparent", other),
        ("b3", b3),
        ("x-trace-id", "463ac35c9f6413ad48485a3953bb6124"),
    ] {
        let call = request(&[own, ("x-request-id", "own"), ("x-canary-user", "false")]);
        assert_eq!(&made_for(&came, call.clone()), call.headers());
    }
    let chosen = made_for(&came, request(&[("cookie", "canary=never")]));
    assert_eq!(text(&chosen, "cookie"), Some("canary=never"));
    assert_eq!(
        text(&chosen, "x-canary-user"),
        None,
        "a header counts before a cookie"
    );
}

#[test]
fn a_call_that_names_the_same_trace_gets_all_of_it() {
    let came = [("traceparent", PARENT), ("tracestate", "a=1")];
    let call = made_for(
        &came,
        request(&[("x-trace-id", TRACE), ("tracestate", "stale=1")]),
    );
    assert_eq!(text(&call, "traceparent"), Some(PARENT));
    assert_eq!(text(&call, "tracestate"), Some("a=1"));
}

#[test]
fn a_choice_is_put_behind_the_cookies_of_a_call() {
    let mut call = request(&[("cookie", "a=1; b=2"), ("cookie", "c=3")]);
    let came = request(&[("cookie", "canary=always")]);
    Carried::of(&came)
        .put_into(&mut call, Instant::now())
        .expect("in time");
    assert_eq!(
        text(call.headers(), "cookie"),
        Some("a=1; b=2; c=3; canary=always")
    );
}

#[test]
fn what_is_malformed_or_too_long_does_not_go_on() {
    let (long, longer, state) = ("x".repeat(65), "x".repeat(129), format!("a={}", "x".repeat(9000)));
    let cookie = format!("canary={long}");
    let came = [
        ("x-request-id", longer.as_str()),
        ("x-canary-user", &long),
        ("cookie", &cookie),
        (
            "traceparent",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ),
        ("tracestate", "a=1"),
        ("x-trace-id", TRACE),
    ];
    assert_eq!(made_for(&came, Request::new(())), HeaderMap::new());
    let twice = [
        ("x-request-id", "a"),
        ("x-request-id", "b"),
        ("x-canary-user", "true or false"),
    ];
    assert_eq!(made_for(&twice, Request::new(())), HeaderMap::new());
    let beside = [
        ("traceparent", PARENT),
        ("tracestate", &state),
        ("x-trace-id", SPAN),
    ];
    let expected = request(&[("traceparent", PARENT)]);
    assert_eq!(&made_for(&beside, Request::new(())), expected.headers());
}

#[tokio::test(start_paused = true)]
async fn a_call_has_the_time_that_is_left() {
    let carried = Carried::of(&due_in(request(&[]), 2 * SECOND));
    tokio::time::advance(Duration::from_micros(300_500)).await;
    let mut call = Request::new(());
    carried.put_into(&mut call, Instant::now()).expect("in time");
    assert_eq!(text(call.headers(), "x-mesh-deadline-ms"), Some("1699"));
    assert_eq!(left(&call), Duration::from_micros(1_699_500));
    assert_eq!(text(call.headers(), "grpc-timeout"), None);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_is_told_in_its_own_words_too() {
    let call = within(2 * SECOND, request(&[("content-type", "application/grpc")]));
    assert_eq!(text(call.headers(), "grpc-timeout"), Some("2000000u"));
    assert_eq!(text(call.headers(), "x-mesh-deadline-ms"), Some("2000"));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_both_deadlines_counts_wherever_the_own_one_stands() {
    let grpc = |timeout| request(&[("content-type", "application/grpc"), ("grpc-timeout", timeout)]);
    for (call, expected) in [
        (due_in(request(&[]), SECOND), SECOND),
        (due_in(request(&[]), 3 * SECOND), 2 * SECOND),
        (request(&[("x-mesh-deadline-ms", "1000")]), SECOND),
        (request(&[("x-mesh-deadline-ms", "3000")]), 2 * SECOND),
        (grpc("1S"), SECOND),
        (grpc("3S"), 2 * SECOND),
        (due_in(grpc("1S"), 3 * SECOND), SECOND),
        (grpc("nonsense"), 2 * SECOND),
    ] {
        let is_grpc = call.headers().contains_key("grpc-timeout");
        let call = within(2 * SECOND, call);
        assert_eq!(left(&call), expected);
        let millis = expected.as_millis().to_string();
        assert_eq!(text(call.headers(), "x-mesh-deadline-ms"), Some(&*millis));
        let told = is_grpc.then(|| format!("{}u", expected.as_micros()));
        assert_eq!(text(call.headers(), "grpc-timeout"), told.as_deref());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_late_says_by_how_much() {
    let carried = Carried::of(&due_in(request(&[]), SECOND));
    let at = Instant::now() + 3 * SECOND;
    let error = carried.put_into(&mut Request::new(()), at).expect_err("late");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().contains("passed 2s before"), "{error}");
    assert!(
        carried
            .without_deadline()
            .put_into(&mut Request::new(()), at)
            .is_ok()
    );
}

#[test]
fn a_call_made_for_a_retry_is_one() {
    let mut came = Request::new(());
    let mut context = MeshContext::new(Instant::now());
    context.attempt = 2;
    came.extensions_mut().insert(context);
    let carried = Carried::of(&came);
    let attempt = |mut call: Request<()>| {
        carried.put_into(&mut call, Instant::now()).expect("in time");
        let context = call.extensions().get::<MeshContext>().expect("a context");
        let told = text(call.headers(), "x-mesh-attempt").map(str::to_owned);
        (context.attempt, told)
    };
    assert_eq!(attempt(Request::new(())), (2, Some("2".into())));
    let mut own = Request::new(());
    let mut context = MeshContext::new(Instant::now());
    context.attempt = 1;
    own.extensions_mut().insert(context);
    assert_eq!(attempt(own), (1, Some("1".into())));
}

proptest! {
    #[test]
    fn a_cookie_of_any_content_adds_one_cookie_at_most(value in "[ -~]{0,80}") {
        let Ok(field) = http::HeaderValue::try_from(format!("canary={value}")) else { return Ok(()) };
        let mut came = Request::new(());
        came.headers_mut().insert("cookie", field);
        let mut call = request(&[("cookie", "own=1")]);
        Carried::of(&came).put_into(&mut call, Instant::now()).expect("in time");
        let cookies: Vec<_> = crate::cookie::cookies(call.headers()).collect();
        prop_assert!(cookies.len() <= 2);
        prop_assert_eq!(cookies[0], (&b"own"[..], &b"1"[..]));
        prop_assert!(cookies.get(1).is_none_or(|(name, _)| *name == b"canary"));
    }
}
