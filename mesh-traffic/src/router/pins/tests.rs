use http::Request;
use mesh_core::RequestHead;
use proptest::prelude::*;

use super::*;

fn request(fields: &[(&str, &str)]) -> Request<()> {
    let builder = fields
        .iter()
        .fold(Request::get("/"), |b, (name, value)| b.header(*name, *value));
    builder.body(()).expect("a request")
}

fn cookie_key() -> CookieKey {
    CookieKey::new([7; CookieKey::LENGTH])
}

fn sticky() -> Pins {
    Pins::default().sticky(cookie_key())
}

/// A cookie as the mesh gives it.
fn given(value: u128) -> String {
    format!("canary={}", cookie_key().sign(value))
}

fn weights(canary: u32) -> Weights {
    Weights::percent([canary, 100 - canary]).expect("they add up")
}

/// The canary has place 0.
fn drawn(pins: &Pins, canary: u32, fields: &[(&str, &str)], random: u128, client: Option<IpAddr>) -> Drawn {
    drawn_for(NOBODY, pins, canary, fields, random, client)
}

/// The same, if the caller has proven to be this service.
fn drawn_for(
    source: &str,
    pins: &Pins,
    canary: u32,
    fields: &[(&str, &str)],
    random: u128,
    client: Option<IpAddr>,
) -> Drawn {
    let request = request(fields);
    let asking = Asking::new(&RequestHead::of(&request), source)
        .with_random(random)
        .with_client(client);
    let pinned = Pinned {
        stable: 1,
        canary: Some(0),
        salt: salt("orders/v2"),
        pins,
    };
    Drawing {
        weights: &weights(canary),
        pinned: Some(pinned),
    }
    .draw(&asking)
}

#[test]
fn a_header_counts_before_a_cookie_and_both_before_the_shares() {
    let pins = Pins::default();
    for (fields, expected) in [
        (&[("x-canary-user", "true")][..], Some((0, Why::Header))),
        (&[("x-canary-user", "false")], Some((1, Why::Header))),
        (
            &[("x-canary-user", "false"), ("cookie", "canary=always")],
            Some((1, Why::Header)),
        ),
        (&[("cookie", "a=b; canary=always")], Some((0, Why::Cookie))),
        (&[("cookie", "canary=never")], Some((1, Why::Cookie))),
        (&[("x-canary-user", "yes"), ("cookie", "canary=maybe")], None),
        (&[("cookie", "Canary=always")], None),
        (&[], None),
    ] {
        for canary in [0, 30, 100] {
            let drawn = drawn(&pins, canary, fields, 0, None);
            match expected {
                Some((place, why)) => assert_eq!((drawn.place, drawn.why), (place, why), "{fields:?}"),
                None => assert!(matches!(drawn.why, Why::Drawn | Why::Only), "{fields:?}"),
            }
            assert_eq!(drawn.value, None);
        }
    }
}

#[test]
fn names_can_be_chosen() {
    let pins = Pins::new(HeaderName::from_static("x-beta"), "beta").expect("names");
    assert_eq!(drawn(&pins, 0, &[("x-beta", "true")], 0, None).place, 0);
    assert_eq!(drawn(&pins, 0, &[("cookie", "beta=always")], 0, None).place, 0);
    assert_eq!(drawn(&pins, 0, &[("x-canary-user", "true")], 0, None).place, 1);
    assert!(Pins::new(HeaderName::from_static("x-beta"), "a b").is_err());
}

#[test]
fn a_client_without_cookies_is_told_by_its_address_and_offered_a_value_that_leads_there() {
    let pins = sticky();
    let mut canaries = 0;
    for n in 0..200_u8 {
        let client = Some([10, 0, 0, n].into());
        let first = drawn(&pins, 20, &[], u128::from(n) << 100, client);
        let second = drawn(&pins, 20, &[], 7, client);
        assert_eq!((first.place, first.why), (second.place, Why::Client));
        canaries += usize::from(first.place == 0);
        let value = given(first.value.expect("found in a thousand tries"));
        let back = drawn(&pins, 20, &[("cookie", &value)], 9, client);
        assert_eq!(
            (back.place, back.why, back.value),
            (first.place, Why::Sticky, None)
        );
    }
    assert!((20..=60).contains(&canaries), "{canaries} of 200 for 20 %");
}

