//! Fifty clients start in the same moment, each with the same list of endpoints.

use super::*;
use crate::server::Server;
use crate::table::{Table, millis};
use crate::world::{Plan, World};

const SERVERS: usize = 100;
const CLIENTS: usize = 50;
/// A client has sent a fifth of a round in the first second.
const RATE: f64 = 1_000.0;
const FIRST: Duration = Duration::from_secs(1);

/// An endpoint is asked ten times on average. Were each of a thousand requests to go anywhere by chance, the most
/// asked of a hundred would be asked about 18 times, and seldom 22.
const SPREAD: f64 = 2.2;

/// All begin with the first of their list, and nobody gets beyond a fifth of it: five times the mean.
const SPREAD_IN_STEP: f64 = 4.0;

#[test]
fn clients_that_start_together_do_not_march_in_step() {
    let mut table = Table::new(
        format!("{CLIENTS} clients of {SERVERS} endpoints start at once"),
        &["", "most asked / mean in 1 s", "p99"],
    );
    for strategy in all() {
        for seed in 1..=sized(20, 3) {
            let mut plan = Plan::new(CLIENTS, vec![Server::default(); SERVERS], RATE, FIRST);
            plan.seed = seed;
            let log = World::new(&strategy, &plan).run();
            let (name, first) = (strategy.name(), Duration::ZERO..FIRST);
            let spread = log.spread(first.clone(), SERVERS);
            if seed == 1 {
                table.row([name.to_owned(), format!("{spread:.2}"), millis(log.p99(first))]);
            }
            match name {
                PLAIN => assert!(spread > SPREAD_IN_STEP, "{spread}"),
                _ => assert!(spread < SPREAD, "{name} with seed {seed}: {spread}"),
            }
        }
    }
    table.print();
}
