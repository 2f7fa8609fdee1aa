//! One of three zones is lost: its endpoints break what they have and answer no connection any more.

use std::ops::Range;

use super::*;
use crate::client::Place;
use crate::log::Log;
use crate::server::{Mode, Server};
use crate::table::{Table, millis, percent, seconds};
use crate::world::{Plan, World};

const ZONES: [&str; 3] = ["a", "b", "c"];
const LOST: usize = 0;
const LOST_AT: Duration = Duration::from_secs(10);

/// A request that could not be connected to near is sent to another zone: it does not fail, but for those that were
/// under way. Without a view a third of all attempts is lost, and all four of one in 81 requests.
const ERRORS: f64 = 0.05;

/// The clients of the lost zone had all of their requests there, and keep asking there until the last of its
/// endpoints is ejected: each after five connections, which are waited for side by side, a second each.
const CONVERGED: Duration = Duration::from_secs(12);

/// Of the attempts, in a window in which it has converged.
const IN_VAIN: f64 = 1.0;

/// As before, but for less than one request in a hundred that tries a lost endpoint, half a minute later: for one in a
/// hundred an answer takes 23 ms, and those are fewer now.
const P99_THEN: Duration = Duration::from_millis(50);

/// Each zone carries its own clients' requests, since it can.
const NEAR: f64 = 99.0;

/// The zones share what the lost one carried, as they are alike.
const SHARE_OF_A_ZONE: Range<f64> = 45.0..55.0;

fn zone_of(server: usize) -> usize {
    server % 3
}

/// Of the attempts of one zone's clients, how many in a hundred went to another's endpoints.
fn share(log: &Log, when: Range<Duration>, clients: usize, servers: usize) -> f64 {
    let of_zone = || log.sent(when.clone()).filter(|sent| sent.client % 3 == clients);
    let there = of_zone().filter(|sent| zone_of(sent.server) == servers).count();
    100.0 * there as f64 / of_zone().count() as f64
}

#[test]
fn a_lost_zone_costs_hardly_a_request_and_the_others_take_its_load_over() {
    let (each, clients, rate, lasts) = sized((100, 30, 3_000.0, secs(60)), (30, 9, 900.0, secs(35)));
    let servers = 3 * each;
    let mut plan = Plan::new(clients, vec![Server::default(); servers], rate, lasts);
    plan.clients = (0..clients).map(|client| Some(ZONES[client % 3])).collect();
    plan.places = (0..servers)
        .map(|server| Place {
            server,
            zone: Some(ZONES[zone_of(server)]),
        })
        .collect();
    let mut table = Table::new(
        format!("One of three zones with {each} endpoints each is lost"),
        &[
            "",
            "errors in 10 s",
            "errors then",
            "asked in vain for",
            "p99 before",
            "in 10 s",
            "then",
            "near before",
            "near then",
        ],
    );
    for strategy in all() {
        let mut world = World::new(&strategy, &plan);
        world.at(LOST_AT, move |world| {
            let lost = (0..servers).filter(|server| zone_of(*server) == LOST);
            lost.for_each(|server| world.set_mode(server, Mode::Silent));
        });
        let log = world.run();
        let (name, before, first, then) = (
            strategy.name(),
            secs(1)..LOST_AT,
            LOST_AT..LOST_AT + secs(10),
            LOST_AT + secs(20)..lasts,
        );
        let converged = log.converged(LOST_AT, lasts, |window| {
            // Trials go there on purpose.
            let sent = || log.sent(window.clone()).filter(|sent| !sent.trial);
            let in_vain = sent().filter(|sent| !sent.well).count();
            100.0 * in_vain as f64 <= IN_VAIN * sent().count() as f64
        });
        let near =
            |when: &Range<Duration>| share(&log, when.clone(), 1, 1).min(share(&log, when.clone(), 2, 2));
        let errors = [&first, &then].map(|when| log.errors(when.clone()));
        let p99 = [&before, &first, &then].map(|when| log.p99(when.clone()));
        let mut row = vec![name.to_owned()];
        row.extend(errors.map(percent));
        row.push(seconds(converged));
        row.extend(p99.map(millis));
        row.extend([&before, &then].map(|when| percent(near(when))));
        table.row(row);
        match name {
            PLAIN => assert!(errors[0] > ERRORS, "{} %", errors[0]),
            TOWER => assert!(converged > CONVERGED, "{converged:?}"),
            _ => {
                assert!(
                    errors.iter().all(|errors| *errors < ERRORS),
                    "{name}: {errors:?} %"
                );
                assert!(converged < CONVERGED, "{name}: {converged:?}");
                assert!(p99[2] < P99_THEN, "{name}: {p99:?}");
                assert!(near(&before) > NEAR && near(&then) > NEAR, "{name}");
                for zone in [1, 2] {
                    let share = share(&log, then.clone(), LOST, zone);
                    assert!(SHARE_OF_A_ZONE.contains(&share), "{name}: {share} %");
                }
            }
        }
    }
    table.print();
}
