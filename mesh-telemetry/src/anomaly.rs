//! Notes when requests of a route go otherwise than they usually do: more errors, or longer.
//!
//! Every window of a route gives two figures, the share of requests that ended with 5xx and the 95th percentile of the
//! duration. Usual is the median of the last windows, and unusual is what lies further above it than so many times their
//! median absolute deviation: neither asks how figures are distributed, and half of the windows may be outliers. What goes
//! on for two windows is noted; two usual ones end it. Windows that are unusual are not learned from, so that trouble does
//! not become the rule while it lasts; only what has lasted as long as the memory is, is the new rule.
//!
//! ```
//! use mesh_telemetry::anomaly::{AnomalyPolicy, Change, Usual, Window};
//!
//! let mut orders = Usual::new(AnomalyPolicy::default());
//! let quiet = |n: u32| Window { requests: 100, error_rate: 0.0, latency: 0.1 + f64::from(n % 5) / 1000.0 };
//! assert!((0..60).all(|n| orders.on(quiet(n)).is_empty()));
//!
//! let slow = Window { latency: 0.8, ..quiet(0) };
//! assert_eq!(orders.on(slow), []);
//! let [Change::Began { figure: "latency", seen, usual }] = orders.on(slow)[..] else { panic!("it goes on") };
//! assert!(seen == 0.8 && (0.1..0.105).contains(&usual));
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mesh_core::metric::Histogram;
use mesh_core::{EventBus, MeshEvent, ServiceName};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::metrics::{EDGES, Total, edges};

mod usual;

pub use usual::{AnomalyPolicy, Change, Usual, Window};

/// Watches the routes until it is dropped: [`Telemetry::start_anomalies`](crate::Telemetry::start_anomalies).
#[must_use = "it stops when this is dropped"]
pub struct Anomalies {
    task: JoinHandle<()>,
    show: Arc<dyn Fn(Shown) + Send + Sync>,
}

impl Anomalies {
    /// `totals` are asked for at each window; `show` is told whether a figure is unusual.
    pub(crate) fn start(
        policy: AnomalyPolicy,
        bus: EventBus,
        totals: impl Fn() -> Vec<Total> + Send + 'static,
        show: impl Fn(Shown) + Send + Sync + 'static,
    ) -> Self {
        let show: Arc<dyn Fn(Shown) + Send + Sync> = Arc::new(show);
        let showing = Arc::clone(&show);
        let task = tokio::spawn(async move {
            let mut windows = interval_at(Instant::now() + policy.window, policy.window);
            windows.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut routes = Routes::new(policy, &totals());
            loop {
                windows.tick().await;
                for event in routes.on(&totals()) {
                    bus.emit(event);
                }
                showing(routes.shown());
            }
        });
        Self { task, show }
    }
}

impl Drop for Anomalies {
    /// Nothing is shown of what nobody watches.
    fn drop(&mut self) {
        self.task.abort();
        (self.show)(Shown::new());
    }
}

impl fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anomalies").finish_non_exhaustive()
    }
}

/// Service and route.
type Key = (Arc<str>, Arc<str>);

