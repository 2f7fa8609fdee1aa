use mesh_core::metric::{Histogram, Refusals, Repeats, Traffic};
use proptest::prelude::*;

use super::*;
use crate::plan::Plan;
use crate::rollout::{Cause, Change, End, PauseReason};

fn service() -> ServiceName {
    "orders".parse().expect("a name")
}

fn record(entry: Entry) -> Record {
    Record {
        at: Duration::from_millis(1500),
        written: SystemTime::UNIX_EPOCH,
        entry,
    }
}

fn started(of: &str) -> Record {
    record(Entry::Started(Box::new(Started {
        service: of.parse().expect("a name"),
        stable: "v1".parse().expect("a version"),
        canary: "v2".parse().expect("a version"),
        plan: Plan::default(),
        rejected: vec!["v0".parse().expect("a version")],
    })))
}

fn decided(change: Change) -> Record {
    record(Entry::Decided(Decision {
        change,
        cause: Cause::Configuration,
    }))
}

fn refused(records: Vec<Record>) -> String {
    let numbered = (4..).zip(records);
    History::read(service(), numbered)
        .expect_err("cannot have been")
        .to_string()
}

#[test]
fn a_log_that_cannot_have_been_is_refused_with_its_place() {
    let at = |n: u64, what: &str| format!("record {n} of the rollout log {what}");
    assert_eq!(
        refused(vec![decided(Change::Begin)]),
        at(4, "belongs to no rollout: expected one that starts first")
    );
    assert_eq!(
        refused(vec![started("shop")]),
        at(4, "is about another service, shop")
    );
    assert_eq!(
        refused(vec![started("orders"), started("orders")]),
        at(5, "starts a rollout while one is under way")
    );
    assert_eq!(
        refused(vec![
            started("orders"),
            decided(Change::Begin),
            decided(Change::Advance { to: 9 })
        ]),
        at(6, "names stage 9, which the plan has not")
    );
    for change in [
        Change::Resume,
        Change::AwaitPromotion,
        Change::Finish { end: End::Succeeded },
        Change::Finish { end: End::RolledBack },
        Change::Advance { to: 1 },
    ] {
        let expected = at(5, "decides what was not to be decided there");
        assert_eq!(refused(vec![started("orders"), decided(change)]), expected);
    }
    let end = decided(Change::Finish { end: End::RolledBack });
    let over = vec![
        started("orders"),
        decided(Change::RollBack),
        end,
        decided(Change::Begin),
    ];
    assert_eq!(refused(over), at(7, "comes after the end of its rollout"));
    let twice = Window::new(Duration::ZERO, Duration::from_secs(5));
    let seen = || record(Entry::Seen(twice.clone()));
    let error = refused(vec![started("orders"), decided(Change::Begin), seen(), seen()]);
    assert!(
        error.starts_with("record 7 of the rollout log has bad evidence: "),
        "{error}"
    );
}

#[test]
fn a_gap_in_a_log_is_found() {
    let records = [(4, started("orders")), (6, decided(Change::Begin))];
    let error = History::read(service(), records).expect_err("5 is missing");
    assert_eq!(
        error.to_string(),
        "record 6 of the rollout log is out of order: expected record 5"
    );
    assert_eq!(error.position(), 6);
}

#[test]
fn what_was_rejected_before_is_known_from_a_log_that_forgot_why() {
    let pause = Change::Pause {
        reason: PauseReason::Manual,
    };
    let records = (17..).zip([started("orders"), decided(Change::Begin), decided(pause)]);
    let mut history = History::read(service(), records).expect("it can have been");
    assert_eq!(history.position(), 20);
    let rollback = Change::RollBack;
    let more = [
        decided(rollback),
        decided(Change::Finish { end: End::RolledBack }),
    ];
    for (position, record) in (20..).zip(more) {
        history.apply(position, &record).expect("it can have been");
    }
    let request = |version: &str| {
        let stable = "v1".parse().expect("a version");
        Request::new(stable, version.parse().expect("a version"), Plan::default())
    };
    for version in ["v0", "v2"] {
        let error = history
            .start(request(version), SystemTime::UNIX_EPOCH)
            .expect_err("rejected");
        assert_eq!(
            error.to_string(),
            format!("{version} was rolled back before: say that it is to be tried again, if it is")
        );
    }
    assert!(
        history
            .start(request("v2").retry(true), SystemTime::UNIX_EPOCH)
            .is_ok()
    );
}

proptest! {
    #[test]
    fn a_window_is_read_as_it_was_written(
        times in (any::<u32>(), any::<u32>()),
        counts in (any::<u64>(), any::<u64>(), proptest::option::of(any::<u64>())),
        buckets in proptest::collection::vec((1..1_000_000_u64, any::<u64>()), 0..20),
        above in any::<u64>(),
    ) {
        let mut edges: Vec<Duration> = Vec::new();
        let mut latencies = Vec::new();
        for (step, count) in buckets {
            let last = edges.last().copied().unwrap_or_default();
            edges.push(last + Duration::from_nanos(step));
            latencies.push(count);
        }
        latencies.push(above);
        let traffic = Traffic {
            requests: counts.0,
            errors: counts.1,
            failed_users: counts.2,
            users: counts.2,
            refusals: Refusals {
                circuit_open: counts.1 / 2,
                no_healthy_endpoint: counts.1 / 5,
            },
            repeats: Repeats {
                requests: counts.0 / 2,
                errors: counts.1 / 3,
            },
            pinned: counts.0 / 7,
            latency: Histogram::new(edges.into(), latencies).expect("rising"),
            covered: Duration::from_micros(times.0.into()),
        };
        let nanos = |n: u32| Duration::from_nanos(n.into());
        let window = Window::new(nanos(times.0), nanos(times.1)).with_weight(7).with_canary(traffic);
        let written = record(Entry::Seen(window));
        let text = serde_json::to_string(&written).expect("written");
        prop_assert_eq!(serde_json::from_str::<Record>(&text).expect("read"), written);
    }

    #[test]
    fn what_is_no_record_is_refused_and_nothing_else_happens(text in ".{0,200}") {
        prop_assert!(serde_json::from_str::<Record>(&text).is_err());
    }
}
