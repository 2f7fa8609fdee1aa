use tokio::time::Instant;

use super::*;
use crate::breaker::{Breaker, BreakerPolicy};
use crate::endpoint::Endpoint;

fn step(stage: usize) -> MeshEvent {
    let (service, version) = (
        "orders".parse().expect("a name"),
        "v2".parse().expect("a version"),
    );
    MeshEvent::CanaryStep {
        service,
        version,
        stage,
        weight: 5,
        cause: "the new version has 2 endpoints".into(),
    }
}

/// One of each, with its word and its sentence.
fn every_event() -> Vec<(MeshEvent, &'static str, &'static str)> {
    let service: ServiceName = "orders".parse().expect("a name");
    let version: Version = "v2".parse().expect("a version");
    let endpoint = Endpoint::new("10.0.0.7:3001".parse().expect("an address"))
        .id()
        .clone();
    let identity: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/orders"
        .parse()
        .expect("an identity");
    let now = Instant::now();
    let transition = Breaker::new(BreakerPolicy::default(), now)
        .trip(now)
        .expect("it opens");
    let serial: Arc<str> = "0a1b".into();
    vec![
        (
            MeshEvent::EndpointEjected {
                service: service.clone(),
                endpoint: endpoint.clone(),
                cause: "5 consecutive failures".into(),
                ejected_for: Duration::from_secs(30),
            },
            "endpoint_ejected",
            "10.0.0.7:3001 of orders is ejected for 30s: 5 consecutive failures",
        ),
        (
            MeshEvent::EndpointReturned {
                service: service.clone(),
                endpoint: endpoint.clone(),
            },
            "endpoint_returned",
            "10.0.0.7:3001 of orders is back",
        ),
        (
            MeshEvent::HealthChanged {
                service: service.clone(),
                endpoint,
                healthy: false,
                cause: "connection refused".into(),
            },
            "health_changed",
            "10.0.0.7:3001 of orders is unhealthy: connection refused",
        ),
        (
            MeshEvent::BreakerChanged {
                service: service.clone(),
                version: None,
                transition,
            },
            "breaker_changed",
            "the circuit breaker of orders: closed -> open: ordered, open for 30s",
        ),
        (
            MeshEvent::BreakerChanged {
                service: service.clone(),
                version: Some(version.clone()),
                transition: Breaker::new(BreakerPolicy::default(), now)
                    .trip(now)
                    .expect("it opens"),
            },
            "breaker_changed",
            "the circuit breaker of v2 of orders: closed -> open: ordered, open for 30s",
        ),
        (
            MeshEvent::TooFewEndpoints {
                service: service.clone(),
                found: 2,
                expected: 3,
            },
            "too_few_endpoints",
            "orders has 2 endpoints, expected 3",
        ),
        (
            MeshEvent::PanicEntered {
                service: service.clone(),
                healthy: 1,
                total: 3,
            },
            "panic_entered",
            "only 1 of 3 endpoints of orders are healthy: requests go to all of them",
        ),
        (
            MeshEvent::PanicLeft {
                service: service.clone(),
                healthy: 2,
                total: 3,
            },
            "panic_left",
            "2 of 3 endpoints of orders are healthy: requests go to these again",
        ),
        (
            MeshEvent::DiscoverySynced {
                service: service.clone(),
                endpoints: 3,
            },
            "discovery_synced",
            "discovery found 3 endpoints of orders",
        ),
        (
            MeshEvent::DiscoveryStale {
                service: service.clone(),
                age: Some(Duration::from_millis(61_234)),
                cause: "no answer".into(),
            },
            "discovery_stale",
            "the endpoints of orders are 61s old: no answer",
        ),
        (
            MeshEvent::DiscoveryStale {
                service: service.clone(),
                age: None,
                cause: "no answer".into(),
            },
            "discovery_stale",
            "the endpoints of orders are not known: no answer",
        ),
        (
            MeshEvent::RateLimitCrowded {
                limit: "orders".into(),
                room: 10_000,
            },
            "rate_limit_crowded",
            "the rate limit of orders has room for 10000 keys and meets more: those share one allowance",
        ),
        (
            MeshEvent::RateLimitAlone {
                limit: "orders".into(),
                cause: "no answer within 20ms".into(),
            },
            "rate_limit_alone",
            "the rate limit of orders is counted by each replica alone: no answer within 20ms",
        ),
        (
            MeshEvent::RateLimitShared {
                limit: "orders".into(),
            },
            "rate_limit_shared",
            "the rate limit of orders is counted by all replicas together",
        ),
        (
            MeshEvent::CertificateRotated {
                identity: identity.clone(),
                serial: Arc::clone(&serial),
                not_after: SystemTime::UNIX_EPOCH,
            },
            "certificate_rotated",
            "spiffe://cluster.local/ns/dept-barc/sa/orders has a new certificate, serial 0a1b",
        ),
        (
            MeshEvent::CertificateExpiring {
                identity: identity.clone(),
                serial: Arc::clone(&serial),
                left: Some(Duration::from_millis(7_200_500)),
                cause: "the authority does not answer".into(),
            },
            "certificate_expiring",
            "certificate 0a1b of spiffe://cluster.local/ns/dept-barc/sa/orders expires in 2h and is not renewed: \
             the authority does not answer",
        ),
        (
            MeshEvent::CertificateExpiring {
                identity,
                serial: Arc::clone(&serial),
                left: None,
                cause: "the authority does not answer".into(),
            },
            "certificate_expiring",
            "certificate 0a1b of spiffe://cluster.local/ns/dept-barc/sa/orders has expired and is not renewed: the \
             authority does not answer",
        ),
        (
            MeshEvent::CertificateRevoked {
                serial: Arc::clone(&serial),
            },
            "certificate_revoked",
            "certificate 0a1b is revoked",
        ),
        (
            MeshEvent::PeerUntrusted {
                peer: "spiffe://cluster.local/ns/dept-barc/sa/frontend".into(),
                serial,
                connections: 2,
                cause: "it was revoked by CN=root".into(),
            },
            "peer_untrusted",
            "2 connections of spiffe://cluster.local/ns/dept-barc/sa/frontend with the certificate 0a1b end: it was \
             revoked by CN=root",
        ),
        (
            MeshEvent::ConfigReloaded,
            "config_reloaded",
            "the changed configuration is in force",
        ),
        (
            MeshEvent::ConfigRejected {
                report: "mesh.yaml:3:5: unknown key".into(),
            },
            "config_rejected",
            "the changed configuration is refused, the one before stays: mesh.yaml:3:5: unknown key",
        ),
        (
            step(1),
            "canary_step",
            "rollout of orders v2: stage 1, 5% of the requests: the new version has 2 endpoints",
        ),
        (
            MeshEvent::CanaryPaused {
                service: service.clone(),
                version: version.clone(),
                cause: "too few requests".into(),
            },
            "canary_paused",
            "rollout of orders v2 is paused: too few requests",
        ),
        (
            MeshEvent::CanaryPromoted {
                service: service.clone(),
                version: version.clone(),
                cause: "the new version gets 100%".into(),
            },
            "canary_promoted",
            "orders v2 is promoted: the new version gets 100%",
        ),
        (
            MeshEvent::CanaryRolledBack {
                service: service.clone(),
                version: version.clone(),
                cause: "8 of 40 failed".into(),
            },
            "canary_rolled_back",
            "orders v2 is rolled back: 8 of 40 failed",
        ),
        (
            MeshEvent::CanaryResumed {
                service: service.clone(),
                version: version.clone(),
                cause: "ann said so".into(),
            },
            "canary_resumed",
            "rollout of orders v2 goes on: ann said so",
        ),
        (
            MeshEvent::CanaryApproved {
                service: service.clone(),
                version: version.clone(),
                cause: "ann said so".into(),
            },
            "canary_approved",
            "the next stage of orders v2 is approved: ann said so",
        ),
        (
            MeshEvent::CanaryRollingBack {
                service: service.clone(),
                version: version.clone(),
                cause: "ann said so".into(),
            },
            "canary_rolling_back",
            "orders v2 is being rolled back: ann said so",
        ),
        (
            MeshEvent::CanaryReplanned {
                service: service.clone(),
                version: version.clone(),
                cause: "ann said so".into(),
            },
            "canary_replanned",
            "rollout of orders v2 goes on by another plan: ann said so",
        ),
        (
            MeshEvent::CanaryStuck {
                service: service.clone(),
                version: version.clone(),
                running_for: Duration::from_millis(3_600_500),
            },
            "canary_stuck",
            "rollout of orders v2 is stuck: it began 1h ago",
        ),
        (
            MeshEvent::CanaryHalted {
                service: service.clone(),
                version,
                cause: "v1 has no endpoint".into(),
            },
            "canary_halted",
            "orders v2 could not be rolled back: v1 has no endpoint",
        ),
        (
            MeshEvent::AnomalyBegan {
                service: service.clone(),
                route: "checkout".into(),
                figure: "latency",
                seen: 0.8004,
                usual: 0.1,
            },
            "anomaly_began",
            "the latency of orders by checkout is unusual: 800ms, and 100ms as a rule",
        ),
        (
            MeshEvent::AnomalyBegan {
                service: service.clone(),
                route: "".into(),
                figure: "error_rate",
                seen: 0.25,
                usual: 0.001,
            },
            "anomaly_began",
            "the error rate of orders is unusual: 25.0%, and 0.1% as a rule",
        ),
        (
            MeshEvent::AnomalyEnded {
                service,
                route: "checkout".into(),
                figure: "latency",
            },
            "anomaly_ended",
            "the latency of orders by checkout is as usual again",
        ),
        (
            MeshEvent::DrainStarted { in_flight: 2 },
            "drain_started",
            "draining, 2 connections are open",
        ),
        (
            MeshEvent::DrainFinished { cut_off: 0 },
            "drain_finished",
            "drained, nothing was cut off",
        ),
        (
            MeshEvent::DrainFinished { cut_off: 2 },
            "drain_finished",
            "drained, 2 connections were cut off",
        ),
    ]
}

