//! Paths, by example and by every odd spelling.

use proptest::prelude::*;

use super::*;

#[test]
fn a_path_has_one_canonical_form() {
    for (path, canonical) in [
        ("/x/../deny/s", "/deny/s"),
        ("/x/%2e%2e/deny/s", "/deny/s"),
        ("/x/.%2E/deny/s", "/deny/s"),
        ("//deny/s", "/deny/s"),
        ("/.//./deny/s", "/deny/s"),
        ("/%64eny/s", "/deny/s"),
        ("/../../deny", "/deny"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a/b//", "/a/b/"),
        ("/%7Euser/%2D%5F", "/~user/-_"),
        ("/é", "/%C3%A9"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%20%c3%A9%25%3f%23", "/%20%C3%A9%25%3F%23"),
        ("/a|b{\"c\"}[^]", "/a%7Cb%7B%22c%22%7D%5B%5E%5D"),
        ("/a/%2e%2e%2e", "/a/..."),
        ("//", "/"),
        ("/..", "/"),
    ] {
        assert_eq!(
            canonical_path(path, &EdgePolicy::default())
                .expect(path)
                .as_deref(),
            Some(canonical),
            "{path}"
        );
    }
    for path in [
        "/",
        "/a/",
        "/.well-known/x",
        "/a/..b/c../...",
        "/%20%C3%A9%25%3F%23",
        "/a:b@c!$&'()*+,=~",
        "/%2525",
        // What is reserved and its escape are two paths.
        "/a%3Ab%40c%2B",
    ] {
        assert_eq!(
            canonical_path(path, &EdgePolicy::default()).expect(path),
            None,
            "{path}"
        );
    }
}

#[test]
fn a_path_that_two_would_read_differently_is_refused() {
    for path in [
        "/deny%2fs",
        "/x/..%2fdeny",
        "/x/..%2Fdeny",
        "/x%5c..%5cdeny",
        "/x\\..\\deny",
        "/x/..;/deny",
        "/x/..;a=b/deny",
        "/x/.;/deny",
        "/deny;x/s",
        "/deny%3bx/s",
        "/a%00",
        "/a%",
        "/a%2",
        "/a%g0",
        "/a%%32",
        "/a%2/b",
        "a",
        "",
        "/a b",
        "/a\u{7f}",
        "/a?b",
        "/a#b",
    ] {
        assert!(canonical_path(path, &EdgePolicy::default()).is_err(), "{path}");
    }
}

#[test]
fn what_a_policy_keeps_hides_no_dot_segment() {
    let policy = EdgePolicy {
        keep_encoded_slashes: true,
        keep_path_parameters: true,
        ..EdgePolicy::default()
    };
    for path in [
        "/a%2Fb",
        "/a%5Cb/c",
        "/a;v=1/b;w",
        "/a;/b%2F",
        "/a%3Bb",
        "/a;..b",
        "/..%20;x",
    ] {
        assert_eq!(canonical_path(path, &policy).expect(path), None, "{path}");
    }
    assert_eq!(
        canonical_path("/x/../a%2fb;c", &policy).expect("kept").as_deref(),
        Some("/a%2Fb;c")
    );
    for path in [
        "/x/..%2fdeny",
        "/x%2f..%2fdeny",
        "/x%2F%2e%2E",
        "/x%5C..",
        "/..;x/deny",
        "/.;x",
        "/x;..",
        "/..%3bx",
        "/a%20b%2f../c",
        "/;x/deny",
        "/a/%3bx/deny",
        "/;/deny",
        "/%2Fdeny",
        "/%5cdeny",
    ] {
        assert!(canonical_path(path, &policy).is_err(), "{path}");
    }
}

/// What an application may make of a path: everything decoded, once, and parameters cut.
fn read_leniently(path: &str) -> String {
    let bytes = path.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    let text = String::from_utf8_lossy(&decoded).replace('\\', "/");
    let mut out: Vec<&str> = Vec::new();
    for segment in text
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or(""))
    {
        match segment {
            "" | "." => {}
            ".." => drop(out.pop()),
            segment => out.push(segment),
        }
    }
    format!("/{}", out.join("/"))
}

fn with_upper_escapes(path: &str) -> String {
    let mut digits_left = 0;
    let upper = path.chars().map(|c| {
        let is_digit = digits_left > 0;
        digits_left = if c == '%' {
            2
        } else {
            digits_left - i32::from(is_digit)
        };
        if is_digit { c.to_ascii_uppercase() } else { c }
    });
    upper.collect()
}

fn is_denied(path: &str) -> bool {
    path.strip_prefix("/deny")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Paths of the pieces that confuse readers.
fn odd_paths() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "//", ".", "..", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", ";x=y", "%3b", "deny", "%64eny",
        "den%79", "x", "a", "%41", "%20", "%25", "%252e", "%c3%a9", "{", "|", "%7b", "%00", "%", "%2", "é",
        "~", "%7e", "DENY", "?",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_canonical_path_is_its_own_canonical_form(path in prop_oneof![odd_paths(), "/\\PC{0,30}"], keep: [bool; 2]) {
        let mut policy = EdgePolicy::default();
        [policy.keep_encoded_slashes, policy.keep_path_parameters] = keep;
        if let Ok(canonical) = canonical_path(&path, &policy) {
            let canonical = canonical.unwrap_or(path);
            prop_assert_eq!(canonical_path(&canonical, &policy).expect("canonical"), None, "{}", canonical);
        }
    }

    #[test]
    fn a_canonical_path_has_nothing_left_to_resolve(path in prop_oneof![odd_paths(), "/\\PC{0,30}"]) {
        if let Ok(canonical) = canonical_path(&path, &EdgePolicy::default()) {
            let canonical = canonical.unwrap_or(path);
            prop_assert!(canonical.is_ascii() && canonical.starts_with('/') && !canonical.contains("//"));
            prop_assert!(canonical.split('/').all(|segment| !matches!(segment, "." | "..")), "{}", canonical);
            let lower = canonical.to_ascii_lowercase();
            prop_assert!(["%2f", "%5c", "%00", "%2e", "%3b", ";", "\\"].iter().all(|odd| !lower.contains(odd)), "{}", canonical);
        }
    }

    #[test]
    fn no_spelling_of_a_denied_path_escapes_the_rule(path in odd_paths()) {
        // A target ends its path at the first '?'.
        let path = path.split('?').next().unwrap_or_default();
        if let Ok(canonical) = canonical_path(path, &EdgePolicy::default()) {
            let canonical = canonical.unwrap_or_else(|| path.to_owned());
            prop_assert_eq!(is_denied(&read_leniently(&canonical)), is_denied(&canonical), "{} became {}", path, canonical);
            prop_assert_eq!(is_denied(&read_leniently(path)), is_denied(&canonical), "{} became {}", path, canonical);
        }
    }

    #[test]
    fn the_case_of_escapes_makes_no_other_path(path in odd_paths()) {
        let canonical = |path: &str| {
            canonical_path(path, &EdgePolicy::default()).ok().map(|canonical| canonical.unwrap_or_else(|| path.to_owned()))
        };
        prop_assert_eq!(canonical(&path), canonical(&with_upper_escapes(&path)));
    }

    #[test]
    fn whatever_is_admitted_is_admitted_again_unchanged(path in odd_paths(), host in "[a-zA-Z0-9.:_@-]{0,12}|\\[[0-9a-fA-F:]{2,12}\\](:[0-9]{0,6})?") {
        let target = if path.len() < 40 { path } else { "/".to_owned() };
        let Ok(request) = Request::get(target).header("host", host).body(()) else { return Ok(()) };
        let mut parts = request.into_parts().0;
        let policy = EdgePolicy::default();
        if admit(&mut parts, &policy).is_ok() {
            let mut again = parts.clone();
            prop_assert!(admit(&mut again, &policy).is_ok());
            prop_assert_eq!(again.uri, parts.uri);
            prop_assert_eq!(again.headers, parts.headers);
        }
    }
}
