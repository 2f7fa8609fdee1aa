//! Where a request came from, under every kind of trust.

use super::*;

fn client(trust: &Trust, peer: &PeerInfo, chain: &[&str]) -> String {
    let fields: Vec<_> = chain.iter().map(|line| ("x-forwarded-for", *line)).collect();
    trust.client(peer, &headers(&fields)).to_string()
}

#[test]
fn the_client_is_as_many_proxies_away_as_are_trusted() {
    let chain = ["6.6.6.6, 192.0.2.1", "192.0.2.2"];
    for (hops, expected) in [
        (0, "203.0.113.9"),
        (1, "192.0.2.2"),
        (2, "192.0.2.1"),
        (3, "6.6.6.6"),
        (255, "6.6.6.6"),
    ] {
        assert_eq!(
            client(&Trust::hops(hops), &stranger(), &chain),
            expected,
            "{hops}"
        );
    }
    assert_eq!(client(&Trust::hops(2), &stranger(), &[]), "203.0.113.9");
}

#[test]
fn the_client_is_the_first_that_is_no_trusted_proxy() {
    let identity = frontend().identity.expect("it has one");
    let by_identity = Trust::proxies(["192.0.2.0/24".parse().expect("a network")], [identity]);
    for (chain, expected) in [
        (&["6.6.6.6, 198.51.100.1, 192.0.2.1"][..], "198.51.100.1"),
        (&["192.0.2.3, 192.0.2.1"], "192.0.2.3"),
        (&["198.51.100.1"], "198.51.100.1"),
        (&[], "10.0.0.1"),
    ] {
        assert_eq!(client(&by_identity, &frontend(), chain), expected, "{chain:?}");
    }
    // A stranger is not believed, whatever it says.
    assert_eq!(client(&by_identity, &stranger(), &["192.0.2.1"]), "203.0.113.9");
    let by_network = Trust::proxies(["203.0.113.0/24".parse().expect("a network")], []);
    assert_eq!(
        client(&by_network, &stranger(), &["6.6.6.6, 198.51.100.1"]),
        "198.51.100.1"
    );
    assert_eq!(
        client(&by_network, &stranger(), &["6.6.6.6, 203.0.113.1"]),
        "6.6.6.6"
    );
}

#[test]
fn a_chain_is_believed_up_to_what_is_no_address() {
    let trust = Trust::hops(3);
    for (chain, expected) in [
        (&["192.0.2.1, unknown, 192.0.2.2"][..], "192.0.2.2"),
        (&["192.0.2.1", "\u{e9}", "192.0.2.2"], "192.0.2.2"),
        (&["192.0.2.1,,192.0.2.2"], "192.0.2.2"),
        (&["192.0.2.1:4711"], "192.0.2.1"),
        (&["[2001:db8::1]:4711"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["2001:DB8::1"], "2001:db8::1"),
        (&["::ffff:192.0.2.1"], "192.0.2.1"),
        (&["for=192.0.2.1"], "203.0.113.9"),
    ] {
        assert_eq!(client(&trust, &stranger(), chain), expected, "{chain:?}");
    }
}
