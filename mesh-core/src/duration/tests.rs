use proptest::prelude::*;

use super::*;

fn reason(text: &str) -> String {
    parse(text).expect_err(text).reason()
}

#[test]
fn every_unit_means_what_it_says() {
    for (text, nanos) in [
        ("1us", 1_000),
        ("1ms", 1_000_000),
        ("1s", 1_000_000_000),
        ("1m", 60_000_000_000),
        ("1h", 3_600_000_000_000),
        ("1d", 86_400_000_000_000),
    ] {
        assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
    }
}

#[test]
fn fractions_are_exact() {
    assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
    assert_eq!(parse("0.1s"), Ok(Duration::from_millis(100)));
    assert_eq!(parse("0.001us"), Ok(Duration::from_nanos(1)));
    assert_eq!(parse("2.500000000000s"), Ok(Duration::from_millis(2500)));
    assert_eq!(reason("0.0001us"), "it is finer than a nanosecond");
    assert_eq!(
        reason("0.10000000000000000000000001s"),
        "it is finer than a nanosecond"
    );
}

#[test]
fn parts_go_from_the_longest_unit_to_the_shortest() {
    assert_eq!(
        parse("1d2h3m4s5ms6us"),
        Ok(Duration::new(86_400 + 7_200 + 180 + 4, 5_006_000))
    );
    assert_eq!(parse("1m0.5s"), Ok(Duration::from_millis(60_500)));
    assert!(reason("1s1m").contains("longest to the shortest"));
    assert!(reason("1s1s").contains("each once"));
    assert_eq!(reason("1.5m1s"), "only its last number may have a fraction");
}

#[test]
fn only_zero_needs_no_unit() {
    assert_eq!(parse("0"), Ok(Duration::ZERO));
    assert_eq!(parse("0.0"), Ok(Duration::ZERO));
    assert_eq!(reason("5"), "a unit is missing");
    assert_eq!(reason("1m0"), "a unit is missing");
}

#[test]
fn a_near_unit_is_named() {
    for (text, near) in [
        ("5min", "\"m\""),
        ("5 minutes", "\"m\""),
        ("5S", "\"s\""),
        ("5secs", "\"s\""),
        ("5µs", "\"us\""),
        ("5days", "\"d\""),
        ("5 ms", "\"ms\""),
    ] {
        assert!(
            reason(text).ends_with(&format!("did you mean {near}?")),
            "{text}: {}",
            reason(text)
        );
    }
    assert_eq!(reason("5w"), "\"w\" is not a unit");
}

#[test]
fn what_is_no_duration_is_refused_with_its_reason() {
    for text in ["", "s", ".5s", "5.s", "1..5s", "+1s", " 1s", "1e3s", "∞"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    assert_eq!(reason("-1s"), "a duration cannot be negative");
    assert_eq!(
        parse("5").expect_err("no unit").to_string(),
        "\"5\" is not a duration: a unit is missing; expected a number with a unit (us, ms, s, m, h, d), as \
         \"250ms\", \"1.5s\", \"1h30m\" or \"7d\""
    );
}

#[test]
fn what_is_longer_than_the_limit_is_refused() {
    assert_eq!(parse("36500d"), Ok(MAX));
    for text in [
        "36500d1us",
        "36501d",
        "18446744073709551615s",
        "99999999999999999999999d",
    ] {
        assert_eq!(reason(text), "it is longer than 36500d", "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(nanos in 0..=3_153_600_000_000_000_000_u64) {
        let duration = Duration::from_nanos(nanos);
        prop_assert_eq!(parse(&display(duration).to_string()), Ok(duration));
    }

    #[test]
    fn whole_units_are_printed_short(seconds in 0..10_000_000_u64) {
        let text = display(Duration::from_secs(seconds)).to_string();
        prop_assert!(!text.contains('.') && !text.ends_with("ms") && !text.ends_with("us"), "{}", text);
    }

    #[test]
    fn no_text_panics(text in "\\PC*|[0-9.]{0,30}[a-zµ]{0,3}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().contains("expected"));
        }
    }
}
