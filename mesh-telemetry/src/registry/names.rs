//! Every metric this crate gives: name, kind, unit, help. The one list.

use ::metrics::{Recorder, Unit};

pub(crate) const REQUESTS: &str = "service_mesh_requests_total";
pub(crate) const DURATION: &str = "service_mesh_request_duration_seconds";
pub(crate) const IN_FLIGHT: &str = "service_mesh_requests_in_flight";
pub(crate) const HTTP_REQUESTS: &str = "http_requests_total";
pub(crate) const ATTEMPTS: &str = "service_mesh_attempts_total";
pub(crate) const ENDPOINTS: &str = "service_mesh_endpoints";
pub(crate) const PANIC: &str = "service_mesh_panic";
pub(crate) const DISCOVERY_SYNCED: &str = "service_mesh_discovery_synced";
pub(crate) const DISCOVERY_LAST_SYNC: &str = "service_mesh_discovery_last_sync_timestamp_seconds";
pub(crate) const CIRCUIT_BREAKER_OPEN: &str = "service_mesh_circuit_breaker_open";
pub(crate) const RETRIES: &str = "service_mesh_retries_total";
pub(crate) const RATE_LIMITED: &str = "service_mesh_rate_limited_total";
pub(crate) const RATE_LIMITS_ALONE: &str = "service_mesh_rate_limits_alone_total";
pub(crate) const AUTHORIZATION_AUDITED: &str = "service_mesh_authorization_audited_total";
pub(crate) const FAULTS: &str = "service_mesh_faults_injected_total";
pub(crate) const MIRRORED: &str = "service_mesh_mirrored_total";
pub(crate) const SPANS: &str = "service_mesh_spans_total";
pub(crate) const LOG_LINES: &str = "service_mesh_access_log_lines_total";
pub(crate) const UNREADABLE: &str = "service_mesh_unreadable_requests_total";
pub(crate) const CONFIG_RELOADS: &str = "service_mesh_config_reloads_total";
pub(crate) const CERTIFICATE_EXPIRY: &str = "service_mesh_certificate_expiry_days";
pub(crate) const CERTIFICATE_LIFETIME: &str = "service_mesh_certificate_lifetime_days";
pub(crate) const RENEWAL_OVERDUE: &str = "service_mesh_certificate_renewal_overdue_seconds";
pub(crate) const CRL_AGE: &str = "service_mesh_crl_age_seconds";
pub(crate) const BUNDLE_SEQUENCE: &str = "service_mesh_trust_bundle_sequence";
pub(crate) const BUNDLES_REFUSED: &str = "service_mesh_trust_bundles_refused_total";
pub(crate) const CONNECTIONS_ENDED: &str = "service_mesh_connections_ended_total";
pub(crate) const CANARY_STATUS: &str = "canary_deployment_status";
pub(crate) const CANARY_ERROR_RATE: &str = "canary_deployment_error_rate";
pub(crate) const CANARY_RESPONSE_TIME: &str = "canary_deployment_response_time_p95";
pub(crate) const CANARY_DURATION: &str = "canary_deployment_duration_seconds";
pub(crate) const CANARY_WEIGHT: &str = "canary_deployment_weight";
pub(crate) const CANARY_SAMPLES: &str = "canary_deployment_samples";
pub(crate) const CANARY_STABLE_ERROR_RATE: &str = "canary_deployment_stable_error_rate";
pub(crate) const CANARY_STABLE_RESPONSE_TIME: &str = "canary_deployment_stable_response_time_p95";
pub(crate) const CANARY_STABLE_SAMPLES: &str = "canary_deployment_stable_samples";
pub(crate) const CANARY_EVIDENCE: &str = "canary_deployment_evidence";
pub(crate) const CANARY_EVIDENCE_LIMIT: &str = "canary_deployment_evidence_limit";
pub(crate) const CANARY_DECISIONS: &str = "canary_deployment_decisions_total";
pub(crate) const EVENTS: &str = "service_mesh_events_total";
pub(crate) const ANOMALY: &str = "service_mesh_anomaly";
pub(crate) const BUILD_INFO: &str = "service_mesh_build_info";

pub(crate) const DURATION_HELP: &str =
    "Seconds from the end of a request's head to the end of its response's body.";

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// Rendered by this crate, not by the recorder.
    Histogram,
}

struct Family {
    name: &'static str,
    kind: Kind,
    unit: Unit,
    help: &'static str,
}