/// A figure of a route: service, route, figure.
pub(crate) type Figured = (Arc<str>, Arc<str>, &'static str);

/// Whether it is unusual.
pub(crate) type Shown = BTreeMap<Figured, bool>;

/// What was counted of a route so far.
#[derive(Clone, Copy, Default)]
struct Counted {
    latencies: [u64; EDGES.len() + 1],
    failed: u64,
}

struct Routes {
    policy: AnomalyPolicy,
    counted: BTreeMap<Key, Counted>,
    usual: BTreeMap<Key, Usual>,
}

impl Routes {
    fn new(policy: AnomalyPolicy, totals: &[Total]) -> Self {
        Self {
            policy,
            counted: counted(totals),
            usual: BTreeMap::new(),
        }
    }

    /// A window is over; what has been counted by now.
    fn on(&mut self, totals: &[Total]) -> Vec<MeshEvent> {
        let now = counted(totals);
        let mut events = Vec::new();
        for (key, counts) in &now {
            let before = self.counted.get(key).copied().unwrap_or_default();
            let usual = self.usual.entry(key.clone());
            let usual = usual.or_insert_with(|| Usual::new(self.policy));
            let changes = window(counts, &before).map(|window| usual.on(window));
            let told = |change| told(key, change);
            events.extend(changes.into_iter().flatten().filter_map(told));
        }
        // What is not counted any more is not remembered.
        self.usual.retain(|key, _| now.contains_key(key));
        self.counted = now;
        events
    }

    fn shown(&self) -> Shown {
        let of_route = |(key, usual): (&Key, &Usual)| {
            let (service, route) = key.clone();
            let figures: Vec<_> = usual.unusual().collect();
            figures
                .into_iter()
                .map(move |(figure, is)| ((Arc::clone(&service), Arc::clone(&route), figure), is))
        };
        self.usual.iter().flat_map(of_route).collect()
    }
}

fn counted(totals: &[Total]) -> BTreeMap<Key, Counted> {
    let mut counted = BTreeMap::<Key, Counted>::new();
    for total in totals {
        let key = (Arc::clone(&total.route.service), Arc::clone(&total.route.route));
        let sums = counted.entry(key).or_default();
        for (sum, count) in sums.latencies.iter_mut().zip(total.latencies) {
            *sum += count;
        }
        sums.failed += match total.is_failed() {
            true => total.latencies.iter().sum(),
            false => 0,
        };
    }
    counted
}

/// Nothing if a part of it began anew: the next one is whole.
fn window(now: &Counted, before: &Counted) -> Option<Window> {
    let histogram = |counts: &Counted| Histogram::new(edges(), counts.latencies.into());
    let added = histogram(now)?.since(&histogram(before)?)?;
    let failed = now.failed.checked_sub(before.failed)?;
    let requests = added.count();
    Some(Window {
        requests,
        error_rate: failed as f64 / requests.max(1) as f64,
        latency: added.quantile(0.95).unwrap_or_default().as_secs_f64(),
    })
}

fn told((service, route): &Key, change: Change) -> Option<MeshEvent> {
    // It is printed from one.
    let service: ServiceName = service.parse().ok()?;
    let route = Arc::clone(route);
    Some(match change {
        Change::Began { figure, seen, usual } => MeshEvent::AnomalyBegan {
            service,
            route,
            figure,
            seen,
            usual,
        },
        Change::Ended { figure } => MeshEvent::AnomalyEnded {
            service,
            route,
            figure,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Request, StatusCode};
    use mesh_core::context::{Direction, Target};

    use super::*;
    use crate::Telemetry;

    #[tokio::test(start_paused = true)]
    async fn a_route_that_begins_to_fail_is_told_and_shown_until_it_is_well_again() {
        let (telemetry, bus) = (Telemetry::new(), EventBus::default());
        let mut events = bus.subscribe();
        let watching = telemetry.start_anomalies(AnomalyPolicy::default(), &bus);
        let target = Target::service("orders".parse().expect("a name")).with_route(Some("checkout".into()));
        let route = telemetry.route(&target, Direction::Inbound);
        let pass = async |seconds: u64, failing: u64| {
            for _ in 0..seconds {
                for n in 0..20 {
                    let status = if n < failing {
                        StatusCode::BAD_GATEWAY
                    } else {
                        StatusCode::OK
                    };
                    let request = Request::get("/").body(()).expect("a request");
                    route.begin(&request).answered(status, None);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let gauge = r#"service_mesh_anomaly{target_service="orders",route="checkout",figure="error_rate"}"#;
        pass(300, 0).await;
        assert!(telemetry.render().contains(&format!("{gauge} 0\n")));
        pass(31, 5).await;
        let began = events.next().await.expect("told");
        assert!(
            matches!(&*began, MeshEvent::AnomalyBegan { figure: "error_rate", seen, .. } if *seen > 0.1),
            "{began:?}"
        );
        assert!(telemetry.render().contains(&format!("{gauge} 1\n")));
        pass(31, 0).await;
        let ended = events.next().await.expect("told");
        assert!(
            matches!(
                &*ended,
                MeshEvent::AnomalyEnded {
                    figure: "error_rate",
                    ..
                }
            ),
            "{ended:?}"
        );
        assert!(telemetry.render().contains(&format!("{gauge} 0\n")));
        drop(watching);
        telemetry.render();
        assert!(
            !telemetry.render().contains("service_mesh_anomaly{"),
            "nobody watches"
        );
    }
}
