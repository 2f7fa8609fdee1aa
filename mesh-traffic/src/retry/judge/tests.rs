use std::time::Duration;

use super::*;

const ONCE: Asked = Asked {
    idempotent: false,
    grpc: false,
};
const TWICE: Asked = Asked {
    idempotent: true,
    grpc: false,
};
const CALL: Asked = Asked {
    idempotent: true,
    grpc: true,
};

fn on(texts: &[&str]) -> Vec<RetryOn> {
    texts
        .iter()
        .map(|text| text.parse().expect("a failure"))
        .collect()
}

/// After what the default policy makes of it.
fn of_error(asked: Asked, error: &Error) -> Judged {
    judge(&RetryOn::DEFAULT, asked, &Ended::Failed(error))
}

struct Answer {
    status: u16,
    fields: HeaderMap,
    refusal: Option<ErrorKind>,
    grpc: Option<GrpcCode>,
    hint: Hint,
}

fn answer(status: u16) -> Answer {
    Answer {
        status,
        fields: HeaderMap::new(),
        refusal: None,
        grpc: None,
        hint: Hint::None,
    }
}

impl Answer {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.insert(name, http::HeaderValue::from_static(value));
        self
    }

    fn judged(&self, on: &[RetryOn], asked: Asked) -> Judged {
        let ended = Ended::Response {
            status: StatusCode::from_u16(self.status).expect("a status"),
            headers: &self.fields,
            refusal: self.refusal,
            grpc: self.grpc,
            hint: self.hint,
        };
        judge(on, asked, &ended)
    }

    fn by_default(&self, asked: Asked) -> Judged {
        self.judged(&RetryOn::DEFAULT, asked)
    }
}

const AGAIN: Judged = Judged::Again(Hint::None);

#[test]
fn errors_are_judged_by_the_table() {
    use ErrorKind as K;
    for (kind, once, twice) in [
        (
            K::BadRequest,
            Judged::Keep(Why::InVain),
            Judged::Keep(Why::InVain),
        ),
        (
            K::Unauthorized,
            Judged::Keep(Why::InVain),
            Judged::Keep(Why::InVain),
        ),
        (K::NoRoute, Judged::Keep(Why::InVain), Judged::Keep(Why::InVain)),
        (
            K::RateLimited,
            Judged::Keep(Why::NotWanted),
            Judged::Keep(Why::NotWanted),
        ),
        (K::FaultInjected, Judged::Keep(Why::NotIdempotent), AGAIN),
        (
            K::CircuitOpen,
            Judged::Keep(Why::InVain),
            Judged::Keep(Why::InVain),
        ),
        (
            K::NoHealthyEndpoint,
            Judged::Keep(Why::InVain),
            Judged::Keep(Why::InVain),
        ),
        (
            K::Overloaded,
            Judged::Keep(Why::InVain),
            Judged::Keep(Why::InVain),
        ),
        (K::UpstreamConnect, AGAIN, AGAIN),
        (K::UpstreamReset, Judged::Keep(Why::NotIdempotent), AGAIN),
        (K::Timeout, Judged::Keep(Why::NotIdempotent), AGAIN),
    ] {
        let error = Error::new(kind, "failed");
        assert_eq!(of_error(ONCE, &error), once, "{kind}");
        assert_eq!(of_error(TWICE, &error), twice, "{kind}");
    }
    assert_eq!(ErrorKind::ALL.len(), 11);
}

#[test]
fn only_failures_that_are_asked_for_are_tried_again() {
    let of = |texts: &[&str], kind| judge(&on(texts), TWICE, &Ended::Failed(&Error::new(kind, "failed")));
    assert_eq!(of(&["reset"], ErrorKind::UpstreamReset), AGAIN);
    assert_eq!(of(&["502"], ErrorKind::UpstreamReset), AGAIN);
    assert_eq!(
        of(&["503"], ErrorKind::UpstreamReset),
        Judged::Keep(Why::NotAsked)
    );
    assert_eq!(of(&["connect-failure"], ErrorKind::UpstreamConnect), AGAIN);
    assert_eq!(
        of(&["reset"], ErrorKind::UpstreamConnect),
        Judged::Keep(Why::NotAsked)
    );
    assert_eq!(
        of(&["reset", "503"], ErrorKind::Timeout),
        Judged::Keep(Why::NotAsked)
    );
    assert_eq!(answer(500).by_default(TWICE), Judged::Keep(Why::NotAsked));
    assert_eq!(answer(200).by_default(TWICE), Judged::Keep(Why::NotAsked));
    assert_eq!(answer(409).judged(&on(&["409"]), TWICE), AGAIN);
}

#[test]
fn a_stream_that_was_refused_is_tried_again_whatever_the_method() {
    let error = Error::new(ErrorKind::UpstreamReset, "refused").not_processed();
    assert_eq!(of_error(ONCE, &error), AGAIN);
    assert_eq!(
        judge(&on(&["reset"]), ONCE, &Ended::Failed(&error)),
        Judged::Keep(Why::NotAsked)
    );
}

