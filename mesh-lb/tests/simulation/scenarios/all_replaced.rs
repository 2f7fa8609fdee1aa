//! All of a thousand endpoints are replaced at once, as by a deployment in haste.

use super::*;
use crate::client::Place;
use crate::server::{Mode, Server};
use crate::table::{Table, millis, percent};
use crate::world::{Plan, World};

const ENDPOINTS: usize = 1_000;
const REPLACED: Duration = Duration::from_secs(5);

/// Discovery tells one client after the other, within this time.
const TOLD: Duration = Duration::from_secs(1);

/// The old ones serve so long after the first client was told, and then refuse connections.
const STAY: Duration = Duration::from_secs(2);

/// A set is replaced whole, so that there is no moment without endpoints and none with old ones beside new ones;
/// what is in flight at an old one ends well. So the answers are those of any other time: 23 ms for one in a
/// hundred.
const P99: Duration = Duration::from_millis(30);

#[test]
fn when_all_endpoints_are_replaced_at_once_no_request_is_without_one() {
    let (clients, rate, lasts) = sized((10, 4_000.0, secs(20)), (4, 800.0, secs(10)));
    let mut plan = Plan::new(clients, vec![Server::default(); 2 * ENDPOINTS], rate, lasts);
    let places = |servers: std::ops::Range<usize>| -> Vec<Place> {
        servers.map(|server| Place { server, zone: None }).collect()
    };
    plan.places = places(0..ENDPOINTS);
    let mut table = Table::new(
        format!("All of {ENDPOINTS} endpoints are replaced at once"),
        &[
            "",
            "without an endpoint",
            "errors",
            "to the new ones then",
            "p99 before",
            "p99 in 2 s",
        ],
    );
    let mut slowly = FleetPolicy::default();
    slowly.slow_start = Some(secs(30));
    let slowly = p2c_ewma(slowly).named("p2c_ewma, slow start");
    for strategy in all().into_iter().chain([slowly]) {
        let mut world = World::new(&strategy, &plan);
        for client in 0..clients {
            let new = places(ENDPOINTS..2 * ENDPOINTS);
            let told = REPLACED + TOLD.mul_f64(client as f64 / clients as f64);
            world.at(told, move |world| world.tell(client, &new));
        }
        world.at(REPLACED + STAY, |world| {
            (0..ENDPOINTS).for_each(|server| world.set_mode(server, Mode::Refuses));
        });
        let log = world.run();
        let (name, errors) = (strategy.name(), log.errors(Duration::ZERO..lasts));
        let to_new = log.share(REPLACED + TOLD..lasts, |server| server >= ENDPOINTS);
        let p99 = [secs(1)..REPLACED, REPLACED..REPLACED + secs(2)].map(|when| log.p99(when));
        let mut row = vec![
            name.to_owned(),
            log.nobody.to_string(),
            percent(errors),
            percent(to_new),
        ];
        row.extend(p99.map(millis));
        table.row(row);
        if !matches!(name, PLAIN | TOWER) {
            assert_eq!(log.nobody, 0, "{name}");
            assert_eq!(errors, 0.0, "{name}");
            assert_eq!(to_new, 100.0, "{name}");
            assert!(p99[1] < P99, "{name}: {p99:?}");
        }
    }
    table.print();
}