#[test]
fn a_client_that_sends_other_cookies_is_given_a_random_value() {
    let pins = sticky();
    let random = 0xfedc_ba98_7654_3210_0123_4567_89ab_cdef;
    let client = Some([10, 0, 0, 1].into());
    let new = drawn(&pins, 50, &[("cookie", "session=1")], random, client);
    assert_eq!((new.why, new.value), (Why::New, Some(random)));
    let cookie = cookie_of(&pins, random)
        .and_then(|cookie| cookie.set_cookie())
        .expect("a value");
    assert_eq!(
        cookie,
        format!("{}; Path=/; HttpOnly; SameSite=Lax", given(random))
    );
}

#[test]
fn nothing_is_given_where_there_is_no_choice_or_no_cookie_jar() {
    let pins = sticky();
    assert_eq!(drawn(&pins, 0, &[], 1, None).value, None);
    assert_eq!(drawn(&pins, 100, &[], 1, None).value, None);
    let grpc = drawn(&pins, 50, &[("content-type", "application/grpc")], 1, None);
    assert_eq!((grpc.why, grpc.value), (Why::New, None));
}

#[test]
fn two_rollouts_begin_with_different_clients() {
    let first_tenth = |name: &str| {
        let salt = salt(name);
        (0..10_000_u128).filter(move |value| weights(10).choose(point(&value.to_be_bytes(), salt)) == 0)
    };
    let both = first_tenth("orders/v2")
        .filter(|value| first_tenth("orders/v3").any(|other| other == *value))
        .count();
    // A tenth of a tenth, give or take six standard deviations.
    assert!((40..160).contains(&both), "{both}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_larger_share_moves_nobody_back(value: u128, client: u32, mut shares in proptest::collection::vec(0..=100_u32, 2..8)) {
        shares.sort_unstable();
        let pins = sticky();
        let cookie = given(value);
        let places = |fields: &[(&str, &str)], client| {
            shares.iter().map(|share| drawn(&pins, *share, fields, 0, client).place).collect::<Vec<_>>()
        };
        let by_cookie = places(&[("cookie", &cookie)], None);
        let by_address = places(&[], Some(IpAddr::from(client.to_be_bytes())));
        for places in [by_cookie, by_address] {
            prop_assert!(places.windows(2).all(|pair| pair[0] >= pair[1]), "{places:?} for {shares:?}");
        }
    }
}

/// Six standard deviations of a binomial: a right split fails once in five hundred million times.
fn is_fair(count: u32, draws: u32, share: f64) -> bool {
    let deviation = (f64::from(draws) * share * (1.0 - share)).sqrt();
    (f64::from(count) - f64::from(draws) * share).abs() <= 6.0 * deviation
}

#[test]
fn a_million_requests_and_a_million_clients_are_split_by_the_shares() {
    const DRAWS: u32 = 1_000_000;
    let salt = salt("orders/v2");
    for canary in [1, 5, 10, 50] {
        let weights = weights(canary);
        let drawing = Drawing {
            weights: &weights,
            pinned: None,
        };
        let request = request(&[]);
        let asking = Asking::new(&RequestHead::of(&request), "unknown");
        let mut random = fastrand::Rng::with_seed(u64::from(canary));
        let (mut drawn, mut stuck) = (0, 0);
        for _ in 0..DRAWS {
            let value = random.u128(..);
            drawn += u32::from(drawing.draw(&asking.with_random(value)).place == 0);
            stuck += u32::from(weights.choose(point(&value.to_be_bytes(), salt)) == 0);
        }
        let share = f64::from(canary) / 100.0;
        assert!(is_fair(drawn, DRAWS, share), "{drawn} for {canary} %");
        assert!(is_fair(stuck, DRAWS, share), "{stuck} for {canary} %");
    }
}

