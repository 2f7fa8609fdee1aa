//! Shares of versions, explained and changed under way.

use mesh_core::TrafficSplit;

use super::*;
use crate::router::{CookieKey, LiveSplit, Pins};

fn sticky_pins() -> Pins {
    Pins::default().sticky(CookieKey::new([7; CookieKey::LENGTH]))
}

/// Tables whose rules and services have shares, versions and pins.
fn shared_table() -> impl Strategy<Value = (RouteTable, LiveSplit)> {
    let rule_of = (select(PATHS.to_vec()), 0..=100_u32, any::<bool>());
    let rules = proptest::collection::vec(rule_of, 0..6);
    (rules, any::<bool>(), 0..=100_u8).prop_map(|(rules, sticky, share)| {
        let version = |text: &str| mesh_core::Version::new(text).expect("a version");
        let name = ServiceName::new("a").expect("a name");
        let split = LiveSplit::new(name.clone(), Some(version("v1")), [version("v2")]);
        let weights = mesh_core::Weights::two(name.clone(), (version("v1"), version("v2")), share);
        split
            .set_weights(&weights.expect("in range"))
            .expect("known versions");
        let shared = service("a")
            .with_hosts(["a".parse().expect("a host")])
            .with_split(split.clone())
            .with_pins(if sticky { sticky_pins() } else { Pins::default() });
        let rules = rules
            .into_iter()
            .enumerate()
            .map(|(place, (path, share, named))| {
                let action = match named {
                    true => Split::new([("v1", 100 - share), ("v2", share)].map(|(text, weight)| {
                        Destination::new(name.clone(), weight).with_version(Some(version(text)))
                    })),
                    false => Split::new([Destination::new(name.clone(), 100)]),
                };
                let below = Condition::new(Subject::Path, Operator::Prefix, [path]).expect("a condition");
                rule(
                    &format!("rule-{place}"),
                    RuleAction::Split(action.expect("they add up")),
                )
                .with_condition(below)
            });
        (RouteTable::new("ns", [shared], rules).expect("a table"), split)
    })
}

fn pinned_request() -> impl Strategy<Value = http::Request<()>> {
    let cookies = [
        "",
        "canary=always",
        "canary=never",
        "session=1",
        "canary=0123456789abcdef0123456789abcdef7686bf47b48dfc376fbe0840b7b951f3",
    ];
    let pins = ["", "true", "false", "maybe"];
    (
        select(PATHS.to_vec()),
        select(HOSTS.to_vec()),
        select(cookies.to_vec()),
        select(pins.to_vec()),
    )
        .prop_map(|(path, host, cookie, pin)| {
            let fields = [("host", host), ("cookie", cookie), ("x-canary-user", pin)];
            let written = fields.into_iter().filter(|(_, value)| !value.is_empty());
            let builder = written.fold(http::Request::get(path), |b, (name, value)| b.header(name, value));
            builder.body(()).expect("a request")
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn shares_are_explained_as_they_are_taken(
        (table, _) in shared_table(),
        requests in proptest::collection::vec((pinned_request(), any::<u128>(), any::<Option<u32>>()), 1..16),
    ) {
        for (request, random, client) in &requests {
            let head = RequestHead::of(request);
            let client = client.map(|address| address.to_be_bytes().into());
            let asking = Asking::new(&head, "unknown").with_random(*random).with_client(client);
            check_explanation(&table, &View::new(&head, "unknown"), &asking)?;
        }
    }

    #[test]
    fn whoever_a_rollout_has_moved_stays_moved(
        (table, split) in shared_table(),
        request in pinned_request(),
        client: u32,
        mut shares in proptest::collection::vec(0..=100_u8, 2..6),
    ) {
        shares.sort_unstable();
        let version = |text: &str| mesh_core::Version::new(text).expect("a version");
        let head = RequestHead::of(&request);
        // The table stays: only the shares change. Rules and requests of their own are drawn at random.
        let asking = Asking::new(&head, "unknown").with_client(Some(client.to_be_bytes().into())).with_random(7);
        let mut moved = false;
        for share in shares {
            let weights = mesh_core::Weights::two(split.service().clone(), (version("v1"), version("v2")), share);
            split.set_weights(&weights.expect("in range")).expect("known versions");
            let Ok(routed) = table.route(&asking) else { break };
            let now = routed.target().and_then(|target| target.version.clone()) == Some(version("v2"));
            prop_assert!(now || !moved, "back at {share} %");
            moved = now;
        }
    }
}

#[test]
fn shares_change_under_way_and_no_request_sees_half_of_a_change() {
    let version = |text: &str| mesh_core::Version::new(text).expect("a version");
    let name = ServiceName::new("a").expect("a name");
    let split = LiveSplit::new(name.clone(), Some(version("v1")), [version("v2"), version("v3")]);
    let shared = service("a")
        .with_hosts([HostPattern::Any])
        .with_split(split.clone());
    let table = RouteTable::new("ns", [shared], []).expect("a table");
    let request = http::Request::get("/").body(()).expect("a request");
    let done = std::sync::atomic::AtomicBool::new(false);
    let asked = || {
        let head = RequestHead::of(&request);
        let mut random = fastrand::Rng::with_seed(1);
        let mut seen = std::collections::BTreeSet::new();
        let mut count = 0_u32;
        while !done.load(std::sync::atomic::Ordering::Relaxed) || count < 10_000 {
            let asking = Asking::new(&head, "unknown").with_random(random.u128(..));
            let explanation = table.explain(&asking);
            let shares: Vec<u32> = explanation.splits[0]
                .shares
                .iter()
                .map(|(_, weight)| *weight)
                .collect();
            seen.insert(shares);
            count += 1;
        }
        seen
    };
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(asked);
        for _ in 0..500 {
            for (canary, share) in [("v2", 10), ("v2", 20), ("v3", 30)] {
                let weights = mesh_core::Weights::two(name.clone(), (version("v1"), version(canary)), share);
                split
                    .set_weights(&weights.expect("in range"))
                    .expect("known versions");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().expect("no panic")
    });
    let whole = [vec![0, 0, 100], vec![10, 90], vec![20, 80], vec![30, 70]];
    assert!(seen.iter().all(|shares| whole.contains(shares)), "{seen:?}");
    let last = table.explain(&Asking::new(&RequestHead::of(&request), "unknown"));
    assert_eq!(last.splits[0].shares[0].1, 30, "and the last one counts");
}
