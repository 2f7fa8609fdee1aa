//! The same figures under the names of OpenTelemetry's conventions for HTTP, as Prometheus prints those.
//!
//! What differs from the conventions, since durations are kept by class of status: there is no
//! `http_response_status_code` (`http_requests_total` has the exact codes), and the `error_type` of an answer of 5xx is
//! `5xx`. The template of a path is not known: `mesh_route` is the id of the rule.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use mesh_core::context::Direction;

use crate::labels::{Protocol, StatusLabel};
use crate::metrics::histogram::write_buckets;
use crate::metrics::{EDGES, RouteMetrics, Total};

type Counts = [u64; EDGES.len() + 1];

struct Names {
    duration: &'static str,
    active: &'static str,
    help: [&'static str; 2],
}

/// What peers send here is served, what the application beside sends is a client's.
const SERVER: Names = Names {
    duration: "http_server_request_duration_seconds",
    active: "http_server_active_requests",
    help: [
        "Duration of HTTP server requests.",
        "Number of active HTTP server requests.",
    ],
};
const CLIENT: Names = Names {
    duration: "http_client_request_duration_seconds",
    active: "http_client_active_requests",
    help: [
        "Duration of HTTP client requests.",
        "Number of active HTTP client requests.",
    ],
};

/// Appends the families, of those directions that have any series.
pub(crate) fn write(routes: &[&RouteMetrics], page: &mut String) {
    for (direction, names) in [(Direction::Inbound, SERVER), (Direction::Outbound, CLIENT)] {
        let of_direction = || routes.iter().filter(|route| route.direction() == direction);
        let Names {
            duration,
            active,
            help: [of_duration, of_active],
        } = names;
        if of_direction().next().is_none() {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "# HELP {duration} {of_duration}\n# TYPE {duration} histogram"
        );
        // Classes of status that are no errors have the same labels here.
        let mut sums = BTreeMap::<String, (Counts, Duration)>::new();
        for total in of_direction().flat_map(|route| route.totals()) {
            let (counts, sum) = sums.entry(labels(&total)).or_default();
            for (all, count) in counts.iter_mut().zip(total.latencies) {
                *all += count;
            }
            *sum = sum.saturating_add(total.sum);
        }
        for (labels, (counts, sum)) in &sums {
            write_buckets(duration, labels, counts, *sum, page);
        }
        let _ = writeln!(page, "\n# HELP {active} {of_active}\n# TYPE {active} gauge");
        for route in of_direction() {
            let _ = writeln!(page, "{active}{{{}}} {}", target(route.key()), route.in_flight());
        }
        page.push('\n');
    }
}

/// None of the values needs escaping, as where they are printed else.
fn labels(total: &Total) -> String {
    let mut printed = format!("http_request_method=\"{}\"", method(total));
    let (name, version) = match total.protocol() {
        Protocol::Http1 => ("http", "1.1"),
        Protocol::Http2 | Protocol::Grpc => ("http", "2"),
        Protocol::Other => ("http", ""),
    };
    let error = match (total.reason(), total.is_failed()) {
        ("", true) => StatusLabel::of(StatusCode::INTERNAL_SERVER_ERROR)
            .class()
            .to_string(),
        (reason, _) => reason.to_owned(),
    };
    let _ = write!(
        printed,
        ",network_protocol_name=\"{name}\",network_protocol_version=\"{version}\",error_type=\"{error}\",\
         mesh_source_service=\"{}\",{}",
        total.source,
        target(&total.route)
    );
    printed
}

fn method(total: &Total) -> &'static str {
    match total.method() {
        "other" => "_OTHER",
        method => method,
    }
}

fn target(key: &crate::metrics::RouteKey) -> String {
    format!(
        "mesh_target_service=\"{}\",mesh_version=\"{}\",mesh_route=\"{}\"",
        key.service, key.version, key.route
    )
}
