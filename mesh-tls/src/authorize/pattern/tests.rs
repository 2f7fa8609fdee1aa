use proptest::prelude::*;

use super::*;

fn identity(text: &str) -> IdentityPattern {
    text.parse().expect(text)
}

fn path(text: &str) -> PathPattern {
    text.parse().expect(text)
}

fn id(text: &str) -> SpiffeId {
    text.parse().expect(text)
}

fn reason(error: Result<impl fmt::Debug, PatternError>) -> String {
    error.expect_err("it is no pattern").reason().to_owned()
}

#[test]
fn a_star_is_one_whole_segment_of_an_identity() {
    let any_namespace = identity("spiffe://mesh/ns/*/sa/frontend");
    assert!(any_namespace.matches(&id("spiffe://mesh/ns/shop/sa/frontend")));
    for other in [
        "spiffe://mesh/ns/shop/sa/frontend2",
        "spiffe://mesh/ns/shop/sa/frontend/x",
        "spiffe://mesh/ns/a/b/sa/frontend",
        "spiffe://mesh/ns/sa/frontend",
        "spiffe://other/ns/shop/sa/frontend",
        "spiffe://mesh/NS/shop/sa/frontend",
    ] {
        assert!(!any_namespace.matches(&id(other)), "{other}");
    }
}

#[test]
fn two_stars_at_the_end_are_any_number_of_segments() {
    let shop = identity("spiffe://mesh/ns/shop/**");
    for (text, meant) in [
        ("spiffe://mesh/ns/shop", true),
        ("spiffe://mesh/ns/shop/sa/a", true),
        ("spiffe://mesh/ns/shop/x/y/z", true),
        ("spiffe://mesh/ns/shop2/sa/a", false),
        ("spiffe://mesh.evil/ns/shop/sa/a", false),
    ] {
        assert_eq!(shop.matches(&id(text)), meant, "{text}");
    }
    assert!(identity("spiffe://mesh/**").matches(&id("spiffe://mesh")));
}

#[test]
fn no_pattern_means_several_trust_domains_or_parts_of_segments() {
    for (text, why) in [
        ("spiffe://*/ns/a/sa/b", "the trust domain has to be written out"),
        ("spiffe://*", "the trust domain has to be written out"),
        (
            "spiffe://*.mesh/ns/a/sa/b",
            "the trust domain has to be written out",
        ),
        ("spiffe://me*sh/ns/a/sa/b", "\"*\" stands for a whole segment"),
        ("spiffe://mesh/ns/a/sa/front*", "\"*\" stands for a whole segment"),
        ("spiffe://mesh/**/sa/b", "only at the end"),
        ("spiffe://mesh/**/**", "only at the end"),
        ("spiffe://mesh/ns/../sa/b", "a path segment is empty, '.' or '..'"),
        ("spiffe://mesh/ns//sa/b", "a path segment is empty, '.' or '..'"),
        ("spiffe://mesh/ns/a b", "a path segment is empty, '.' or '..'"),
        ("spiffe://Mesh/ns/a", "the trust domain is not"),
        ("https://mesh/ns/a", "does not begin with spiffe://"),
        ("frontend", "does not begin with spiffe://"),
        ("", "does not begin with spiffe://"),
        ("/**", "does not begin with spiffe://"),
        ("spiffe:///**", "the trust domain is not"),
    ] {
        let found = reason(text.parse::<IdentityPattern>());
        assert!(found.contains(why), "{text}: {found}");
    }
}

#[test]
fn a_star_is_one_whole_segment_of_a_path_and_none_that_is_empty() {
    let item = path("/orders/*/items");
    assert!(item.matches("/orders/7/items"));
    for other in [
        "/orders//items",
        "/orders/items",
        "/orders/7/8/items",
        "/orders/7/items/",
        "/x/orders/7/items",
    ] {
        assert!(!item.matches(other), "{other}");
    }
    assert!(!path("/a/*").matches("/a/") && !path("/*").matches("/"));
    assert!(path("/").matches("/") && !path("/").matches("/a"));
}

#[test]
fn the_rest_of_a_path_may_be_nothing() {
    let api = path("/api/**");
    assert!(api.matches("/api") && api.matches("/api/") && api.matches("/api/a/b/c"));
    assert!(!api.matches("/apis") && !api.matches("/") && !api.matches(""));
    let all = path("/**");
    assert!(all.matches("/") && all.matches("/a/b"));
    assert!(!all.matches("*") && !all.matches(""), "those are no paths");
}

#[test]
fn what_no_request_has_is_no_pattern_of_a_path() {
    for (text, why) in [
        ("", "does not begin"),
        ("api", "does not begin"),
        ("*", "does not begin"),
        ("/a/../b", "write \"/b\""),
        ("/a//b", "write \"/a/b\""),
        ("/%61pi", "write \"/api\""),
        ("/a%2fb", "encoded slash"),
        ("/a;v=1", "';'"),
        ("/a\\b", "backslash"),
        ("/a?b=c", "'?'"),
        ("/a#b", "'#'"),
        ("/a b", "a control byte or a space"),
        ("/ü", "write \"/%C3%BC\""),
        ("/a%zz", "two hexadecimal digits"),
        ("/a*", "a whole segment"),
        ("/**/a", "only at the end"),
        ("/***", "a whole segment"),
    ] {
        let found = reason(text.parse::<PathPattern>());
        assert!(found.contains(why), "{text}: {found}");
    }
    let deep = "/a".repeat(MOST_SEGMENTS + 1);
    assert!(reason(deep.parse::<PathPattern>()).contains("more than 64 segments"));
    assert!("/a".repeat(MOST_SEGMENTS - 1).parse::<PathPattern>().is_ok());
}

#[test]
fn an_error_shows_only_the_beginning_of_what_was_found() {
    let error = "x".repeat(10_000).parse::<PathPattern>().expect_err("no path");
    assert!(error.to_string().len() < 400, "{error}");
}

proptest! {
    #[test]
    fn no_text_panics_and_a_pattern_is_shown_as_it_was_written(
        text in "\\PC{0,20}|(spiffe:/)?(/(\\*{1,2}|[a-zA-Z%2eF.;]{0,4})){0,5}",
    ) {
        if let Ok(pattern) = text.parse::<IdentityPattern>() {
            prop_assert_eq!(pattern.to_string(), &*text);
        }
        if let Ok(pattern) = text.parse::<PathPattern>() {
            prop_assert_eq!(pattern.to_string(), &*text);
        }
    }

    #[test]
    fn what_is_written_out_means_itself_and_nothing_else(
        one in "spiffe://mesh(/[a-c]{1,2}){1,4}",
        other in "spiffe://mesh(/[a-c]{1,2}){1,4}",
    ) {
        prop_assert_eq!(identity(&one).matches(&id(&other)), one == other);
    }
}
