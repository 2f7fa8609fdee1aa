//! Whether somebody outside can steer a rollout: the router, the counts and the judge of the proxy, in virtual time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use mesh_canary::judge::Sequential;
use mesh_canary::{CanaryAnalyzer as _, Evidence, Memory, Stage, Window};
use mesh_core::metric::{Traffic, TrafficQuery};
use mesh_core::{Outcome, RequestHead, ServiceName, TrafficSplit as _, Version, Weights};
use mesh_telemetry::{ServiceEvidence, Telemetry};
use mesh_traffic::router::{Asking, CookieKey, HostPattern, Pins};
use mesh_traffic::{LiveSplit, RouteTable, Service};

const WEIGHT: u8 = 5;
const TICK: Duration = Duration::from_secs(5);
const OUTSIDER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

fn orders() -> ServiceName {
    "orders".parse().expect("a name")
}

fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

/// A rollout in its first stage.
struct World {
    table: RouteTable,
    telemetry: Telemetry,
    counts: Arc<ServiceEvidence>,
    random: fastrand::Rng,
    evidence: Evidence,
    memory: Memory,
    before: [Traffic; 2],
}

impl World {
    fn new() -> Self {
        let split = LiveSplit::new(orders(), Some(version("v1")), [version("v2")]);
        let weights = Weights::two(orders(), (version("v1"), version("v2")), WEIGHT).expect("in range");
        split.set_weights(&weights).expect("known versions");
        let service = Service::new(orders())
            .with_hosts([HostPattern::Any])
            .with_split(split)
            .with_pins(Pins::default().sticky(CookieKey::new([7; CookieKey::LENGTH])));
        let telemetry = Telemetry::new();
        let counts = telemetry.evidence().service(&orders());
        counts.set_users_stay(true);
        Self {
            table: RouteTable::new("ns", [service], []).expect("a table"),
            telemetry,
            counts,
            random: fastrand::Rng::with_seed(7),
            evidence: Evidence::new(Stage::new(0, WEIGHT, Duration::ZERO)),
            memory: Memory::default(),
            before: [Traffic::default(), Traffic::default()],
        }
    }

    /// A request that fails with a version or does not; which version it was, and the cookie that came back.
    fn ask(
        &mut self,
        client: IpAddr,
        cookie: &str,
        fails: impl Fn(&str) -> bool,
    ) -> (String, Option<String>) {
        let request = Request::get("/")
            .header("host", "orders")
            .header("cookie", cookie);
        let request = request.body(()).expect("a request");
        let head = RequestHead::of(&request);
        let asking = Asking::new(&head, "unknown")
            .with_client(Some(client))
            .with_random(self.random.u128(..));
        let routed = self.table.route(&asking).expect("routed");
        let version = routed
            .decision()
            .target()
            .and_then(|target| target.version.as_ref());
        let version = version.expect("a version");
        let outcome = if fails(version.as_str()) {
            Outcome::Failure
        } else {
            Outcome::Success
        };
        self.counts.ended(
            Some(version),
            routed.assignment(),
            outcome,
            Duration::from_millis(20),
        );
        let given = routed.cookie().and_then(|cookie| cookie.set_cookie());
        let given = given.and_then(|field| Some(field.to_str().ok()?.split(';').next()?.to_owned()));
        (version.as_str().to_owned(), given)
    }

    /// A window is over: what the judge says.
    async fn judged(&mut self, judge: &Sequential) -> String {
        tokio::time::advance(TICK).await;
        let now = ["v1", "v2"].map(|name| {
            let query = TrafficQuery::new(orders(), version(name));
            self.telemetry.evidence().traffic(&query)
        });
        let [stable, canary] =
            [0, 1].map(|n| now[n].since(&self.before[n]).unwrap_or_else(|| now[n].clone()));
        self.before = now;
        let from = self.evidence.elapsed();
        let window = Window::new(from, from + TICK).with_weight(WEIGHT);
        let pushed = self.evidence.push(window.with_stable(stable).with_canary(canary));
        pushed.expect("in order");
        judge.judge_with(&self.evidence, &mut self.memory).to_string()
    }
}

/// Ten minutes of 256 users at 40 requests a second; at every tick `outsider` does what it wants.
async fn told_after_ten_minutes(fails: impl Fn(&str) -> f64, mut outsider: impl FnMut(&mut World)) -> String {
    let judge = Sequential::default().sticky(true);
    let mut world = World::new();
    let mut chance = fastrand::Rng::with_seed(11);
    let mut cookies: Vec<String> = (0..256).map(|_| "session=1".to_owned()).collect();
    let mut told = String::new();
    for _ in 0..120 {
        for _ in 0..200 {
            let user = chance.u8(..);
            let (who, is_one) = (usize::from(user), IpAddr::from([10, 0, 0, user]));
            let drawn = chance.f64();
            let known = cookies[who].clone();
            let asked = world.ask(is_one, &known, |version| drawn < fails(version));
            if let (_, Some(given)) = asked {
                cookies[who] = given;
            }
        }
        outsider(&mut world);
        told = world.judged(&judge).await;
        if told.starts_with("rollback") {
            break;
        }
    }
    told
}

fn one_in_a_hundred(_: &str) -> f64 {
    0.01
}

#[tokio::test(start_paused = true)]
async fn collected_cookies_and_a_url_that_fails_everywhere_roll_no_good_canary_back() {
    let told = told_after_ten_minutes(one_in_a_hundred, |world| {
        // New cookies for as long as it takes to get some that lead to the canary, each of them used once.
        for _ in 0..200 {
            let (version, cookie) = world.ask(OUTSIDER, "session=1", |_| false);
            if version == "v2" {
                world.ask(OUTSIDER, &cookie.expect("given"), |_| true);
            }
        }
    });
    let told = told.await;
    assert!(!told.starts_with("rollback"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn one_client_that_asks_the_canary_for_what_fails_rolls_no_good_canary_back() {
    let mut cookie: Option<String> = None;
    let told = told_after_ten_minutes(one_in_a_hundred, |world| {
        while cookie.is_none() {
            let (version, given) = world.ask(OUTSIDER, "session=1", |_| false);
            cookie = given.filter(|_| version == "v2");
        }
        for _ in 0..1_000 {
            world.ask(OUTSIDER, cookie.as_deref().unwrap_or_default(), |_| true);
        }
    });
    let told = told.await;
    assert!(!told.starts_with("rollback"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_for_its_users_is_rolled_back_all_the_same() {
    let bad = |version: &str| if version == "v2" { 0.1 } else { 0.001 };
    let told = told_after_ten_minutes(bad, |_| {}).await;
    assert!(told.starts_with("rollback"), "{told}");
}

/// All come from one address, behind somebody who tells no addresses.
#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_all_the_time_is_rolled_back_even_if_only_one_address_is_known() {
    let judge = Sequential::default().sticky(true);
    let mut world = World::new();
    let mut told = String::new();
    for _ in 0..60 {
        for _ in 0..200 {
            world.ask(OUTSIDER, "session=1", |version| version == "v2");
        }
        told = world.judged(&judge).await;
        if told.starts_with("rollback") {
            break;
        }
    }
    assert!(told.starts_with("rollback"), "{told}");
}