#[test]
fn an_injected_fault_is_judged_as_its_status() {
    let error = |status| {
        let status = StatusCode::from_u16(status).expect("a status");
        Error::new(ErrorKind::FaultInjected, "as configured").with_status(status)
    };
    assert_eq!(of_error(TWICE, &error(503)), AGAIN);
    assert_eq!(of_error(TWICE, &error(500)), Judged::Keep(Why::NotAsked));
    assert_eq!(of_error(ONCE, &error(503)), Judged::Keep(Why::NotIdempotent));
}

#[test]
fn an_answer_is_asked_for_again_only_if_the_request_is_idempotent() {
    assert_eq!(answer(503).by_default(TWICE), AGAIN);
    assert_eq!(answer(503).by_default(ONCE), Judged::Keep(Why::NotIdempotent));
}

#[test]
fn what_was_tried_beneath_is_not_tried_here() {
    let tried = answer(503).with("x-mesh-attempt", "1");
    assert_eq!(tried.by_default(TWICE), Judged::Keep(Why::TriedBeneath));
    let error = Error::new(ErrorKind::UpstreamConnect, "no connection").with_attempts(3);
    assert_eq!(of_error(TWICE, &error), Judged::Keep(Why::TriedBeneath));
}

#[test]
fn a_refusal_of_another_process_is_judged_by_the_table_and_never_sent_twice_unasked() {
    for (code, status, twice) in [
        ("no_route", 404, Judged::Keep(Why::InVain)),
        ("unauthorized", 403, Judged::Keep(Why::InVain)),
        ("circuit_open", 503, AGAIN),
        ("overloaded", 503, AGAIN),
        ("no_healthy_endpoint", 503, AGAIN),
        ("upstream_connect", 502, AGAIN),
        ("timeout", 504, AGAIN),
        ("a_word_of_tomorrow", 503, AGAIN),
    ] {
        let refused = answer(status).with("x-mesh-error", code);
        let on = on(&["403", "404", "502", "503", "504"]);
        assert_eq!(refused.judged(&on, TWICE), twice, "{code}");
        assert!(matches!(refused.judged(&on, ONCE), Judged::Keep(_)), "{code}");
    }
}

#[test]
fn a_rate_limit_is_waited_out_if_it_says_how_long() {
    let limited = || answer(429).with("x-mesh-error", "rate_limited");
    let on = on(&["429"]);
    assert_eq!(limited().judged(&on, TWICE), Judged::Keep(Why::NotWanted));
    let hint = Hint::NotBefore(Duration::from_secs(1));
    let waiting = Answer { hint, ..limited() };
    assert_eq!(waiting.judged(&on, TWICE), Judged::Again(hint));
    assert_eq!(waiting.by_default(TWICE), Judged::Keep(Why::NotAsked));
    // A limit of this process: nothing was sent.
    let error = Error::new(ErrorKind::RateLimited, "too many").with_retry_after(Duration::from_secs(1));
    assert_eq!(judge(&on, ONCE, &Ended::Failed(&error)), Judged::Again(hint));
    assert_eq!(of_error(ONCE, &error), Judged::Keep(Why::NotAsked));
    // A plain 429 of an application waits as any failure does.
    assert_eq!(answer(429).judged(&on, TWICE), AGAIN);
}

#[test]
fn a_refusal_of_this_process_is_the_same_for_every_try() {
    let refused = |kind: ErrorKind| Answer {
        refusal: Some(kind),
        ..answer(kind.http_status().as_u16())
    };
    assert_eq!(
        refused(ErrorKind::Overloaded).by_default(TWICE),
        Judged::Keep(Why::InVain)
    );
    assert_eq!(
        refused(ErrorKind::CircuitOpen).by_default(TWICE),
        Judged::Keep(Why::InVain)
    );
    assert_eq!(refused(ErrorKind::UpstreamConnect).by_default(ONCE), AGAIN);
    assert_eq!(
        refused(ErrorKind::UpstreamReset).by_default(ONCE),
        Judged::Keep(Why::NotIdempotent)
    );
    assert_eq!(
        refused(ErrorKind::FaultInjected).by_default(ONCE),
        Judged::Keep(Why::NotIdempotent)
    );
}

#[test]
fn a_grpc_call_is_judged_by_its_own_status() {
    let call = |code| Answer {
        grpc: Some(code),
        ..answer(200)
    };
    assert_eq!(call(GrpcCode::UNAVAILABLE).by_default(CALL), AGAIN);
    assert_eq!(call(GrpcCode::DEADLINE_EXCEEDED).by_default(CALL), AGAIN);
    assert_eq!(call(GrpcCode::OK).by_default(CALL), Judged::Keep(Why::NotAsked));
    assert_eq!(
        call(GrpcCode::ABORTED).by_default(CALL),
        Judged::Keep(Why::NotAsked)
    );
    assert_eq!(call(GrpcCode::ABORTED).judged(&on(&["aborted"]), CALL), AGAIN);
    let once = Asked {
        idempotent: false,
        ..CALL
    };
    assert_eq!(
        call(GrpcCode::UNAVAILABLE).by_default(once),
        Judged::Keep(Why::NotIdempotent)
    );
}

#[test]
fn who_asks_not_to_be_asked_again_is_not() {
    let never = Answer {
        hint: Hint::Never,
        grpc: Some(GrpcCode::UNAVAILABLE),
        ..answer(200)
    };
    assert_eq!(never.by_default(CALL), Judged::Keep(Why::NotWanted));
}