#[test]
fn what_was_asked_for_is_told_from_what_was_drawn() {
    let client = Some(IpAddr::from([203, 0, 113, 7]));
    for (stays, fields, expected) in [
        (false, &[][..], Some(Assignment::Drawn)),
        (true, &[("x-canary-user", "true")], Some(Assignment::Asked)),
        (false, &[("cookie", "canary=never")], Some(Assignment::Asked)),
        (true, &[], None),
    ] {
        let pins = if stays { sticky() } else { Pins::default() };
        let drawn = drawn(&pins, 30, fields, 7, client);
        match expected {
            Some(expected) => assert_eq!(drawn.assignment, expected, "{fields:?}"),
            None => assert!(matches!(drawn.assignment, Assignment::Kept(_)), "{fields:?}"),
        }
    }
}

proptest! {
    #[test]
    fn a_stranger_is_one_user_with_all_the_cookies_that_come_from_its_address(
        random: u128, again: u128, values: [u128; 2], address: [u8; 4],
    ) {
        let pins = sticky();
        let (client, other) = (Some(IpAddr::from(address)), Some(IpAddr::from([address[0] ^ 1, 2, 3, 4])));
        let by_address = drawn(&pins, 30, &[], random, client).assignment;
        prop_assert!(matches!(by_address, Assignment::Kept(_)));
        prop_assert_eq!(drawn(&pins, 60, &[], again, client).assignment, by_address, "it keeps no cookies");
        prop_assert_ne!(drawn(&pins, 30, &[], random, other).assignment, by_address);
        for value in values {
            let given = given(value);
            for cookie in [given.as_str(), "session=1", "canary=forged"] {
                let with_cookie = |client| drawn(&pins, 30, &[("cookie", cookie)], again, client).assignment;
                prop_assert_eq!(with_cookie(client), by_address, "{}", cookie);
                prop_assert_ne!(with_cookie(other), by_address, "{}", cookie);
            }
        }
    }

    #[test]
    fn users_behind_a_proven_caller_or_of_no_address_are_told_by_their_cookies(
        value in 1_u128.., again: u128, address: [u8; 4],
    ) {
        let (pins, client) = (sticky(), Some(IpAddr::from(address)));
        let cookie = given(value);
        let fields = [("cookie", cookie.as_str())];
        let by_cookie = drawn(&pins, 30, &fields, again, None).assignment;
        prop_assert_eq!(drawn_for("gateway", &pins, 60, &fields, again, client).assignment, by_cookie);
        prop_assert_ne!(drawn(&pins, 60, &fields, again, client).assignment, by_cookie);
        let other = given(value - 1);
        let other = drawn_for("gateway", &pins, 60, &[("cookie", &other)], again, client).assignment;
        prop_assert_ne!(other, by_cookie);
        // The first answer gave the cookie that comes with the next request.
        let first = drawn(&pins, 30, &[], value, None);
        prop_assert_eq!((first.value, first.assignment), (Some(value), by_cookie));
    }

    #[test]
    fn whoever_has_a_network_of_ipv6_has_one_version_and_is_one_user(network: u64, hosts: [u64; 2], random: u128) {
        let pins = sticky();
        let at = |host: u64| Some(IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host))));
        let [one, other] = hosts.map(|host| drawn(&pins, 50, &[], random, at(host)));
        prop_assert_eq!((one.place, one.assignment), (other.place, other.assignment));
    }

    #[test]
    fn a_value_that_the_mesh_did_not_sign_chooses_nothing(forged: [u128; 2], random: u128) {
        let pins = sticky();
        let other_key = CookieKey::new([8; CookieKey::LENGTH]);
        let fresh = drawn(&pins, 50, &[("cookie", "session=1")], random, None);
        for text in [
            format!("canary={:032x}{:032x}", forged[0], forged[1]),
            format!("canary={:032x}", forged[0]),
            format!("canary={}", other_key.sign(forged[0])),
        ] {
            let drawn = drawn(&pins, 50, &[("cookie", &text)], random, None);
            prop_assert_eq!((drawn.place, drawn.why, drawn.value), (fresh.place, Why::New, Some(random)));
        }
    }
}
