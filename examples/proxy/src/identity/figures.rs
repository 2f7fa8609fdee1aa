//! The identity of this process in figures: for metrics, and for whoever asks whether all is well.

use std::time::{Duration, SystemTime};

use mesh_core::ServiceName;
use mesh_telemetry::Telemetry;
use mesh_telemetry::metrics::{Remaining, Untrusted};
use mesh_telemetry::registry::BeforeScrape;
use mesh_tls::identity::{IdentityStatus, RootStatus, Standing};
use mesh_tls::{Certificate, Identity};

/// Sets the figures of an identity at each scrape, as long as it is kept.
pub fn figures(telemetry: &Telemetry, service: &ServiceName, identity: &Identity) -> BeforeScrape {
    let (metrics, identity) = (telemetry.identity(service), identity.clone());
    telemetry.before_scrape(move || {
        let (status, now) = (identity.status(), SystemTime::now());
        let certificate = &status.certificate;
        metrics.set_leaf(Remaining {
            days: days_until(certificate.not_after(), now),
            lifetime: certificate.lifetime(),
        });
        if let Some(ca) = ca(&status) {
            metrics.set_ca(Remaining {
                days: days_until(ca.not_after, now),
                lifetime: ca.not_after.duration_since(ca.not_before).unwrap_or_default(),
            });
        }
        let overdue = status.renewal.overdue_since;
        metrics.set_renewal_overdue(overdue.map_or(Duration::ZERO, |since| age(since, now)));
        if let Some(oldest) = status.trust.crls.iter().map(|crl| crl.this_update).min() {
            metrics.set_crl_age(age(oldest, now));
        }
        metrics.set_bundle(status.trust.sequence, status.trust.refusals);
        let counts = identity.peer_counts();
        metrics.set_ended([
            (Untrusted::Revoked, counts.ended_revoked),
            (Untrusted::Expired, counts.ended_expired),
            (Untrusted::Untrusted, counts.ended_untrusted),
        ]);
    })
}

/// What is not as it should be, though this process serves as ever.
pub fn troubles(identity: &Identity) -> Vec<String> {
    let status = identity.status();
    let mut troubles = Vec::new();
    match status.standing {
        Standing::Good | Standing::Tainted => {}
        other => troubles.push(format!("its certificate is {}", standing(other))),
    }
    if let Some(since) = status.renewal.overdue_since {
        let why = status.renewal.last_error.as_deref().unwrap_or("nobody knows why");
        troubles.push(format!(
            "a new certificate has been wanted since {}: {why}",
            humantime::format_rfc3339_seconds(since)
        ));
    }
    let trust = &status.trust;
    troubles.extend(
        trust
            .refused
            .iter()
            .map(|why| format!("the new trust bundle is refused: {why}")),
    );
    troubles.extend(
        trust
            .unreachable
            .iter()
            .map(|why| format!("the trust bundle cannot be followed: {why}")),
    );
    troubles.extend(
        status
            .unsaved
            .iter()
            .map(|why| format!("the identity cannot be saved: {why}")),
    );
    troubles
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Good => "good",
        Standing::Tainted => "of a CA whose key may be known to others",
        Standing::Untrusted => "not believed by the trust bundle",
        Standing::Revoked => "revoked",
        Standing::Expired => "past its end",
        _ => "not good",
    }
}

/// The root that vouches for the certificate: during a rotation there are two, and the old one may end.
fn ca(status: &IdentityStatus) -> Option<&RootStatus> {
    let top = Certificate::parse(status.certificate.chain().last()?).ok()?;
    status
        .trust
        .roots
        .iter()
        .find(|root| root.subject == top.issuer())
}

/// Days until then; negative when it is over.
pub fn days_until(end: SystemTime, now: SystemTime) -> f64 {
    match end.duration_since(now) {
        Ok(left) => left.as_secs_f64() / 86_400.0,
        Err(over) => -over.duration().as_secs_f64() / 86_400.0,
    }
}

fn age(since: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(since).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mesh_core::SpiffeId;
    use mesh_tls::{CertStore, LocalCa, StoreError, StoreErrorKind, StoredCert};

    use super::*;

    /// A store on a disk without space.
    struct Full;

    impl CertStore for Full {
        async fn load(&self, _: &SpiffeId) -> Result<Option<StoredCert>, StoreError> {
            Ok(None)
        }

        async fn save(&self, _: &StoredCert) -> Result<(), StoreError> {
            Err(StoreError::new(StoreErrorKind::Unavailable, "no space is left"))
        }
    }

    /// Case 77.
    #[tokio::test]
    async fn an_identity_that_cannot_be_saved_serves_is_in_trouble_and_is_shown() {
        let ca = LocalCa::in_memory("cluster.local").expect("a CA");
        let id: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/gate"
            .parse()
            .expect("an ID");
        let builder = Identity::builder(id).authority(ca).store(Full);
        let identity = builder.start().await.expect("it serves");
        let mut status = identity.follow_status();
        while identity.status().unsaved.is_none() {
            status.changed().await;
        }
        assert_eq!(
            troubles(&identity),
            ["the identity cannot be saved: no space is left"]
        );

        let telemetry = Telemetry::new();
        let _figures = figures(&telemetry, &"gate".parse().expect("a name"), &identity);
        let page = telemetry.render();
        let value = |name: &str| {
            let line = page.lines().find(|line| line.starts_with(name)).expect(name);
            let (_, value) = line.rsplit_once(' ').expect("a value");
            value.parse::<f64>().expect("a number")
        };
        let days = r#"service_mesh_certificate_expiry_days{service="gate",kind="#;
        assert!((89.9..=90.0).contains(&value(&format!("{days}\"leaf\""))));
        assert!((3649.9..=3650.0).contains(&value(&format!("{days}\"ca\""))));
        let age = value("service_mesh_crl_age_seconds{");
        assert!((300.0..310.0).contains(&age), "dated back by five minutes: {age}");
    }
}