#[test]
fn every_event_has_a_word_and_a_sentence() {
    for (event, kind, sentence) in every_event() {
        assert_eq!(event.kind(), kind);
        assert_eq!(event.to_string(), sentence);
    }
}

#[test]
fn every_word_is_listed_and_every_listed_one_is_a_word() {
    let words: std::collections::BTreeSet<_> = every_event().iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(words, MeshEvent::KINDS.into());
}

#[test]
fn what_an_event_holds_is_told_one_by_one_and_the_service_first() {
    for (event, kind, _) in every_event() {
        let fields = event.fields();
        let names: std::collections::BTreeSet<_> = fields.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), fields.len(), "{kind}: no name twice");
        let service = event
            .service()
            .map(|service| ("service", Field::Text(service.as_str().into())));
        if let Some(service) = service {
            assert_eq!(fields.first(), Some(&service), "{kind}");
        }
        assert_eq!(fields.is_empty(), event == MeshEvent::ConfigReloaded, "{kind}");
    }
}

#[test]
fn the_breaker_of_a_version_names_it() {
    let mut told = Vec::new();
    for (event, kind, _) in every_event() {
        if kind == "breaker_changed" {
            let fields = event.fields();
            told.push(
                fields
                    .iter()
                    .any(|field| *field == ("version", Field::Text("v2".into()))),
            );
        }
    }
    assert_eq!(told, [false, true]);
}

