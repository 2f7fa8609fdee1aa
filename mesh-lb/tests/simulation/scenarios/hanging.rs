//! One of ten endpoints takes requests and never answers, from a moment on: nothing comes back that could be
//! measured.

use super::*;
use crate::server::{Mode, Server};
use crate::table::{Table, percent, seconds};
use crate::world::{DEADLINE, Plan, World};

const HANGS: usize = 3;
const CLIENTS: usize = 4;
const RATE: f64 = 1_000.0;
const BEGINS: Duration = Duration::from_secs(20);

/// Who asks in turn sends it a tenth of the requests until the first deadlines have passed, which is after two of
/// five seconds.
const ERRORS_IN_TURN: f64 = 5.0;

/// Five deadlines missed eject it: of requests 40 ms apart, when the time of the first is up and a little more.
const EJECTED_IN_TURN: Duration = Duration::from_millis(2_500);

/// Who looks at the requests in flight, or expects latencies, sends it no second one while others are free: a few
/// of each client.
const ERRORS_BY_LOAD: f64 = 1.0;

/// One trial of each client, each half a minute or less often.
const ERRORS_THEN: f64 = 0.1;

#[test]
fn one_endpoint_that_never_answers_is_ejected_after_its_first_deadlines() {
    let lasts = BEGINS + sized(secs(80), secs(25));
    let mut table = Table::new(
        format!("One of ten endpoints never answers, and deadlines are {DEADLINE:?}"),
        &["", "errors in 5 s", "errors then", "ejected by all after"],
    );
    for strategy in all() {
        let plan = Plan::new(CLIENTS, vec![Server::default(); 10], RATE, lasts);
        let mut world = World::new(&strategy, &plan);
        world.at(BEGINS, |world| world.set_mode(HANGS, Mode::Hangs));
        world.watch();
        let log = world.run();
        let name = strategy.name();
        let errors = [BEGINS..BEGINS + secs(5), BEGINS + secs(5)..lasts].map(|when| log.errors(when));
        let ejected = log.ejected(BEGINS, CLIENTS);
        let mut row = vec![name.to_owned()];
        row.extend(errors.map(percent));
        row.push(ejected.map_or_else(|| "never".to_owned(), seconds));
        table.row(row);
        match name {
            PLAIN => assert!(errors[1] > 9.0, "{name}: {errors:?} %"),
            TOWER => {}
            "round_robin" => {
                assert!(
                    errors[0] < ERRORS_IN_TURN && errors[1] < ERRORS_THEN,
                    "{name}: {errors:?} %"
                );
                assert!(
                    ejected.is_some_and(|after| after <= EJECTED_IN_TURN),
                    "{name}: {ejected:?}"
                );
            }
            _ => assert!(
                errors[0] < ERRORS_BY_LOAD && errors[1] < ERRORS_THEN,
                "{name}: {errors:?} %"
            ),
        }
    }
    table.print();
}
