use proptest::prelude::*;

use super::*;

fn reason(text: &str) -> String {
    parse(text).expect_err(text).reason()
}

#[test]
fn every_unit_means_what_it_says() {
    for (text, bytes) in [
        ("0", 0),
        ("7", 7),
        ("7B", 7),
        ("1kB", 1_000),
        ("1KB", 1_000),
        ("1KiB", 1_024),
        ("1MB", 1_000_000),
        ("1MiB", 1_048_576),
        ("1GB", 1_000_000_000),
        ("1GiB", 1_073_741_824),
        ("1TB", 1_000_000_000_000),
        ("1TiB", 1_099_511_627_776),
        ("0.5KiB", 512),
    ] {
        assert_eq!(parse(text), Ok(bytes), "{text}");
    }
}

#[test]
fn a_part_of_a_byte_is_refused() {
    assert_eq!(reason("1.5"), "it is not a whole number of bytes");
    assert_eq!(reason("0.0001kB"), "it is not a whole number of bytes");
}

#[test]
fn a_near_unit_is_named() {
    assert_eq!(reason("64k"), "\"k\" is not a unit; did you mean \"KiB\"?");
    assert_eq!(reason("64kb"), "\"kb\" is not a unit; did you mean \"kB\"?");
    assert_eq!(reason("64 MiB"), "\" MiB\" is not a unit; did you mean \"MiB\"?");
    assert_eq!(reason("64PB"), "\"PB\" is not a unit");
}

#[test]
fn the_message_says_what_was_found_and_what_is_expected() {
    assert_eq!(
        parse("-1MB").expect_err("negative").to_string(),
        "\"-1MB\" is not a size: a size cannot be negative; expected bytes, or a number with a unit (KiB, MiB, \
         GiB, TiB; kB, MB, GB, TB), as \"64KiB\" or \"1.5MB\""
    );
}

#[test]
fn more_than_64_bits_hold_is_refused() {
    assert_eq!(parse("18446744073709551615"), Ok(u64::MAX));
    for text in [
        "18446744073709551616",
        "16777216TiB",
        "99999999999999999999999999TB",
    ] {
        assert!(reason(text).starts_with("it is more than"), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(bytes: u64) {
        prop_assert_eq!(parse(&display(bytes).to_string()), Ok(bytes));
    }

    #[test]
    fn no_text_panics(text in "\\PC*|[0-9.]{0,30}[a-zA-Z]{0,3}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().contains("expected"));
        }
    }
}