const fn family(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Family {
    Family {
        name,
        kind,
        unit,
        help,
    }
}

const FAMILIES: [Family; 42] = [
    family(
        REQUESTS,
        Kind::Counter,
        Unit::Count,
        "Requests, each counted once, when its response is over.",
    ),
    family(DURATION, Kind::Histogram, Unit::Seconds, DURATION_HELP),
    family(
        IN_FLIGHT,
        Kind::Gauge,
        Unit::Count,
        "Requests whose response is not over yet.",
    ),
    family(
        HTTP_REQUESTS,
        Kind::Counter,
        Unit::Count,
        "Requests by service, version and status code.",
    ),
    family(
        ATTEMPTS,
        Kind::Counter,
        Unit::Count,
        "Attempts to have a request answered, retries included.",
    ),
    family(
        ENDPOINTS,
        Kind::Gauge,
        Unit::Count,
        "Endpoints of a service by state.",
    ),
    family(
        PANIC,
        Kind::Gauge,
        Unit::Count,
        "1 while so few endpoints of a service are well that all take requests, else 0.",
    ),
    family(
        DISCOVERY_SYNCED,
        Kind::Gauge,
        Unit::Count,
        "1 while the newest answer of discovery was a good one, else 0.",
    ),
    family(
        DISCOVERY_LAST_SYNC,
        Kind::Gauge,
        Unit::Seconds,
        "When discovery last gave a good answer, in seconds since 1970.",
    ),
    family(
        CIRCUIT_BREAKER_OPEN,
        Kind::Gauge,
        Unit::Count,
        "1 while the breaker of a service is open, else 0.",
    ),
    family(
        RETRIES,
        Kind::Counter,
        Unit::Count,
        "Retries by what came of them.",
    ),
    family(
        RATE_LIMITED,
        Kind::Counter,
        Unit::Count,
        "Requests over their rate limit, dry runs included.",
    ),
    family(
        RATE_LIMITS_ALONE,
        Kind::Counter,
        Unit::Count,
        "Requests counted by this process alone, since the store of shared rate limits did not answer.",
    ),
    family(
        AUTHORIZATION_AUDITED,
        Kind::Counter,
        Unit::Count,
        "Requests that passed since authorization only audits, and would be refused.",
    ),
    family(FAULTS, Kind::Counter, Unit::Count, "Faults injected on purpose."),
    family(
        MIRRORED,
        Kind::Counter,
        Unit::Count,
        "Copies of requests by how they ended.",
    ),
    family(
        SPANS,
        Kind::Counter,
        Unit::Count,
        "Spans that were kept, by what became of them.",
    ),
    family(
        LOG_LINES,
        Kind::Counter,
        Unit::Count,
        "Lines of the access log by what became of them.",
    ),
    family(
        UNREADABLE,
        Kind::Counter,
        Unit::Count,
        "What came to a listener and became no request, by reason.",
    ),
    family(
        CONFIG_RELOADS,
        Kind::Counter,
        Unit::Count,
        "Attempts to load a changed configuration.",
    ),
    family(
        CERTIFICATE_EXPIRY,
        Kind::Gauge,
        Unit::Count,
        "Days until the end of the certificate that this process shows, and of the CA that vouches for it.",
    ),
    family(
        CERTIFICATE_LIFETIME,
        Kind::Gauge,
        Unit::Count,
        "Days for which these certificates are good in all.",
    ),
    family(
        RENEWAL_OVERDUE,
        Kind::Gauge,
        Unit::Seconds,
        "How long a new certificate has been wanted and has not come, else 0.",
    ),
    family(
        CRL_AGE,
        Kind::Gauge,
        Unit::Seconds,
        "How long ago the oldest revocation list in force was signed.",
    ),
    family(
        BUNDLE_SEQUENCE,
        Kind::Gauge,
        Unit::Count,
        "The sequence of the trust bundle in force.",
    ),
    family(
        BUNDLES_REFUSED,
        Kind::Counter,
        Unit::Count,
        "Trust bundles that were refused; the last good one stays in force.",
    ),
    family(
        CONNECTIONS_ENDED,
        Kind::Counter,
        Unit::Count,
        "Connections that ended since their peer is not trusted any more.",
    ),
    family(
        CANARY_STATUS,
        Kind::Gauge,
        Unit::Count,
        "1 for the status that the rollout of a new version has, 0 for the others.",
    ),
    family(
        CANARY_ERROR_RATE,
        Kind::Gauge,
        Unit::Count,
        "Share of errors among the new version's requests of this stage, 0 to 1.",
    ),
    family(
        CANARY_RESPONSE_TIME,
        Kind::Gauge,
        Unit::Count,
        "95th percentile of the new version's response times in this stage, in milliseconds.",
    ),
    family(
        CANARY_DURATION,
        Kind::Gauge,
        Unit::Seconds,
        "How long a rollout has been going on, or took.",
    ),
    family(
        CANARY_WEIGHT,
        Kind::Gauge,
        Unit::Count,
        "Share of the requests that the new version gets, in percent.",
    ),
    family(
        CANARY_SAMPLES,
        Kind::Gauge,
        Unit::Count,
        "Requests of the new version that were seen in this stage.",
    ),
    family(
        CANARY_STABLE_ERROR_RATE,
        Kind::Gauge,
        Unit::Count,
        "Share of errors among the stable version's requests beside the new version, 0 to 1.",
    ),
    family(
        CANARY_STABLE_RESPONSE_TIME,
        Kind::Gauge,
        Unit::Count,
        "95th percentile of the stable version's response times beside the new version, in milliseconds.",
    ),
    family(
        CANARY_STABLE_SAMPLES,
        Kind::Gauge,
        Unit::Count,
        "Requests of the stable version that were seen beside the new version.",
    ),
    family(
        CANARY_EVIDENCE,
        Kind::Gauge,
        Unit::Count,
        "How strongly the evidence speaks against the new version; at the limit it is rolled back.",
    ),
    family(
        CANARY_EVIDENCE_LIMIT,
        Kind::Gauge,
        Unit::Count,
        "How strong the evidence has to be for a rollback; 0 where none is weighed.",
    ),
    family(
        CANARY_DECISIONS,
        Kind::Counter,
        Unit::Count,
        "Decisions about rollouts by what was decided and why.",
    ),
    family(
        EVENTS,
        Kind::Counter,
        Unit::Count,
        "Changes of the mesh's state, by what happened.",
    ),
    family(
        ANOMALY,
        Kind::Gauge,
        Unit::Count,
        "1 while a figure of a route is unusual, else 0.",
    ),
    family(
        BUILD_INFO,
        Kind::Gauge,
        Unit::Count,
        "1, labelled with the version of the mesh.",
    ),
];

/// Gives the recorder the help texts.
pub(crate) fn describe(recorder: &impl Recorder) {
    for family in &FAMILIES {
        let (name, unit, help) = (family.name.into(), Some(family.unit), family.help.into());
        match family.kind {
            Kind::Counter => recorder.describe_counter(name, unit, help),
            Kind::Gauge => recorder.describe_gauge(name, unit, help),
            Kind::Histogram => {}
        }
    }
}

/// Whether a metric of this name would stand on the page next to one of ours of the same name.
pub(crate) fn is_reserved(name: &str) -> bool {
    FAMILIES.iter().any(|family| match family.kind {
        Kind::Counter | Kind::Gauge => is_printed_as(name, family.name, ""),
        Kind::Histogram => ["", "_bucket", "_sum", "_count"]
            .iter()
            .any(|part| is_printed_as(name, family.name, part)),
    })
}

/// Whether the exporter prints `name` as `ours`: what Prometheus does not allow in a name it prints as `_`.
fn is_printed_as(name: &str, ours: &str, part: &str) -> bool {
    let printed = |c: char| {
        if c.is_ascii_alphanumeric() || c == ':' {
            c
        } else {
            '_'
        }
    };
    name.chars().map(printed).eq(ours.chars().chain(part.chars()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_reserved_in_every_spelling_that_prints_the_same() {
        for name in [
            "service_mesh_requests_total",
            "service.mesh.requests.total",
            "service_mesh_request_duration_seconds",
            "service.mesh.request.duration.seconds_bucket",
            "service_mesh_request_duration_seconds.sum",
            "http-requests-total",
            "serviceämesh_request_duration_secondsäsum",
        ] {
            assert!(is_reserved(name), "{name}");
        }
    }

    #[test]
    fn other_names_are_free() {
        for name in [
            "",
            "orders_total",
            "service_mesh_requests",
            "service_mesh_request_duration_seconds__sum",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
