//! A fifth more endpoints join, whose caches are cold: for a while they serve a tenth of what the others do.

use super::*;
use crate::server::{Cold, Server};
use crate::table::{Table, millis, percent};
use crate::world::{Plan, World};

const OLD: usize = 16;
const NEW: usize = 4;
/// After the old ones have started themselves.
const JOIN: Duration = Duration::from_secs(16);
const COLD: Cold = Cold {
    until: JOIN.saturating_add(Duration::from_secs(8)),
    factor: 10,
};
const SLOW_START: Duration = Duration::from_secs(15);
/// Of an endpoint's workers, for 80 requests a second while it is cold and 800 later.
const WORKERS: usize = 4;
/// The fair share is 150 of an endpoint.
const RATE: f64 = 3_000.0;

/// In turn, a cold endpoint gets twice what it can serve: it rejects the rest, until it is ejected for it.
const ERRORS_AT_ONCE: f64 = 0.5;

/// A tenth of its share at first, half of it when it is warm: no more than it can serve, but for chance.
const ERRORS_SLOWLY: f64 = 0.1;

/// A tenth of the fair fifth in the first second, and a step more towards its end.
const FIRST_SHARE: f64 = 3.0;

/// The fair share, at the end. Who expects latencies remembers the cold ones' longer.
const LAST_SHARE: std::ops::Range<f64> = 18.0..22.0;
const LAST_SHARE_BY_LATENCY: std::ops::Range<f64> = 14.0..22.0;

/// How much of the slowest answers is left, of what they take without a slow start.
const P99_LEFT: f64 = 0.75;

#[test]
fn endpoints_that_join_cold_are_warmed_by_a_slow_start() {
    let clients = sized(8, 4);
    let one = Server {
        workers: WORKERS,
        ..Server::default()
    };
    let lasts = secs(48);
    let mut plan = Plan::new(clients, vec![one; OLD + NEW], RATE, lasts);
    let places = std::mem::take(&mut plan.places);
    plan.places = places[..OLD].to_vec();
    let mut table = Table::new(
        format!("{NEW} endpoints join {OLD}, ten times slower for 8 s"),
        &[
            "",
            "slow start",
            "share in 1 s",
            "in 5th",
            "then",
            "errors",
            "p99 in 10 s",
        ],
    );
    let mut p99_at_once = Vec::new();
    for window in [None, Some(SLOW_START)] {
        let mut policy = FleetPolicy::default();
        policy.slow_start = window;
        for (which, strategy) in ours(&policy).into_iter().enumerate() {
            let mut world = World::new(&strategy, &plan);
            let places = places.clone();
            world.at(JOIN, move |world| {
                for server in &mut world.servers[OLD..] {
                    server.cold = Some(COLD);
                }
                (0..clients).for_each(|client| world.tell(client, &places));
            });
            let log = world.run();
            let name = strategy.name();
            let share = |from, to| log.share(JOIN + from..JOIN + to, |server| server >= OLD);
            let shares = [
                share(secs(0), secs(1)),
                share(secs(4), secs(5)),
                share(secs(20), secs(32)),
            ];
            let first = JOIN..JOIN + secs(10);
            let (errors, p99) = (log.errors(first.clone()), log.p99(first));
            let mut row = vec![
                name.to_owned(),
                window.map_or_else(|| "none".to_owned(), |window| format!("{window:?}")),
            ];
            row.extend(shares.map(percent));
            row.extend([percent(errors), millis(p99)]);
            table.row(row);
            if window.is_none() {
                assert!(
                    name != "round_robin" || errors > ERRORS_AT_ONCE,
                    "{name}: {errors} %"
                );
                p99_at_once.push(p99);
                continue;
            }
            let by_latency = name == "p2c_ewma";
            let last = if by_latency {
                LAST_SHARE_BY_LATENCY
            } else {
                LAST_SHARE
            };
            assert!(errors < ERRORS_SLOWLY, "{name}: {errors} %");
            assert!(
                shares[0] < FIRST_SHARE && last.contains(&shares[2]),
                "{name}: {shares:?} %"
            );
            assert!(p99 < p99_at_once[which].mul_f64(P99_LEFT), "{name}: {p99:?}");
        }
    }
    table.print();
}
