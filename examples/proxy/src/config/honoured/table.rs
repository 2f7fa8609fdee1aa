//! The table itself.

use super::{Instead, Row};
use crate::config::yaml::Node;

const fn honoured(path: &'static str) -> Row {
    Row {
        path,
        honoured: always,
        instead: Instead::Nothing,
    }
}

const fn ignored(path: &'static str, instead: &'static str) -> Row {
    Row {
        path,
        honoured: never,
        instead: Instead::Ignored(instead),
    }
}

const fn refused(path: &'static str, instead: &'static str) -> Row {
    Row {
        path,
        honoured: never,
        instead: Instead::Refused(instead),
    }
}

impl Row {
    /// Honoured if it has such a value.
    const fn unless(mut self, value: fn(&Node, &Node) -> bool) -> Self {
        self.honoured = value;
        self
    }
}

/// What this version honours. A key without a row, whose parents have none either, is not honoured.
pub(super) const TABLE: &[Row] = &[
    ignored("serviceMesh.enabled", "requests are routed as if it were true").unless(is_true),
    honoured("serviceMesh.namespace"),
    honoured("serviceMesh.trustDomain"),
    honoured("serviceMesh.zone"),
    honoured("serviceMesh.identity"),
    honoured("serviceMesh.listeners[]"),
    honoured("serviceMesh.metrics"),
    honoured("serviceMesh.admin"),
    honoured("serviceMesh.services[].name"),
    honoured("serviceMesh.services[].port"),
    honoured("serviceMesh.services[].hosts"),
    honoured("serviceMesh.services[].stableVersion"),
    honoured("serviceMesh.services[].endpoints"),
    honoured("serviceMesh.services[].protocol"),
    honoured("serviceMesh.services[].external"),
    honoured("serviceMesh.services[].timeout"),
    honoured("serviceMesh.services[].replicas"),
    honoured("serviceMesh.services[].enableTracing"),
    honoured("serviceMesh.services[].discovery"),
    refused(
        "serviceMesh.services[].discovery.kubernetes",
        "only the endpoints that are listed would be known",
    ),
    honoured("serviceMesh.services[].enableMutualTLS"),
    honoured("serviceMesh.services[].tls"),
    honoured("serviceMesh.services[].loadBalancing"),
    honoured("serviceMesh.services[].authorization"),
    honoured("serviceMesh.services[].circuitBreaker"),
    honoured("serviceMesh.services[].outlierDetection"),
    honoured("serviceMesh.services[].retry"),
    honoured("serviceMesh.services[].rateLimiting"),
    honoured("serviceMesh.services[].faultInjection"),
    honoured("serviceMesh.services[].compression"),
    honoured("serviceMesh.faults"),
    honoured("serviceMesh.mutualTLS"),
    refused(
        "serviceMesh.mutualTLS.authority.kubernetes",
        "nobody would sign for this process",
    ),
    refused(
        "serviceMesh.mutualTLS.authority.spire",
        "nobody would sign for this process",
    ),
    honoured("serviceMesh.trafficManagement.rateLimiting"),
    honoured("serviceMesh.trafficManagement.limitStore"),
    honoured("serviceMesh.trafficManagement.gatewayApi"),
    honoured("serviceMesh.trafficManagement.rules[].id"),
    honoured("serviceMesh.trafficManagement.rules[].name"),
    honoured("serviceMesh.trafficManagement.rules[].priority"),
    honoured("serviceMesh.trafficManagement.rules[].enabled"),
    honoured("serviceMesh.trafficManagement.rules[].conditions"),
    honoured("serviceMesh.trafficManagement.rules[].destinations"),
    honoured("serviceMesh.trafficManagement.rules[].respond"),
    honoured("serviceMesh.trafficManagement.rules[].redirect"),
    honoured("serviceMesh.trafficManagement.rules[].rewrite"),
    honoured("serviceMesh.trafficManagement.rules[].requestHeaders"),
    honoured("serviceMesh.trafficManagement.rules[].responseHeaders"),
    honoured("serviceMesh.trafficManagement.rules[].cors"),
    honoured("serviceMesh.trafficManagement.rules[].timeout"),
    honoured("serviceMesh.trafficManagement.rules[].retry"),
    honoured("serviceMesh.trafficManagement.rules[].faultInjection"),
    honoured("serviceMesh.trafficManagement.rules[].rateLimiting"),
    honoured("serviceMesh.trafficManagement.rules[].mirror"),
    honoured("serviceMesh.telemetry"),
    honoured("canaryDeployment"),
    honoured("analysisTemplates"),
];

/// Whether some values of it are honoured.
pub(super) fn is_conditional(row: &Row) -> bool {
    !std::ptr::fn_addr_eq(row.honoured, never as fn(&Node, &Node) -> bool)
}

fn always(_: &Node, _: &Node) -> bool {
    true
}

fn never(_: &Node, _: &Node) -> bool {
    false
}

fn is_true(node: &Node, _: &Node) -> bool {
    node.scalar().and_then(|scalar| scalar.boolean()) == Some(true)
}
