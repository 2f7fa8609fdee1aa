use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_core::{Endpoint, live};
use parking_lot::Mutex;
use tokio::time::sleep;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What a scripted endpoint does when it is asked.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Answers(bool),
    Hangs,
    Panics,
}

#[derive(Default)]
struct Script {
    /// By port; the others answer well.
    does: Mutex<HashMap<u16, Does>>,
    /// Who was asked, and when.
    asked: Mutex<Vec<(u16, Instant)>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    successes: Mutex<HashMap<u16, Instant>>,
    told: Mutex<Vec<String>>,
    confirmed: Mutex<Vec<(u16, bool)>>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Script>);

impl Scripted {
    fn set(&self, port: u16, does: Does) {
        self.0.does.lock().insert(port, does);
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.told.lock())
    }

    fn asked(&self, port: u16) -> Vec<Instant> {
        let asked = self.0.asked.lock();
        asked
            .iter()
            .filter(|(p, _)| *p == port)
            .map(|(_, at)| *at)
            .collect()
    }

    fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::Relaxed)
    }
}

fn port(id: &EndpointId) -> u16 {
    let text = id.to_string();
    let (_, port) = text.rsplit_once(':').expect("a port");
    port.parse().expect("a number")
}

/// Counts a question as under way until it is dropped.
struct UnderWay(Arc<Script>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HealthCheck for Scripted {
    async fn check(&self, endpoint: &Endpoint) -> Result<(), HealthError> {
        let port = port(endpoint.id());
        let before = self.0.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(Arc::clone(&self.0));
        self.0.most.fetch_max(before + 1, Ordering::Relaxed);
        self.0.asked.lock().push((port, Instant::now()));
        let does = self.0.does.lock().get(&port).copied();
        match does.unwrap_or(Does::Answers(true)) {
            Does::Answers(good) => {
                sleep(Duration::from_millis(10)).await;
                if good {
                    Ok(())
                } else {
                    Err(HealthError::new("ill"))
                }
            }
            Does::Hangs => std::future::pending().await,
            Does::Panics => panic!("a mistake"),
        }
    }
}

impl HealthSink for Scripted {
    fn last_success(&self, endpoint: &EndpointId) -> Option<Instant> {
        self.0.successes.lock().get(&port(endpoint)).copied()
    }

    fn report(&self, endpoint: &EndpointId, change: Change) {
        let health = if change.healthy { "healthy" } else { "unhealthy" };
        let text = format!("{} {health}: {}", port(endpoint), change.cause);
        self.0.told.lock().push(text);
    }

    fn confirm(&self, endpoint: &EndpointId, healthy: bool) {
        self.0.confirmed.lock().push((port(endpoint), healthy));
    }
}

fn set(ports: impl IntoIterator<Item = u16>) -> EndpointSet {
    let endpoint = |port| Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)).into());
    ports.into_iter().map(endpoint).collect()
}

