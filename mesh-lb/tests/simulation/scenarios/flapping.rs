//! All endpoints flap: each is well for 4 s of 10, at a time of its own, and health checks tell so 2 s late. Or
//! it is only the checks that flap, and the endpoints are well.

use super::*;
use crate::server::{Mode, Server};
use crate::table::{Table, millis, percent};
use crate::world::{Plan, World};

const SERVERS: usize = 20;
/// All of them serve 4000 requests a second, two fifths of them just as many as there are.
const RATE: f64 = 1_600.0;
const STEP: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(2);

/// With all of them in use, the checks make no difference. Two fifths busy and asked as chance has it, a queue of
/// four is full for six in a thousand.
const ERRORS_OF_FALSE_ALARM: f64 = 0.7;

/// With two fifths of them in use, a queue of four is full for one in ten, and those who reject are ejected.
const ERRORS_OF_FALSE_ALARM_WITHOUT: f64 = 10.0;

/// Four attempts find somebody who is up with 1 - 0.6⁴, and those who are up are busy.
const ERRORS: f64 = 30.0;

/// Half of the endpoints that the checks call well are down by then, and they are asked alone.
const ERRORS_WITHOUT: f64 = 50.0;

fn is_well(server: usize, at: Duration) -> bool {
    let phase = 10.0 * server as f64 / SERVERS as f64;
    (at.as_secs_f64() + phase) % 10.0 < 4.0
}

/// Whether it is well now, if that is a change.
fn turns(server: usize, at: Duration) -> Option<bool> {
    let well = is_well(server, at);
    let before = at.checked_sub(STEP).map(|before| is_well(server, before));
    (before != Some(well)).then_some(well)
}

fn flap(world: &mut World, really: bool) {
    let at = world.now();
    for server in 0..SERVERS {
        if let Some(well) = turns(server, at).filter(|_| really) {
            world.set_mode(server, if well { Mode::Serves } else { Mode::Refuses });
        }
        if let Some(well) = at.checked_sub(LATE).and_then(|then| turns(server, then)) {
            (0..world.clients()).for_each(|client| world.report(client, server, well));
        }
    }
    world.at(at + STEP, move |world| flap(world, really));
}

#[test]
fn in_a_panic_more_requests_succeed_than_without() {
    let (clients, lasts) = sized((10, secs(65)), (4, secs(25)));
    let one = Server {
        workers: 1,
        queue: 4,
        ..Server::default()
    };
    let plan = Plan::new(clients, vec![one; SERVERS], RATE, lasts);
    for really in [false, true] {
        let mut table = Table::new(
            match really {
                true => "All endpoints flap, and health checks are late",
                false => "The health checks of all endpoints flap, but they are well",
            },
            &["", "panic below", "errors", "p99"],
        );
        for threshold in [0.0, 50.0] {
            let mut policy = FleetPolicy::default();
            policy.panic_threshold = threshold;
            for strategy in ours(&policy) {
                let mut world = World::new(&strategy, &plan);
                world.at(Duration::ZERO, move |world| flap(world, really));
                let log = world.run();
                let (name, all) = (strategy.name(), secs(5)..lasts);
                let errors = log.errors(all.clone());
                table.row([
                    name.to_owned(),
                    format!("{threshold} %"),
                    percent(errors),
                    millis(log.p99(all)),
                ]);
                match (really, threshold > 0.0) {
                    (false, true) => assert!(errors < ERRORS_OF_FALSE_ALARM, "{name}: {errors} %"),
                    (false, false) => assert!(errors > ERRORS_OF_FALSE_ALARM_WITHOUT, "{name}: {errors} %"),
                    (true, true) => assert!(errors < ERRORS, "{name}: {errors} %"),
                    (true, false) => assert!(errors > ERRORS_WITHOUT, "{name}: {errors} %"),
                }
            }
        }
        table.print();
    }
}
