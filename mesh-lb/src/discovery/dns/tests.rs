//! Against a name server on loopback, in real time: what time alone decides is tested in `schedule`.

mod server;

use futures_util::FutureExt as _;
use hickory_resolver::proto::rr::RecordType;
use mesh_core::endpoint::Readiness;
use tokio::time::timeout;

use self::server::{EMPTY, NXDOMAIN, Reply, SERVFAIL, Server, address_record, alias_record, service_record};
use super::*;
use crate::discovery::task::Task;

const NAME: &str = "orders.example.";
const SRV: &str = "_http._tcp.orders.example.";
/// Long enough for a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks up as often as it may.
fn eager() -> DnsSettings {
    DnsSettings {
        min_interval: Duration::from_millis(10),
        max_interval: Duration::from_millis(10),
        timeout: Duration::from_secs(5),
        ..DnsSettings::default()
    }
}

fn dns(server: &Server, settings: DnsSettings) -> Dns {
    Dns::servers([server.address])
        .expect("a resolver")
        .with_settings(settings)
}

fn addresses_of(server: &Server) -> DnsWatch {
    dns(server, eager()).watch(DnsName::addresses(NAME, 3001).expect("a name"))
}

fn services_of(server: &Server) -> DnsWatch {
    dns(server, eager()).watch(DnsName::srv(SRV).expect("a name"))
}

async fn next(watch: &mut DnsWatch) -> Vec<String> {
    shown(&answer(watch).await.expect("an answer"))
}

async fn next_error(watch: &mut DnsWatch) -> String {
    answer(watch).await.expect_err("no answer").to_string()
}

async fn answer(watch: &mut DnsWatch) -> Result<EndpointSet, DiscoverError> {
    timeout(PATIENCE, watch.next()).await.expect("in time")
}

/// Addresses, with their weight if it is not 1, and a mark for last resorts.
fn shown(set: &EndpointSet) -> Vec<String> {
    let shown = |endpoint: &Arc<mesh_core::Endpoint>| {
        let weight = match endpoint.weight {
            1 => String::new(),
            weight => format!(" x{weight}"),
        };
        let mark = match endpoint.readiness {
            Readiness::Ready => "",
            _ => " reserve",
        };
        format!("{}{weight}{mark}", endpoint.address)
    };
    set.endpoints.iter().map(shown).collect()
}

