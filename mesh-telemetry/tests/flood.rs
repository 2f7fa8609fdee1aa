//! A hundred thousand different clients, paths, hosts, methods, users and versions: what is kept of them is bounded.

#[path = "support/exposition.rs"]
mod exposition;

use std::time::Duration;

use exposition::Page;
use http::{Method, Request, StatusCode};
use mesh_core::context::{Direction, Target};
use mesh_core::metric::TrafficQuery;
use mesh_core::{Assignment, MeshContext, MeshEvent, Outcome, PeerInfo, ServiceName, SpiffeId, Version};
use mesh_telemetry::Telemetry;
use mesh_telemetry::tap::Filter;
use tokio::time::Instant;

const CLIENTS: u32 = 100_000;

fn orders() -> ServiceName {
    "orders".parse().expect("a name")
}

/// A request with everything in it that its client can choose.
fn request(n: u32) -> Request<()> {
    let method = Method::from_bytes(format!("M{}", n % 5_000).as_bytes()).expect("a token");
    let identity: SpiffeId = format!("spiffe://cluster.local/ns/n{}/sa/client-{n}", n % 7)
        .parse()
        .expect("an identity");
    let mut context = MeshContext::new(Instant::now());
    let address = ([127, 0, 0, 1], 1000).into();
    context.peer = Some(std::sync::Arc::new(PeerInfo::mtls(address, identity, "00", "01")));
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://host-{n}.example/{n}?user={n}"))
        .header("host", format!("host-{n}.example"))
        .header("user-agent", format!("agent-{n}"))
        .header("cookie", format!("canary={n:032x}"))
        .body(())
        .expect("a request");
    request.extensions_mut().insert(context);
    request
}

#[tokio::test]
async fn a_hundred_thousand_of_everything_leave_a_page_within_its_budget() {
    let telemetry = Telemetry::new();
    let (inbound, outbound) = [Direction::Inbound, Direction::Outbound]
        .map(|direction| telemetry.route(&Target::service(orders()), direction))
        .into();
    let evidence = telemetry.evidence().service(&orders());
    evidence.set_users_stay(true);
    let _tap = telemetry.tap(Filter::default(), 1000).expect("room");
    let _sampling = telemetry.start_sampling();
    for n in 0..CLIENTS {
        let request = request(n);
        let route = if n % 2 == 0 { &inbound } else { &outbound };
        let mut record = route.begin(&request);
        let status = StatusCode::from_u16(100 + (n % 900) as u16).expect("a status");
        record.answered(status, None);
        let peer = request
            .extensions()
            .get::<MeshContext>()
            .and_then(|context| context.peer.clone());
        if let Some(identity) = peer.and_then(|peer| peer.identity.clone()) {
            telemetry.met(telemetry.source(&format!("client-{n}")), &identity);
        }
        let version: Version = format!("v{}", n % 10_000).parse().expect("a version");
        evidence.ended(
            Some(&version),
            Assignment::Kept(u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            Outcome::Failure,
            Duration::from_micros(u64::from(n)),
        );
        telemetry.process().event(&MeshEvent::DrainStarted {
            in_flight: n as usize,
        });
    }

    let text = telemetry.render();
    let page = Page::read(&text);
    let series = page.samples("service_mesh_requests_total", &[]).len();
    assert!(series <= 1000 + 2 * (2 + 6), "{series}");
    assert!(
        page.samples("service_mesh_request_duration_seconds_count", &[])
            .len()
            <= series
    );
    assert_eq!(
        page.samples("service_mesh_events_total", &[]).len(),
        MeshEvent::KINDS.len()
    );
    let all: usize = page.families.values().map(|family| family.samples.len()).sum();
    assert!(
        all <= 20 * series + 2_000,
        "{all} lines for {series} combinations"
    );
    assert_eq!(page.sum("service_mesh_requests_total", &[]), f64::from(CLIENTS));
    for secret in ["host-7", "user=7", "agent-7"] {
        assert!(!text.contains(secret), "{secret} is on the page");
    }

    let otel = telemetry.render_conventions();
    let page = Page::read(&otel);
    let server = page
        .samples("http_server_request_duration_seconds_count", &[])
        .len();
    let client = page
        .samples("http_client_request_duration_seconds_count", &[])
        .len();
    assert!(server + client <= series, "{server} and {client}");
    let counted = page.sum("http_server_request_duration_seconds_count", &[])
        + page.sum("http_client_request_duration_seconds_count", &[]);
    assert_eq!(counted, f64::from(CLIENTS));

    assert!(telemetry.last_minute().figures.len() <= series);
    // The names that are labels, `other`, and eight identities of each.
    let identities = telemetry.source_identities();
    assert!(identities.len() <= 102, "{}", identities.len());
    assert!(identities.values().all(|proved| proved.len() <= 8));
    let versions = (0..10_000).filter(|n| {
        let query = TrafficQuery::new(orders(), format!("v{n}").parse().expect("a version"));
        telemetry.evidence().traffic(&query).requests > 0
    });
    assert_eq!(versions.count(), 64);
}
