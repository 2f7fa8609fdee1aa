use super::*;

/// Code, HTTP, gRPC, sent, retry safe, against the endpoint, canary.
type Row = (
    ErrorKind,
    &'static str,
    u16,
    u8,
    Sent,
    RetrySafe,
    bool,
    CanaryError,
);

/// The contract's table, one row a kind.
const TABLE: [Row; 11] = {
    use CanaryError as C;
    use ErrorKind as K;
    use RetrySafe as R;
    [
        (
            K::BadRequest,
            "bad_request",
            400,
            13,
            Sent::No,
            R::No,
            false,
            C::No,
        ),
        (
            K::Unauthorized,
            "unauthorized",
            403,
            7,
            Sent::No,
            R::No,
            false,
            C::No,
        ),
        (K::NoRoute, "no_route", 404, 12, Sent::No, R::No, false, C::No),
        (
            K::RateLimited,
            "rate_limited",
            429,
            8,
            Sent::No,
            R::Later,
            false,
            C::No,
        ),
        (
            K::FaultInjected,
            "fault_injected",
            503,
            14,
            Sent::No,
            R::AsItsStatus,
            false,
            C::No,
        ),
        (
            K::CircuitOpen,
            "circuit_open",
            503,
            14,
            Sent::No,
            R::Elsewhere,
            false,
            C::IfMeantForCanary,
        ),
        (
            K::NoHealthyEndpoint,
            "no_healthy_endpoint",
            503,
            14,
            Sent::No,
            R::Elsewhere,
            false,
            C::IfMeantForCanary,
        ),
        (
            K::Overloaded,
            "overloaded",
            503,
            14,
            Sent::No,
            R::Elsewhere,
            false,
            C::No,
        ),
        (
            K::UpstreamConnect,
            "upstream_connect",
            502,
            14,
            Sent::No,
            R::Yes,
            true,
            C::Yes,
        ),
        (
            K::UpstreamReset,
            "upstream_reset",
            502,
            14,
            Sent::Maybe,
            R::Idempotent,
            true,
            C::Yes,
        ),
        (
            K::Timeout,
            "timeout",
            504,
            4,
            Sent::Maybe,
            R::Idempotent,
            true,
            C::Yes,
        ),
    ]
};

#[derive(Debug)]
struct Outer(BoxError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_ref())
    }
}

#[test]
fn every_kind_means_what_the_contract_says() {
    assert_eq!(TABLE.map(|row| row.0), ErrorKind::ALL);
    for (kind, code, http, grpc, sent, retry, against_endpoint, canary) in TABLE {
        assert_eq!(kind.code(), code);
        assert_eq!(kind.to_string(), code);
        assert_eq!(kind.http_status(), http, "{code}");
        assert_eq!(kind.grpc_code().number(), grpc, "{code}");
        assert_eq!(kind.sent_upstream(), sent, "{code}");
        assert_eq!(kind.retry_safe(), retry, "{code}");
        assert_eq!(kind.counts_against_endpoint(), against_endpoint, "{code}");
        assert_eq!(kind.canary_error(), canary, "{code}");
    }
}

#[test]
fn an_error_shows_its_kind_its_sentence_and_its_cause() {
    let error = Error::new(ErrorKind::Timeout, "no answer in 15s").with_source(std::fmt::Error);
    assert_eq!(error.to_string(), "timeout: no answer in 15s");
    assert_eq!(error.message(), "no answer in 15s");
    assert!(
        error
            .source()
            .is_some_and(|source| source.is::<std::fmt::Error>())
    );
    assert_eq!(
        format!("{error:?}"),
        "Error { kind: Timeout, message: \"no answer in 15s\", source: Error }"
    );
}

#[test]
fn an_injected_fault_answers_as_configured() {
    let plain = Error::new(ErrorKind::FaultInjected, "a fault");
    assert_eq!(
        (plain.http_status(), plain.grpc_code()),
        (StatusCode::SERVICE_UNAVAILABLE, GrpcCode::UNAVAILABLE)
    );
    let configured = plain.with_status(StatusCode::UNAUTHORIZED);
    assert_eq!(configured.http_status(), StatusCode::UNAUTHORIZED);
    assert_eq!(configured.grpc_code(), GrpcCode::UNAUTHENTICATED);
}

#[test]
fn another_status_does_not_change_the_grpc_code_of_a_refusal() {
    let error = Error::new(ErrorKind::BadRequest, "the head is over 64KiB")
        .with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(error.http_status(), 431);
    assert_eq!(error.grpc_code(), GrpcCode::INTERNAL);
}

#[test]
fn a_boxed_mesh_error_comes_back_as_it_was() {
    let boxed: BoxError = Error::new(ErrorKind::RateLimited, "over 100 a second").into();
    let error = Error::wrap(boxed);
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.source().is_none());
}

#[test]
fn a_mesh_error_deep_beneath_lends_its_kind() {
    let deep =
        Error::new(ErrorKind::Timeout, "the body took too long").with_status(StatusCode::REQUEST_TIMEOUT);
    let error = Error::wrap(Outer(Outer(deep.into()).into()));
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.message(), "the body took too long");
    assert_eq!(error.http_status(), StatusCode::REQUEST_TIMEOUT);
    assert!(
        error.source().is_some_and(|source| source.is::<Outer>()),
        "nothing of the chain is lost"
    );
}

#[test]
fn any_other_error_is_a_reset() {
    let error = Error::wrap(Outer("inner".into()));
    assert_eq!(error.kind(), ErrorKind::UpstreamReset);
    assert_eq!(error.to_string(), "upstream_reset: outer");
    assert!(error.source().is_some());
}

#[test]
fn an_error_is_one_pointer_and_crosses_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Error>();
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn what_an_endpoint_did_not_process_was_not_sent_whatever_the_kind() {
    for kind in ErrorKind::ALL {
        let error = Error::new(kind, "refused");
        assert_eq!(error.sent_upstream(), kind.sent_upstream());
        assert_eq!(error.not_processed().sent_upstream(), Sent::No);
    }
}

#[test]
fn what_is_known_of_an_error_survives_being_the_cause_of_another() {
    #[derive(Debug)]
    struct Outer(Error);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }
    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }
    let inner = Error::new(ErrorKind::Timeout, "too late")
        .with_attempts(3)
        .not_processed();
    let error = Error::wrap(Outer(inner));
    assert_eq!(
        (
            error.kind(),
            error.message(),
            error.attempts(),
            error.sent_upstream()
        ),
        (ErrorKind::Timeout, "too late", Some(3), Sent::No)
    );
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("outer"));
}
