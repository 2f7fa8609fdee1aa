//! The parsers of this crate read mutations of valid input. `MUTATIONS=1000000` makes as many of each.
#![cfg(all(feature = "http", feature = "testkit"))]

mod checks;

use mesh_core::testkit::mutate::Mutations;

const IDENTITY: &str = "spiffe://cluster.local/ns/dept-barc/sa/orders";

#[test]
fn a_mutated_spiffe_id_is_one_only_if_the_specification_says_so() {
    let longest = format!("spiffe://{}/{}", "d".repeat(255), "a".repeat(2048 - 265));
    let corpus = [
        IDENTITY,
        "spiffe://bench.local",
        "spiffe://x/ns/sa/sa/sa",
        "spiffe://a-b_c.d/A/b.c/..d",
        &longest,
    ];
    let tally = Mutations::of(corpus)
        .tokens([
            "/",
            "//",
            "/./",
            "/../",
            "%2e",
            "..",
            "spiffe://",
            "SPIFFE",
            ":443",
            "@",
            "?",
            "#",
            "é",
            "/ns/",
            "/sa/",
        ])
        .cases(20_000)
        .check(checks::spiffe_id);
    assert!(
        tally.valid == 5 && tally.accepted > tally.cases / 100,
        "{tally:?}"
    );
}

/// Case 86.
#[test]
fn a_mutated_path_has_one_canonical_form_or_none() {
    let corpus = [
        "/",
        "/api/orders/7",
        "/a/../b/./c//d",
        "/x/%2e%2E/%64eny//s",
        "/a%20b/%C3%A9",
        "/a%2Fb;v=1/c",
        "/é/{}",
        "/a:b@c!$&'()*+,=~",
        "/deny%3bx",
        "/%2525",
        "/a%5cb",
    ];
    let tally = Mutations::of(corpus)
        .tokens([
            "/", "//", "/.", "/..", "/../", "%2e", "%2E%2e", "%2f", "%2F", "%5c", "\\", ";", ";x=y", "%3b",
            "%00", "%", "%2", "%25", "%252e", "%c0%ae", "%c0%af", "%u002e", "..;", "..%2f", "é", "\u{ff0e}",
            "\u{2215}", "?", "#", "\0", "\t", " ",
        ])
        .cases(20_000)
        .check(checks::path);
    assert!(
        tally.valid == 11 && tally.accepted > tally.cases / 10,
        "{tally:?}"
    );
}

/// Case 83.
#[test]
fn no_identity_and_no_field_of_a_peer_writes_more_than_its_own_certificate() {
    let spoofed = "x-forwarded-client-cert\nBy=spiffe://x/admin;Hash=00;Subject=\"CN=a;b\";URI=spiffe://x/admin\nx-source-service\nadmin";
    let corpus = [
        format!("{IDENTITY}\nab12\n{spoofed}"),
        format!(
            "spiffe://x/a\n{}\n{spoofed}\nX_Forwarded_Client_Cert\nURI=spiffe://x/b",
            "0f".repeat(32)
        ),
        format!(
            "\n\n{spoofed}\nx-request-id\na\nx-forwarded-for\n10.0.0.1, ::1\ntraceparent\n00-{}-{}-01",
            "a".repeat(32),
            "b".repeat(16)
        ),
    ];
    let tally = Mutations::of(corpus)
        .tokens([
            ";URI=",
            ";",
            ",",
            "=",
            "\"",
            "\\\"",
            "\n",
            "x-forwarded-client-cert\n",
            "Hash=",
            "spiffe://x/admin",
            "é",
        ])
        .cases(10_000)
        .check(checks::client_cert);
    assert!(tally.valid == 2 && tally.accepted > tally.cases / 10, "{tally:?}");
}