fn start(script: &Scripted, endpoints: Live<EndpointSet>, settings: HealthSettings) -> HealthDriver {
    HealthDriver::start(script.clone(), endpoints, settings, script.clone())
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_dies_and_comes_back_is_told_of_once_each() {
    let script = Scripted::default();
    let _driver = start(&script, Live::fixed(set([1, 2])), HealthSettings::default());
    sleep(70 * SECOND).await;
    assert!(script.told().is_empty(), "both are healthy, as was thought");

    script.set(2, Does::Answers(false));
    sleep(60 * SECOND).await;
    assert_eq!(
        script.told(),
        ["2 unhealthy: 3 bad answers in a row, the last: ill"]
    );

    script.set(2, Does::Answers(true));
    sleep(20 * SECOND).await;
    assert_eq!(script.told(), ["2 healthy: 2 good answers in a row"]);
    let confirmed = script.0.confirmed.lock();
    assert!(confirmed.contains(&(1, true)) && confirmed.contains(&(2, false)));
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_is_asked_within_a_second_and_its_first_answer_counts_alone() {
    let script = Scripted::default();
    let (publisher, endpoints) = live(set([]));
    let _driver = start(&script, endpoints, HealthSettings::default());
    sleep(100 * SECOND).await;
    script.set(1, Does::Answers(false));
    publisher.publish(set([1]));
    sleep(SECOND + Duration::from_millis(20)).await;
    assert_eq!(script.told(), ["1 unhealthy: its first answer is bad: ill"]);
}

#[tokio::test(start_paused = true)]
async fn a_suspected_endpoint_is_found_out_in_a_fraction_of_three_intervals() {
    let script = Scripted::default();
    let _driver = start(&script, Live::fixed(set([1])), HealthSettings::default());
    sleep(70 * SECOND).await;
    script.set(1, Does::Answers(false));
    let died = Instant::now();
    while script.told().is_empty() {
        sleep(Duration::from_millis(100)).await;
    }
    // The next question, and two more after 5 s each.
    assert!(died.elapsed() < 45 * SECOND, "{:?}", died.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_left_is_asked_no_more_and_told_of_no_more() {
    let script = Scripted::default();
    let (publisher, endpoints) = live(set([1, 2]));
    let _driver = start(&script, endpoints, HealthSettings::default());
    sleep(40 * SECOND).await;
    publisher.publish(set([2]));
    sleep(SECOND).await;
    script.set(1, Does::Answers(false));
    let (left, stayed) = (script.asked(1).len(), script.asked(2).len());
    sleep(300 * SECOND).await;
    assert_eq!(script.asked(1).len(), left);
    assert!(script.asked(2).len() > stayed);
    assert!(script.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn good_traffic_answers_four_questions_of_five() {
    let script = Scripted::default();
    let _driver = start(&script, Live::fixed(set([1, 2])), HealthSettings::default());
    for _ in 0..3000 {
        sleep(SECOND).await;
        script.0.successes.lock().insert(1, Instant::now());
    }
    let (busy, silent) = (script.asked(1).len(), script.asked(2).len());
    assert!((95..=106).contains(&silent), "{silent}");
    assert!((18..=24).contains(&busy), "{busy}");
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_endpoint_is_asked_whatever_its_traffic() {
    let script = Scripted::default();
    script.set(1, Does::Answers(false));
    let _driver = start(&script, Live::fixed(set([1])), HealthSettings::default());
    for _ in 0..60 {
        sleep(SECOND).await;
        script.0.successes.lock().insert(1, Instant::now());
    }
    assert!(script.asked(1).len() >= 11, "{}", script.asked(1).len());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_endpoints_are_asked_by_one_task_a_few_at_once() {
    let script = Scripted::default();
    let settings = HealthSettings {
        at_once: 50,
        ..HealthSettings::default()
    };
    let driver = start(&script, Live::fixed(set(1..=10_000)), settings);
    sleep(10 * SECOND).await;
    let asked: std::collections::HashSet<u16> = script.0.asked.lock().iter().map(|(p, _)| *p).collect();
    assert_eq!(asked.len(), 10_000);
    assert_eq!(script.0.most.load(Ordering::Relaxed), 50);
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_or_panics_is_a_bad_answer_and_keeps_nobody_else_waiting() {
    let script = Scripted::default();
    script.set(1, Does::Hangs);
    script.set(2, Does::Panics);
    script.set(3, Does::Answers(false));
    let settings = HealthSettings {
        at_once: 2,
        ..HealthSettings::default()
    };
    let _driver = start(&script, Live::fixed(set([1, 2, 3])), settings);
    sleep(40 * SECOND).await;
    let mut told = script.told();
    told.sort();
    assert_eq!(
        told,
        [
            "1 unhealthy: its first answer is bad: the check of 10.0.0.1:1 did not end within 30s",
            "2 unhealthy: its first answer is bad: the check panicked: a mistake",
            "3 unhealthy: its first answer is bad: ill",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn dropped_it_stops_asking_and_drops_the_questions_under_way() {
    let script = Scripted::default();
    script.set(1, Does::Hangs);
    let driver = start(&script, Live::fixed(set([1, 2])), HealthSettings::default());
    sleep(2 * SECOND).await;
    assert_eq!(script.under_way(), 1);
    drop(driver);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(script.under_way(), 0);
    let asked = script.0.asked.lock().len();
    sleep(100 * SECOND).await;
    assert_eq!(script.0.asked.lock().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn clients_that_start_together_do_not_march_in_step() {
    let script = Scripted::default();
    let drivers: Vec<_> = (0..200)
        .map(|_| start(&script, Live::fixed(set([1])), HealthSettings::default()))
        .collect();
    sleep(300 * SECOND).await;
    let late = Instant::now() - 30 * SECOND;
    let mut in_each_second = [0_usize; 30];
    for at in script.asked(1).into_iter().filter(|at| *at >= late) {
        in_each_second[((at - late).as_millis() / 1000).min(29) as usize] += 1;
    }
    // Two hundred questions over thirty seconds: about seven in each.
    assert!(in_each_second.iter().all(|n| *n <= 25), "{in_each_second:?}");
    drop(drivers);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_must_prove_themselves_are_told_of_at_their_first_good_answer() {
    let script = Scripted::default();
    let settings = HealthSettings {
        new_endpoints: NewEndpoints::Unhealthy,
        ..HealthSettings::default()
    };
    let _driver = start(&script, Live::fixed(set([1])), settings);
    sleep(2 * SECOND).await;
    assert_eq!(script.told(), ["1 healthy: its first answer is good"]);
}
