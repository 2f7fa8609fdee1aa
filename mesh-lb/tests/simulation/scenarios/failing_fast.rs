//! One of ten endpoints answers 503 at once, from a moment on: to who looks for the quickest answer, it is the
//! best.

use super::*;
use crate::server::{Mode, Server};
use crate::table::{Table, percent, seconds};
use crate::world::{Plan, World};

const FAILS: usize = 3;
const CLIENTS: usize = 4;
const RATE: f64 = 1_000.0;
const BEGINS: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_secs(5);

/// Five failures in a row eject it, of each client; a request more may be under way by then. Without the clients'
/// share of it: that is 24 of 5000 requests.
const FAILURES_OF_A_CLIENT: f64 = 6.0;

/// A client asks each endpoint 25 times a second, so that five failures take 0.2 s; by chance, twice that.
const EJECTED: Duration = Duration::from_millis(500);

/// One request of each client tries it after 30 s, and that is all of it.
const TRIALS_OF_A_CLIENT: f64 = 1.0;

/// Who expects latencies takes a failure for an answer after 5 s. Then it looks a thousand times slower, and is
/// forgotten after a minute: a tenth of a fair share is far more than that.
const SHARE_WITHOUT_EJECTION: f64 = 1.0;

/// Of two endpoints drawn, the failing one is among one in five pairs, and once it looks quick it is taken.
const ERRORS_OF_TOWER: f64 = 15.0;

#[test]
fn one_endpoint_that_fails_fast_is_soon_ejected_and_attracts_nobody() {
    let lasts = sized(secs(120), secs(60));
    let mut table = Table::new(
        "One of ten endpoints answers 503 at once",
        &[
            "",
            "errors in 5 s",
            "errors then",
            "share of it in 5 s",
            "ejected by all after",
        ],
    );
    let mut without = FleetPolicy::default();
    without.ejection = None;
    let never = p2c_ewma(without).named("p2c_ewma without ejection");
    for strategy in all().into_iter().chain([never]) {
        let plan = Plan::new(CLIENTS, vec![Server::default(); 10], RATE, lasts);
        let mut world = World::new(&strategy, &plan);
        world.at(BEGINS, |world| world.set_mode(FAILS, Mode::Fails));
        world.watch();
        let log = world.run();
        let (name, first, then) = (strategy.name(), BEGINS..BEGINS + FIRST, BEGINS + FIRST..lasts);
        let share = log.share(first.clone(), |server| server == FAILS);
        let ejected = log.ejected(BEGINS, CLIENTS);
        let (at_first, later) = (log.errors(first), log.errors(then.clone()));
        table.row([
            name.to_owned(),
            percent(at_first),
            percent(later),
            percent(share),
            ejected.map_or_else(|| "never".to_owned(), seconds),
        ]);
        let of_first = 100.0 * CLIENTS as f64 / (RATE * FIRST.as_secs_f64());
        let trials = 1.0 + (lasts - BEGINS).as_secs_f64() / 90.0;
        let of_then = 100.0 * CLIENTS as f64 / (RATE * (then.end - then.start).as_secs_f64());
        match name {
            PLAIN => assert!((9.0..11.0).contains(&later), "{later} %"),
            TOWER => assert!(later > ERRORS_OF_TOWER, "{later} %"),
            "p2c_ewma" | "p2c_ewma without ejection" => {
                assert!(share < SHARE_WITHOUT_EJECTION, "{name}: {share} %");
                assert!(later < SHARE_WITHOUT_EJECTION, "{name}: {later} %");
            }
            _ => {
                assert!(
                    at_first <= FAILURES_OF_A_CLIENT * of_first,
                    "{name}: {at_first} %"
                );
                assert!(
                    later <= 1.1 * trials * TRIALS_OF_A_CLIENT * of_then,
                    "{name}: {later} %"
                );
                assert!(
                    ejected.is_some_and(|after| after <= EJECTED),
                    "{name}: {ejected:?}"
                );
            }
        }
    }
    table.print();
}
