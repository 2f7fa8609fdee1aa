//! Which policies apply to a request, and where each was written.

use mesh_core::duration::display;
use mesh_traffic::router::Decision;
use serde_json::{Value, json};

use super::service_of;
use crate::config::{
    Abort, AuthorizationMode, CircuitBreaker, Config, Delay, FaultInjection, Origin, RateLimiting, Reset,
    Retry, Throttle, UpstreamTls,
};

/// A policy that applies.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The key it was written under.
    pub name: &'static str,
    /// What it says, in short.
    pub says: String,
    /// Where it was written: its rule, or its service.
    pub at: Origin,
}

impl Policy {
    pub(super) fn json(&self) -> Value {
        json!({ "name": self.name, "says": self.says, "at": self.at.to_string() })
    }
}

/// The policies of a decision: those of its rule, and those of its service that the rule does not replace.
pub(super) fn of(config: &Config, decision: Option<&Decision>) -> Vec<Policy> {
    let Some(decision) = decision else {
        return Vec::new();
    };
    let rule = config
        .mesh
        .rules
        .iter()
        .find(|rule| Some(&*rule.id) == decision.rule());
    let service = service_of(config, decision);
    let mut policies = Vec::new();
    if let Some(rule) = rule {
        let mut add = |name, says: Option<String>| {
            let at = rule.origin.clone();
            policies.extend(says.map(|says| Policy { name, says, at }));
        };
        add("timeout", rule.timeout.map(|limit| display(limit).to_string()));
        add("cors", rule.cors.as_ref().map(ToString::to_string));
        let of_retry = |written: &Option<Retry>| written.as_ref().map_or_else(|| "off".to_owned(), retry);
        add("retry", rule.retry.as_ref().map(of_retry));
        add("faultInjection", rule.fault_injection.as_ref().map(fault));
        add("rateLimiting", rule.rate_limiting.as_ref().map(limit));
        for mirror in &rule.mirrors {
            add(
                "mirror",
                Some(format!("{} to {}", mirror.percentage, mirror.service)),
            );
        }
    }
    if let Some(service) = service {
        let replaced: Vec<&str> = policies.iter().map(|policy| policy.name).collect();
        let of_rule = |name: &str| name != "rateLimiting" && replaced.contains(&name);
        let authorization = service.authorization.as_ref().map(|authorization| {
            let mode = match authorization.mode {
                AuthorizationMode::Enforce => "enforced",
                AuthorizationMode::Audit => "audited",
            };
            format!("{} rules, {mode}", authorization.rules.len())
        });
        let tls = match &service.tls {
            UpstreamTls::Off => None,
            _ => Some("to its endpoints".to_owned()),
        };
        let ejection = service.outlier_detection.as_ref();
        let written = [
            ("timeout", service.timeout.map(|limit| display(limit).to_string())),
            ("retry", service.retry.as_ref().map(retry)),
            ("faultInjection", service.fault_injection.as_ref().map(fault)),
            ("rateLimiting", service.rate_limiting.as_ref().map(limit)),
            ("authorization", authorization),
            ("circuitBreaker", service.circuit_breaker.as_ref().map(breaker)),
            (
                "outlierDetection",
                ejection.map(|outlier| format!("after {} failures in a row", outlier.consecutive_failures)),
            ),
            (
                "loadBalancing",
                Some(service.load_balancing.algorithm.to_string()),
            ),
            (
                "compression",
                service
                    .compression
                    .map(|compression| format!("of {} bytes or more", compression.min_size)),
            ),
            ("tls", tls),
        ];
        for (name, says) in written {
            let at = service.origin.clone();
            policies.extend(
                says.filter(|_| !of_rule(name))
                    .map(|says| Policy { name, says, at }),
            );
        }
    }
    policies
}

fn retry(retry: &Retry) -> String {
    match retry.per_try_timeout {
        Some(limit) => format!("{} attempts, each {}", retry.attempts, display(limit)),
        None => format!("{} attempts", retry.attempts),
    }
}

fn limit(limit: &RateLimiting) -> String {
    let dry = if limit.dry_run { ", counted only" } else { "" };
    format!("{}, by {}{dry}", limit.quota, limit.key)
}

fn fault(fault: &FaultInjection) -> String {
    let delay = |delay: &Delay| format!("{} wait {}", delay.percentage, delay.delay);
    let abort = |abort: &Abort| format!("{} get {}", abort.percentage, abort.abort);
    let reset = |reset: &Reset| format!("{} break after {} bytes", reset.percentage, reset.after_bytes);
    let throttle = |throttle: &Throttle| {
        format!(
            "{} get {} bytes a second",
            throttle.percentage, throttle.bytes_per_second
        )
    };
    let parts: Vec<String> = (fault.delay.iter().map(delay))
        .chain(fault.abort.iter().map(abort))
        .chain(fault.reset.iter().map(reset))
        .chain(fault.throttle.iter().map(throttle))
        .collect();
    parts.join(", ")
}

fn breaker(breaker: &CircuitBreaker) -> String {
    let policy = breaker.policy.config();
    let streak = policy
        .consecutive_failures
        .map(|limit| format!("{limit} failures in a row"));
    let rate = policy.error_rate.map(|rate| {
        let (least, window) = (policy.minimum_requests, display(policy.window));
        format!("{}% of {least} requests or more in {window}", rate * 100.0)
    });
    let opens: Vec<String> = streak.into_iter().chain(rate).collect();
    format!(
        "rests for {} after {}; {} connections, {} requests, {} waiting",
        display(policy.open_for),
        opens.join(", or "),
        breaker.max_connections,
        breaker.max_requests,
        breaker.max_pending_requests
    )
}
