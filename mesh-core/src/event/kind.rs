//! What kind of event it is, and whose.

use super::MeshEvent;
use crate::name::ServiceName;

impl MeshEvent {
    /// Every [`kind`](Self::kind).
    pub const KINDS: [&'static str; 32] = [
        "endpoint_ejected",
        "endpoint_returned",
        "health_changed",
        "breaker_changed",
        "too_few_endpoints",
        "panic_entered",
        "panic_left",
        "discovery_synced",
        "discovery_stale",
        "rate_limit_crowded",
        "rate_limit_alone",
        "rate_limit_shared",
        "certificate_rotated",
        "certificate_expiring",
        "certificate_revoked",
        "peer_untrusted",
        "config_reloaded",
        "config_rejected",
        "canary_step",
        "canary_paused",
        "canary_promoted",
        "canary_rolled_back",
        "canary_resumed",
        "canary_approved",
        "canary_rolling_back",
        "canary_replanned",
        "canary_stuck",
        "canary_halted",
        "anomaly_began",
        "anomaly_ended",
        "drain_started",
        "drain_finished",
    ];

    /// A stable word for what happened, in snake case: a metric's label, an event's type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::EndpointEjected { .. } => "endpoint_ejected",
            Self::EndpointReturned { .. } => "endpoint_returned",
            Self::HealthChanged { .. } => "health_changed",
            Self::BreakerChanged { .. } => "breaker_changed",
            Self::TooFewEndpoints { .. } => "too_few_endpoints",
            Self::PanicEntered { .. } => "panic_entered",
            Self::PanicLeft { .. } => "panic_left",
            Self::DiscoverySynced { .. } => "discovery_synced",
            Self::DiscoveryStale { .. } => "discovery_stale",
            Self::RateLimitCrowded { .. } => "rate_limit_crowded",
            Self::RateLimitAlone { .. } => "rate_limit_alone",
            Self::RateLimitShared { .. } => "rate_limit_shared",
            Self::CertificateRotated { .. } => "certificate_rotated",
            Self::CertificateExpiring { .. } => "certificate_expiring",
            Self::CertificateRevoked { .. } => "certificate_revoked",
            Self::PeerUntrusted { .. } => "peer_untrusted",
            Self::ConfigReloaded => "config_reloaded",
            Self::ConfigRejected { .. } => "config_rejected",
            Self::CanaryStep { .. } => "canary_step",
            Self::CanaryPaused { .. } => "canary_paused",
            Self::CanaryPromoted { .. } => "canary_promoted",
            Self::CanaryRolledBack { .. } => "canary_rolled_back",
            Self::CanaryResumed { .. } => "canary_resumed",
            Self::CanaryApproved { .. } => "canary_approved",
            Self::CanaryRollingBack { .. } => "canary_rolling_back",
            Self::CanaryReplanned { .. } => "canary_replanned",
            Self::CanaryStuck { .. } => "canary_stuck",
            Self::CanaryHalted { .. } => "canary_halted",
            Self::AnomalyBegan { .. } => "anomaly_began",
            Self::AnomalyEnded { .. } => "anomaly_ended",
            Self::DrainStarted { .. } => "drain_started",
            Self::DrainFinished { .. } => "drain_finished",
        }
    }

    /// The service it happened to, if it happened to one.
    pub const fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::EndpointEjected { service, .. }
            | Self::EndpointReturned { service, .. }
            | Self::HealthChanged { service, .. }
            | Self::BreakerChanged { service, .. }
            | Self::TooFewEndpoints { service, .. }
            | Self::PanicEntered { service, .. }
            | Self::PanicLeft { service, .. }
            | Self::DiscoverySynced { service, .. }
            | Self::DiscoveryStale { service, .. }
            | Self::CanaryStep { service, .. }
            | Self::CanaryPaused { service, .. }
            | Self::CanaryPromoted { service, .. }
            | Self::CanaryRolledBack { service, .. }
            | Self::CanaryResumed { service, .. }
            | Self::CanaryApproved { service, .. }
            | Self::CanaryRollingBack { service, .. }
            | Self::CanaryReplanned { service, .. }
            | Self::CanaryStuck { service, .. }
            | Self::CanaryHalted { service, .. }
            | Self::AnomalyBegan { service, .. }
            | Self::AnomalyEnded { service, .. } => Some(service),
            Self::RateLimitCrowded { .. }
            | Self::RateLimitAlone { .. }
            | Self::RateLimitShared { .. }
            | Self::CertificateRotated { .. }
            | Self::CertificateExpiring { .. }
            | Self::CertificateRevoked { .. }
            | Self::PeerUntrusted { .. }
            | Self::ConfigReloaded
            | Self::ConfigRejected { .. }
            | Self::DrainStarted { .. }
            | Self::DrainFinished { .. } => None,
        }
    }
}
