//! One of ten endpoints answers twenty times more slowly than the others, from the beginning.

use super::*;
use crate::server::Server;
use crate::table::{Table, millis, percent};
use crate::world::{Plan, World};

const SLOW: usize = 3;

/// Who expects latencies asks it to find out that it is slow, and again when its peak is forgotten, which takes
/// more than half a minute. A fair share were ten in a hundred.
const SHARE_BY_LATENCY: f64 = 0.5;

/// Who counts requests in flight sends it less than half of a fair share: it is known to be slow only while it
/// has a request, and with few requests at a time both of two endpoints often have none.
const SHARE_BY_REQUESTS: f64 = 5.0;

/// Of the others' answers one in a hundred takes 23 ms: the time is distributed exponentially, 5 ms on average.
/// The slow one must not be seen in it.
const P99_BY_LATENCY: Duration = Duration::from_millis(30);

/// In turn, one in ten is answered after 100 ms on average: that is the tenth part of the slow answers, 230 ms.
const P99_IN_TURN: Duration = Duration::from_millis(200);

#[test]
fn one_slow_endpoint_of_ten_gets_few_requests_of_who_looks() {
    let lasts = sized(secs(120), secs(60));
    let mut servers = vec![Server::default(); 10];
    servers[SLOW] = Server::default().slower(20);
    let plan = Plan::new(4, servers, 1_000.0, lasts);
    let mut table = Table::new(
        "One of ten endpoints is twenty times slower",
        &["", "share of it", "p99", "errors"],
    );
    for strategy in all() {
        let log = World::new(&strategy, &plan).run();
        let (name, all) = (strategy.name(), secs(2)..lasts);
        let share = log.share(all.clone(), |server| server == SLOW);
        let (p99, errors) = (log.p99(all.clone()), log.errors(all));
        table.row([name.to_owned(), percent(share), millis(p99), percent(errors)]);
        assert_eq!(errors, 0.0, "{name}: a slow answer is no error");
        match name {
            "p2c_ewma" => {
                assert!(share < SHARE_BY_LATENCY, "{name}: {share} %");
                assert!(p99 < P99_BY_LATENCY, "{name}: {p99:?}");
            }
            "least_connections" => assert!(share < SHARE_BY_REQUESTS, "{name}: {share} %"),
            TOWER => {}
            _ => {
                assert!((9.0..11.0).contains(&share), "{name}: {share} %");
                assert!(p99 > P99_IN_TURN, "{name}: {p99:?}");
            }
        }
    }
    table.print();
}
