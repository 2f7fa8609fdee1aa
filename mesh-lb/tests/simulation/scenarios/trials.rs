//! One endpoint of ten fails for a quarter of an hour: what its trials cost.

use super::*;
use crate::server::{Mode, Server};
use crate::table::{Table, percent};
use crate::world::{Plan, World};

const FAILS: usize = 3;
const CLIENTS: usize = 5;

/// It is ejected for 30 s, then 60 s, then 90 s and so on up to 300 s: after 30, 90, 180, 300, 450, 630 and 840
/// seconds one request of each client tries it.
const TRIALS_OF_A_CLIENT: usize = 7;

/// Five failures in a row eject it, and at ten requests a second none else is under way.
const FAILURES_OF_A_CLIENT: usize = 5;

#[test]
fn an_endpoint_that_stays_broken_costs_one_request_now_and_then() {
    let lasts = secs(900);
    let plan = Plan::new(CLIENTS, vec![Server::default(); 10], 50.0, lasts);
    let mut table = Table::new(
        "One of ten endpoints fails for a quarter of an hour",
        &["", "requests to it", "of these trials", "errors"],
    );
    for strategy in all() {
        let mut world = World::new(&strategy, &plan);
        world.at(Duration::ZERO, |world| world.set_mode(FAILS, Mode::Fails));
        let log = world.run();
        let to_it = || {
            log.sent(Duration::ZERO..lasts)
                .filter(|sent| sent.server == FAILS)
        };
        let trials = to_it().filter(|sent| sent.trial).count();
        let name = strategy.name();
        table.row([
            name.to_owned(),
            to_it().count().to_string(),
            trials.to_string(),
            percent(log.errors(Duration::ZERO..lasts)),
        ]);
        let others = to_it().count() - trials;
        match name {
            PLAIN | TOWER => assert!(others > 1_000 && trials == 0, "{name}: {others}"),
            _ => {
                assert!(trials <= CLIENTS * TRIALS_OF_A_CLIENT, "{name}: {trials}");
                assert_eq!(others, CLIENTS * FAILURES_OF_A_CLIENT, "{name}");
            }
        }
    }
    table.print();
}