#[test]
fn an_event_names_its_service_in_its_sentence() {
    for (event, _, sentence) in every_event() {
        if let Some(service) = event.service() {
            assert!(sentence.contains(service.as_str()), "{sentence}");
        }
    }
}

#[test]
fn telling_nobody_is_fine() {
    let bus = EventBus::default();
    bus.emit(MeshEvent::ConfigReloaded);
    assert_eq!(bus.lost(), 0);
}

#[tokio::test]
async fn every_listener_hears_what_happens_after_it_came() {
    let bus = EventBus::default();
    let mut early = bus.subscribe();
    bus.emit(step(1));
    let mut late = bus.subscribe();
    bus.clone().emit(step(2));
    drop(bus);
    assert_eq!(early.next().await.as_deref(), Some(&step(1)));
    assert_eq!(early.next().await.as_deref(), Some(&step(2)));
    assert_eq!(late.next().await.as_deref(), Some(&step(2)));
    assert_eq!(late.next().await, None);
}

#[tokio::test]
async fn a_slow_listener_loses_the_oldest_and_it_is_counted() {
    let bus = EventBus::new(4);
    let mut slow = bus.subscribe();
    for stage in 1..=10 {
        bus.emit(step(stage));
    }
    assert_eq!(slow.next().await.as_deref(), Some(&step(7)));
    assert_eq!((slow.missed(), bus.lost()), (6, 6));
    assert_eq!(slow.next().await.as_deref(), Some(&step(8)));
    assert_eq!(slow.missed(), 6);
}

#[tokio::test]
async fn a_bus_without_room_keeps_one() {
    let bus = EventBus::new(0);
    let mut events = bus.subscribe();
    bus.emit(step(1));
    bus.emit(step(2));
    assert_eq!(events.next().await.as_deref(), Some(&step(2)));
}
