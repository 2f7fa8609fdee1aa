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

fn weights(canary: u32) -> Weights {
    Weights::percent([canary, 100 - canary]).expect("they add up")
}

/// The canary has place 0.
fn drawn(pins: &Pins, canary: u32, fields: &[(&str, &str)], random: u128, client: Option<IpAddr>) -> Drawn {
    let request = request(fields);
    let asking = Asking::new(&RequestHead::of(&request), "unknown")
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
    let pins = Pins::default().sticky(true);
    let mut canaries = 0;
    for n in 0..200_u8 {
        let client = Some([10, 0, 0, n].into());
        let first = drawn(&pins, 20, &[], u128::from(n) << 100, client);
        let second = drawn(&pins, 20, &[], 7, client);
        assert_eq!((first.place, first.why), (second.place, Why::Client));
        canaries += usize::from(first.place == 0);
        let value = format!("canary={:032x}", first.value.expect("found in a thousand tries"));
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
    let pins = Pins::default().sticky(true);
    let random = 0xfedc_ba98_7654_3210_0123_4567_89ab_cdef;
    let client = Some([10, 0, 0, 1].into());
    let new = drawn(&pins, 50, &[("cookie", "session=1")], random, client);
    assert_eq!((new.why, new.value), (Why::New, Some(random)));
    let cookie = cookie_of(&pins, random).set_cookie().expect("a value");
    assert_eq!(
        cookie,
        "canary=fedcba98765432100123456789abcdef; Path=/; HttpOnly; SameSite=Lax"
    );
}

#[test]
fn nothing_is_given_where_there_is_no_choice_or_no_cookie_jar() {
    let pins = Pins::default().sticky(true);
    assert_eq!(drawn(&pins, 0, &[], 1, None).value, None);
    assert_eq!(drawn(&pins, 100, &[], 1, None).value, None);
    let grpc = drawn(&pins, 50, &[("content-type", "application/grpc")], 1, None);
    assert_eq!((grpc.why, grpc.value), (Why::New, None));
}

#[test]
fn a_value_that_the_mesh_did_not_write_is_none() {
    for text in [
        "",
        "always",
        "ABCDEF00000000000000000000000000",
        "+0000000000000000000000000000001",
        "0",
    ] {
        assert_eq!(sticky_value(text.as_bytes()), None, "{text}");
    }
    assert_eq!(sticky_value(b"000000000000000000000000000000ff"), Some(255));
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
        let pins = Pins::default().sticky(true);
        let cookie = format!("canary={value:032x}");
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
    for (sticky, fields, expected) in [
        (false, &[][..], Some(Assignment::Drawn)),
        (true, &[("x-canary-user", "true")], Some(Assignment::Asked)),
        (false, &[("cookie", "canary=never")], Some(Assignment::Asked)),
        (true, &[], None),
    ] {
        let drawn = drawn(&Pins::default().sticky(sticky), 30, fields, 7, client);
        match expected {
            Some(expected) => assert_eq!(drawn.assignment, expected, "{fields:?}"),
            None => assert!(matches!(drawn.assignment, Assignment::Kept(_)), "{fields:?}"),
        }
    }
}

proptest! {
    #[test]
    fn a_user_has_one_key_with_or_without_cookies_and_another_has_another(
        random: u128, again: u128, value in 1_u128.., address: [u8; 4],
    ) {
        let pins = Pins::default().sticky(true);
        let (client, other) = (Some(IpAddr::from(address)), Some(IpAddr::from([address[0] ^ 1, 2, 3, 4])));
        let by_address = drawn(&pins, 30, &[], random, client).assignment;
        prop_assert_eq!(drawn(&pins, 60, &[], again, client).assignment, by_address, "it keeps no cookies");
        prop_assert_ne!(drawn(&pins, 30, &[], random, other).assignment, by_address);
        let cookie = format!("canary={value:032x}");
        let by_cookie = drawn(&pins, 30, &[("cookie", &cookie)], random, client).assignment;
        prop_assert_eq!(drawn(&pins, 60, &[("cookie", &cookie)], again, other).assignment, by_cookie);
        // The first answer gave the cookie that comes with the next request.
        let first = drawn(&pins, 30, &[], value, None);
        prop_assert_eq!((first.value, first.assignment), (Some(value), by_cookie));
    }
}