#[tokio::test]
async fn the_addresses_of_both_families_are_endpoints_sorted() {
    let server = Server::start().await;
    server.set_addresses(NAME, 30, &["10.0.0.2", "2001:db8::1", "10.0.0.1"]);
    let mut watch = addresses_of(&server);
    let both = ["10.0.0.1:3001", "10.0.0.2:3001", "[2001:db8::1]:3001"];
    assert_eq!(next(&mut watch).await, both);
    server.set_addresses(NAME, 30, &["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
    assert_eq!(next(&mut watch).await, both);
}

#[tokio::test]
async fn an_answer_that_grows_or_shrinks_is_taken() {
    let server = Server::start().await;
    let mut watch = addresses_of(&server);
    for addresses in [
        &["10.0.0.1"][..],
        &["10.0.0.1", "10.0.0.2", "2001:db8::1"],
        &["10.0.0.2"],
    ] {
        server.set_addresses(NAME, 30, addresses);
        assert_eq!(next(&mut watch).await.len(), addresses.len());
    }
}

#[tokio::test]
async fn no_failure_is_an_empty_set_and_after_each_the_next_answer_is_told() {
    let server = Server::start().await;
    let mut watch = addresses_of(&server);
    let start = "the DNS lookup of orders.example.:3001 failed: ";
    for (reply, expected) in [
        (
            NXDOMAIN,
            "there is no such name, or it has no A and no AAAA record",
        ),
        (EMPTY, "there is no such name, or it has no A and no AAAA record"),
        (SERVFAIL, "AAAA: DNS error: error response: Server Failure"),
    ] {
        server.set_addresses(NAME, 30, &["10.0.0.1"]);
        assert_eq!(next(&mut watch).await, ["10.0.0.1:3001"]);
        for kind in [RecordType::A, RecordType::AAAA] {
            server.set(NAME, kind, reply.clone());
        }
        assert_eq!(next_error(&mut watch).await, format!("{start}{expected}"));
    }
    server.set_addresses(NAME, 30, &["10.0.0.1"]);
    assert_eq!(next(&mut watch).await, ["10.0.0.1:3001"]);
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up_in_time() {
    let server = Server::start().await;
    for kind in [RecordType::A, RecordType::AAAA] {
        server.set(NAME, kind, Reply::Silence);
    }
    let settings = DnsSettings {
        timeout: Duration::from_millis(200),
        ..eager()
    };
    let mut watch = dns(&server, settings).watch(DnsName::addresses(NAME, 3001).expect("a name"));
    let start = Instant::now();
    let error = next_error(&mut watch).await;
    assert!(error.ends_with("failed: AAAA: no answer in time"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(2));
    server.set_addresses(NAME, 30, &["10.0.0.1"]);
    assert_eq!(next(&mut watch).await, ["10.0.0.1:3001"]);
}

#[tokio::test]
async fn a_family_that_fails_answers_as_it_did_last() {
    let server = Server::start().await;
    server.set_addresses(NAME, 30, &["10.0.0.1", "2001:db8::1"]);
    let mut watch = addresses_of(&server);
    next(&mut watch).await;
    server.set_addresses(NAME, 30, &["10.0.0.2"]);
    server.set(NAME, RecordType::AAAA, SERVFAIL);
    for _ in 0..3 {
        assert_eq!(next(&mut watch).await, ["10.0.0.2:3001", "[2001:db8::1]:3001"]);
        assert!(
            watch
                .doubt
                .as_ref()
                .is_some_and(|doubt| doubt.starts_with("orders.example.: AAAA: "))
        );
    }
    server.set(NAME, RecordType::AAAA, EMPTY);
    assert_eq!(next(&mut watch).await, ["10.0.0.2:3001"]);
    assert_eq!(watch.doubt, None);
}

#[tokio::test]
async fn a_family_that_is_silent_leaves_time_for_the_other() {
    let server = Server::start().await;
    server.set_addresses(NAME, 30, &["10.0.0.1"]);
    server.set(NAME, RecordType::AAAA, Reply::Silence);
    let settings = DnsSettings {
        timeout: Duration::from_millis(400),
        ..eager()
    };
    let mut watch = dns(&server, settings).watch(DnsName::addresses(NAME, 3001).expect("a name"));
    let start = Instant::now();
    assert_eq!(next(&mut watch).await, ["10.0.0.1:3001"]);
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_family_that_never_answered_does_not_stand_in_the_way() {
    let server = Server::start().await;
    server.set_addresses(NAME, 30, &["10.0.0.1"]);
    server.set(NAME, RecordType::AAAA, SERVFAIL);
    let mut watch = addresses_of(&server);
    assert_eq!(next(&mut watch).await, ["10.0.0.1:3001"]);
    assert_eq!(watch.doubt, None);
}

#[tokio::test]
async fn an_alias_leads_to_its_addresses_and_what_stands_beside_it_does_not_count() {
    let server = Server::start().await;
    let records = vec![
        alias_record(NAME, 60, "real.example."),
        address_record("real.example.", 60, "10.0.0.1"),
        address_record("other.example.", 60, "10.6.6.6"),
    ];
    server.set(NAME, RecordType::A, Reply::Records(records, Vec::new()));
    let mut watch = addresses_of(&server);
    assert_eq!(next(&mut watch).await, ["10.0.0.1:3001"]);
    // In a question of its own.
    let alias = vec![alias_record(NAME, 60, "real.example.")];
    server.set(NAME, RecordType::A, Reply::Records(alias, Vec::new()));
    server.set_addresses("real.example.", 60, &["10.0.0.2"]);
    assert_eq!(next(&mut watch).await, ["10.0.0.2:3001"]);
}

#[tokio::test]
async fn the_next_lookup_is_when_the_shortest_ttl_ends() {
    let server = Server::start().await;
    server.set_addresses(NAME, 40, &["10.0.0.1", "2001:db8::1"]);
    let alias = vec![
        alias_record(NAME, 20, "real.example."),
        address_record("real.example.", 60, "10.0.0.1"),
    ];
    server.set(NAME, RecordType::A, Reply::Records(alias, Vec::new()));
    let mut watch = dns(&server, DnsSettings::default()).watch(DnsName::addresses(NAME, 80).expect("a name"));
    next(&mut watch).await;
    let wait = watch.schedule.due() - Instant::now();
    assert!(
        wait <= Duration::from_secs(20) && wait > Duration::from_secs(15),
        "{wait:?}"
    );
    assert!(watch.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_wish_brings_a_lookup_before_the_ttl_ends_and_no_cache_answers_it() {
    let server = Server::start().await;
    server.set_addresses(NAME, 3600, &["10.0.0.1"]);
    let settings = DnsSettings {
        min_interval: Duration::from_millis(10),
        ..DnsSettings::default()
    };
    let mut watch = dns(&server, settings).watch(DnsName::addresses(NAME, 3001).expect("a name"));
    assert_eq!(next(&mut watch).await, ["10.0.0.1:3001"]);
    server.set_addresses(NAME, 3600, &["10.0.0.2"]);
    watch.refresh().ask();
    assert_eq!(next(&mut watch).await, ["10.0.0.2:3001"]);
    assert_eq!(server.asked(NAME, RecordType::A), 2);
}

#[tokio::test]
async fn many_wishes_are_one_lookup_in_the_least_interval() {
    let server = Server::start().await;
    server.set_addresses(NAME, 3600, &["10.0.0.1"]);
    let settings = DnsSettings {
        min_interval: Duration::from_millis(300),
        ..DnsSettings::default()
    };
    let mut watch = dns(&server, settings).watch(DnsName::addresses(NAME, 3001).expect("a name"));
    let start = Instant::now();
    next(&mut watch).await;
    let refresh = watch.refresh();
    let storm = Task::start(async move {
        loop {
            refresh.ask();
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..3 {
        next(&mut watch).await;
    }
    drop(storm);
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(server.asked(NAME, RecordType::A), 4);
}

#[tokio::test]
async fn a_dropped_call_does_not_begin_the_lookup_anew() {
    let mut server = Server::start().await;
    server.set_addresses(NAME, 30, &["10.0.0.1"]);
    let mut watch = addresses_of(&server);
    while server.asked(NAME, RecordType::A) == 0 {
        let _dropped = timeout(Duration::from_millis(1), watch.next()).await;
        assert!(watch.lookup.is_some() || server.asked(NAME, RecordType::A) > 0);
    }
    server.was_asked().await;
    if watch.lookup.is_some() {
        next(&mut watch).await;
    }
    assert_eq!(server.asked(NAME, RecordType::A), 1);
}

#[tokio::test]
async fn the_targets_of_srv_records_are_endpoints_with_their_ports_and_weights() {
    let server = Server::start().await;
    let records = vec![
        service_record(SRV, 30, (10, 30), 3001, "a.example."),
        service_record(SRV, 30, (10, 10), 3002, "b.example."),
        service_record(SRV, 30, (20, 10), 3003, "c.example."),
    ];
    server.set(SRV, RecordType::SRV, Reply::Records(records, Vec::new()));
    server.set_addresses("a.example.", 30, &["10.0.0.1"]);
    server.set_addresses("b.example.", 30, &["10.0.0.2"]);
    server.set_addresses("c.example.", 30, &["10.0.0.3"]);
    let mut watch = services_of(&server);
    let expected = ["10.0.0.1:3001 x3", "10.0.0.2:3002", "10.0.0.3:3003 reserve"];
    assert_eq!(next(&mut watch).await, expected);
    // Nobody of the first priority has an address any more.
    for gone in ["a.example.", "b.example."] {
        server.set_addresses(gone, 30, &[]);
    }
    assert_eq!(next(&mut watch).await, ["10.0.0.3:3003"]);
}

#[tokio::test]
async fn addresses_that_come_along_with_srv_records_are_not_asked_for() {
    let server = Server::start().await;
    let answers = vec![
        service_record(SRV, 30, (0, 0), 3001, "a.example."),
        service_record(SRV, 30, (0, 0), 3001, "B.example."),
    ];
    let additional = vec![
        address_record("A.example.", 30, "10.0.0.1"),
        address_record("a.example.", 30, "2001:db8::1"),
        address_record("x.example.", 30, "10.6.6.6"),
    ];
    server.set(SRV, RecordType::SRV, Reply::Records(answers, additional));
    server.set_addresses("b.example.", 30, &["10.0.0.2"]);
    let mut watch = services_of(&server);
    let expected = ["10.0.0.1:3001", "10.0.0.2:3001 x2", "[2001:db8::1]:3001"];
    assert_eq!(next(&mut watch).await, expected);
    assert_eq!(server.asked("a.example.", RecordType::A), 0);
    assert_eq!(server.asked("b.example.", RecordType::A), 1);
}

#[tokio::test]
async fn a_target_that_fails_has_the_addresses_it_had_and_one_that_is_gone_has_none() {
    let server = Server::start().await;
    let records = ["a", "b"].map(|host| service_record(SRV, 30, (0, 0), 3001, &format!("{host}.example.")));
    server.set(SRV, RecordType::SRV, Reply::Records(records.into(), Vec::new()));
    server.set_addresses("a.example.", 30, &["10.0.0.1", "2001:db8::1"]);
    server.set_addresses("b.example.", 30, &["10.0.0.2", "2001:db8::2"]);
    let mut watch = services_of(&server);
    assert_eq!(next(&mut watch).await.len(), 4);
    for kind in [RecordType::A, RecordType::AAAA] {
        server.set("a.example.", kind, SERVFAIL);
        server.set("b.example.", kind, NXDOMAIN);
    }
    for _ in 0..2 {
        assert_eq!(next(&mut watch).await, ["10.0.0.1:3001", "[2001:db8::1]:3001"]);
        assert!(
            watch
                .doubt
                .as_ref()
                .is_some_and(|doubt| doubt.starts_with("a.example.: "))
        );
    }
}

#[tokio::test]
async fn srv_records_that_lead_nowhere_are_an_error_that_says_why() {
    let server = Server::start().await;
    let mut watch = services_of(&server);
    assert!(
        next_error(&mut watch)
            .await
            .contains("it has no SRV record whose target has an address")
    );
    let declined = vec![service_record(SRV, 30, (0, 0), 0, ".")];
    server.set(SRV, RecordType::SRV, Reply::Records(declined, Vec::new()));
    assert!(
        next_error(&mut watch)
            .await
            .contains("the service is not offered here")
    );
    let records = vec![service_record(SRV, 30, (0, 0), 3001, "a.example.")];
    server.set(SRV, RecordType::SRV, Reply::Records(records, Vec::new()));
    assert!(
        next_error(&mut watch)
            .await
            .contains("whose target has an address")
    );
    for kind in [RecordType::A, RecordType::AAAA] {
        server.set("a.example.", kind, SERVFAIL);
    }
    assert!(
        next_error(&mut watch)
            .await
            .contains("failed: a.example.: AAAA: DNS error")
    );
}

#[tokio::test]
async fn more_addresses_than_allowed_are_left_out() {
    let server = Server::start().await;
    server.set_addresses(NAME, 30, &["10.0.0.3", "10.0.0.1", "10.0.0.2"]);
    let settings = DnsSettings {
        max_endpoints: 2,
        ..eager()
    };
    let mut watch = dns(&server, settings).watch(DnsName::addresses(NAME, 80).expect("a name"));
    assert_eq!(next(&mut watch).await, ["10.0.0.1:80", "10.0.0.2:80"]);
}

#[tokio::test]
async fn a_second_server_answers_for_one_that_refuses() {
    let (bad, good) = (Server::start().await, Server::start().await);
    for kind in [RecordType::A, RecordType::AAAA] {
        bad.set(NAME, kind, SERVFAIL);
    }
    good.set_addresses(NAME, 30, &["10.0.0.1"]);
    let dns = Dns::servers([bad.address, good.address])
        .expect("a resolver")
        .with_settings(eager());
    let mut watch = dns.watch(DnsName::addresses(NAME, 80).expect("a name"));
    for _ in 0..5 {
        assert_eq!(next(&mut watch).await, ["10.0.0.1:80"]);
    }
}

#[test]
fn without_a_server_there_is_nobody_to_ask() {
    let error = Dns::servers([]).expect_err("nobody");
    assert_eq!(
        error.to_string(),
        "no name server is given; expected at least one"
    );
}
