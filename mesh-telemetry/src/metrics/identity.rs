//! What is told of an identity: until when its certificates are good, and how fresh its trust is.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::metrics::{Counter, Gauge};

use crate::registry::{Series, names};

const DAY: f64 = 86_400.0;

/// The metrics of an identity of this process: [`Telemetry::identity`](crate::Telemetry::identity). What changes by
/// itself, as the time that is left, is to be set at each scrape.
///
/// ```
/// use std::time::Duration;
/// use mesh_telemetry::Telemetry;
/// use mesh_telemetry::metrics::{Remaining, Untrusted};
///
/// let telemetry = Telemetry::new();
/// let orders = telemetry.identity(&"orders".parse()?);
/// let day = Duration::from_secs(86_400);
/// orders.set_leaf(Remaining { days: 89.5, lifetime: 90 * day });
/// orders.set_bundle(17, 0);
/// orders.set_ended([(Untrusted::Revoked, 2)]);
///
/// let page = telemetry.render();
/// assert!(page.contains(r#"service_mesh_certificate_expiry_days{service="orders",kind="leaf"} 89.5"#));
/// assert!(page.contains(r#"service_mesh_certificate_lifetime_days{service="orders",kind="leaf"} 90"#));
/// assert!(page.contains(r#"service_mesh_trust_bundle_sequence{service="orders"} 17"#));
/// assert!(page.contains(r#"service_mesh_connections_ended_total{service="orders",cause="revoked"} 2"#));
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
pub struct IdentityMetrics {
    series: Arc<Series>,
    service: Arc<str>,
    leaf: OnceLock<[Gauge; 2]>,
    ca: OnceLock<[Gauge; 2]>,
    crl_age: OnceLock<Gauge>,
    overdue: Gauge,
    sequence: Gauge,
    refused: Counter,
    ended: [(Untrusted, Counter); 3],
}

/// Until when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remaining {
    /// Days until its end; negative when it is over.
    pub days: f64,
    /// How long it is good in all.
    pub lifetime: Duration,
}

/// Why connections ended whose peer is not trusted any more: the label `cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// The peer's certificate, or one above it, was revoked.
    Revoked,
    /// The peer's certificate came to its end.
    Expired,
    /// Its CA is not trusted any more.
    Untrusted,
}

impl Untrusted {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Revoked, "revoked"),
        (Self::Expired, "expired"),
        (Self::Untrusted, "untrusted"),
    ];
}

impl IdentityMetrics {
    pub(crate) fn new(series: &Arc<Series>, service: &Arc<str>) -> Self {
        let of = [("service", &**service)];
        let ended = |cause| {
            series.counter(
                names::CONNECTIONS_ENDED,
                &[("service", &**service), ("cause", cause)],
            )
        };
        Self {
            leaf: OnceLock::new(),
            ca: OnceLock::new(),
            crl_age: OnceLock::new(),
            overdue: series.gauge(names::RENEWAL_OVERDUE, &of),
            sequence: series.gauge(names::BUNDLE_SEQUENCE, &of),
            refused: series.counter(names::BUNDLES_REFUSED, &of),
            ended: Untrusted::ALL.map(|(cause, text)| (cause, ended(text))),
            series: Arc::clone(series),
            service: Arc::clone(service),
        }
    }

    /// Tells of the certificate that this process shows.
    pub fn set_leaf(&self, left: Remaining) {
        self.set_certificate(&self.leaf, "leaf", left);
    }

    /// Tells of the CA that vouches for it.
    pub fn set_ca(&self, left: Remaining) {
        self.set_certificate(&self.ca, "ca", left);
    }

    fn set_certificate(&self, gauges: &OnceLock<[Gauge; 2]>, kind: &'static str, left: Remaining) {
        let gauge = |name| {
            self.series
                .gauge(name, &[("service", &*self.service), ("kind", kind)])
        };
        let [expiry, lifetime] = gauges.get_or_init(|| {
            [
                gauge(names::CERTIFICATE_EXPIRY),
                gauge(names::CERTIFICATE_LIFETIME),
            ]
        });
        expiry.set(left.days);
        lifetime.set(left.lifetime.as_secs_f64() / DAY);
    }

    /// Tells how long a new certificate has been wanted and has not come.
    pub fn set_renewal_overdue(&self, overdue: Duration) {
        self.overdue.set(overdue.as_secs_f64());
    }

    /// Tells how old the oldest of the revocation lists in force is.
    pub fn set_crl_age(&self, age: Duration) {
        let gauge = || self.series.gauge(names::CRL_AGE, &[("service", &*self.service)]);
        self.crl_age.get_or_init(gauge).set(age.as_secs_f64());
    }

    /// Tells which trust bundle is in force, and how many were refused so far.
    pub fn set_bundle(&self, sequence: u64, refused: u64) {
        self.sequence.set(sequence as f64);
        self.refused.absolute(refused);
    }

    /// Tells how many connections ended so far since their peer is not trusted any more.
    pub fn set_ended(&self, ended: impl IntoIterator<Item = (Untrusted, u64)>) {
        for (cause, number) in ended {
            if let Some((_, counter)) = self.ended.iter().find(|(known, _)| *known == cause) {
                counter.absolute(number);
            }
        }
    }

    /// Keeps the series on the page.
    pub(crate) fn touch(&self) {
        let certificates = [&self.leaf, &self.ca]
            .into_iter()
            .filter_map(OnceLock::get)
            .flatten();
        let gauges = certificates
            .chain(self.crl_age.get())
            .chain([&self.overdue, &self.sequence]);
        gauges.for_each(|gauge| gauge.increment(0.0));
        self.ended.iter().for_each(|(_, counter)| counter.increment(0));
        self.refused.increment(0);
    }
}
