use super::*;

#[test]
fn durations_are_written_as_the_gateway_api_writes_them() {
    let millis = |text: &str| gep_duration(text).map(|limit| limit.map(|limit| limit.as_millis()));
    for (text, expected) in [
        ("10s", Some(10_000)),
        ("500ms", Some(500)),
        ("1h30m", Some(5_400_000)),
        ("1m1s1ms", Some(61_001)),
        ("0s", None),
        ("0h0m", None),
    ] {
        assert_eq!(millis(text), Ok(expected), "{text}");
    }
    for text in [
        "",
        "10",
        "s",
        "1.5s",
        "-1s",
        "1d",
        "100000s",
        "1s1s1s1s1s",
        " 1s",
        "1S",
    ] {
        assert!(gep_duration(text).is_err(), "{text}");
    }
}

#[test]
fn hosts_are_names_or_all_names_below_one() {
    assert!(matches!(host("*.example.org"), Ok(Host::Below(domain)) if &*domain == "example.org"));
    assert!(matches!(host("API.example.org"), Ok(Host::Exact(name)) if name.as_str() == "api.example.org"));
    for text in ["*", "*.", "a.*.org", "a:80", "http://a"] {
        assert!(host(text).is_err(), "{text}");
    }
}
