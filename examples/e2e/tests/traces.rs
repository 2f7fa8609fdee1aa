//! Spans, from the proxy to a collector, and what can be found out from them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as Asked;
use axum::response::{IntoResponse, Response};
use e2e::{Connection, Proxy, listen, serve, until};
use http::header::HOST;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use mesh_core::carry::{CarryLayer, InheritLayer};
use tower::{Layer, ServiceExt, service_fn};

#[path = "shared/collector.rs"]
mod collector;
#[path = "traces/graph.rs"]
mod graph;
#[path = "shared/load.rs"]
#[expect(dead_code, reason = "what took longest is what counts here")]
mod load;

use collector::{Collector, Span};
use graph::{edges, nanos, origin, slowest};
use load::load;

/// What a request carries: `slow` holds the stock up, `broken` breaks it.
const HOW: &str = "x-how";

/// Three services behind one proxy: the frontend asks the orders, which ask the stock. None of them touches a field.
struct Shop {
    proxy: Proxy,
    collector: Collector,
}

impl Shop {
    async fn open() -> Self {
        let collector = Collector::start().await;
        let proxy_address = Arc::new(OnceLock::new());
        let mut services = String::new();
        for (name, next) in [
            ("frontend", Some("orders")),
            ("orders", Some("stock")),
            ("stock", None),
        ] {
            let address = serve(app(next, Arc::clone(&proxy_address))).await;
            services.push_str(&format!(
                "\n    - {{ name: {name}, port: 1, hosts: [{name}], endpoints: [\"{address}\"] }}"
            ));
        }
        let proxy = Proxy::start(&told(&services, &collector)).await;
        proxy_address.set(proxy.address).expect("once");
        Self { proxy, collector }
    }

    /// Asks the frontend, and returns the answer's head with the spans there are then.
    async fn ask(&self, how: &str) -> (StatusCode, HeaderMap, Vec<Span>) {
        let request = Request::get("/cart?card=secret").header(HOW, how);
        let (status, headers) = ask(self.proxy.address, "frontend", request).await;
        (status, headers, self.collector.has(6).await)
    }
}

/// The services, and a collector for their spans.
fn told(services: &str, collector: &Collector) -> String {
    let address = collector.address;
    format!("{services}\n  telemetry: {{ otlp: {{ endpoint: \"http://{address}\" }} }}")
}

async fn ask(proxy: SocketAddr, host: &str, request: http::request::Builder) -> (StatusCode, HeaderMap) {
    let mut connection = Connection::http1(proxy).await.expect("listening");
    let request = request.header(HOST, host).body(Body::empty()).expect("a request");
    let answer = connection.send(request).await.expect("served");
    let (head, body) = answer.into_parts();
    body.collect().await.expect("a whole body");
    (head.status, head.headers)
}

fn app(next: Option<&'static str>, proxy: Arc<OnceLock<SocketAddr>>) -> Router {
    let answer = move |asked: Asked| {
        let proxy = Arc::clone(&proxy);
        async move {
            let how = asked.headers().get(HOW).cloned();
            let Some(next) = next else {
                return match how.as_ref().map(|how| how.as_bytes()) {
                    Some(b"slow") => {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        StatusCode::OK
                    }
                    Some(b"broken") => StatusCode::INTERNAL_SERVER_ERROR,
                    _ => StatusCode::OK,
                };
            };
            let proxy = *proxy.get().expect("it is up");
            let client = service_fn(move |request: Request<Body>| async move {
                let mut connection = Connection::http1(proxy).await?;
                connection.send(request).await.map_err(std::io::Error::other)
            });
            let mut request = Request::get("/next").header(HOST, next);
            if let Some(how) = how {
                request = request.header(HOW, how);
            }
            let request = request.body(Body::empty()).expect("a request");
            match InheritLayer::new().layer(client).oneshot(request).await {
                Ok(answer) => answer.status(),
                Err(_) => StatusCode::BAD_GATEWAY,
            }
        }
    };
    Router::new().fallback(answer).layer(CarryLayer::new())
}

fn of<'s>(spans: &'s [Span], service: &str, is_server: bool) -> &'s Span {
    let mut found = spans
        .iter()
        .filter(|span| span.service == service && span.is_server == is_server);
    let span = found.next().expect(service);
    assert_eq!(found.next(), None, "one of each");
    span
}

#[tokio::test]
async fn a_call_chain_is_one_trace_from_which_the_graph_of_services_can_be_drawn() {
    let shop = Shop::open().await;
    let (status, headers, spans) = shop.ask("well").await;
    assert_eq!((status, spans.len()), (StatusCode::OK, 6));
    let chain = ["frontend", "orders", "stock"].map(|name| [of(&spans, name, true), of(&spans, name, false)]);
    let mut parent = None;
    for span in chain.as_flattened() {
        assert_eq!(span.parent, parent, "{span:?}");
        assert_eq!(span.trace, spans[0].trace);
        assert!(!span.failed && span.start <= span.end);
        assert_eq!(span.is("http.response.status_code"), "200");
        assert_eq!(span.is("http.request.method"), "GET");
        parent = Some(span.id.clone());
    }
    let [server, client] = chain[0];
    assert_eq!(server.is("url.path"), "/cart");
    assert_eq!(server.is("server.address"), "frontend");
    assert_eq!(server.is("network.peer.address"), "127.0.0.1");
    assert_eq!(server.is("mesh.request_id"), headers["x-request-id"]);
    assert_eq!(client.is("peer.service"), "frontend");
    assert_eq!(
        client.is("mesh.endpoint"),
        format!("127.0.0.1:{}", client.is("server.port"))
    );
    let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert!(
        edges(&spans)
            .into_iter()
            .eq([edge("frontend", "orders"), edge("orders", "stock")])
    );
    assert!(!format!("{spans:?}").contains("secret"));
}

#[tokio::test]
async fn the_slowest_hop_and_the_origin_of_a_failure_can_be_found() {
    let shop = Shop::open().await;
    let (_, _, spans) = shop.ask("slow").await;
    let found = slowest(&spans);
    assert_eq!((found.service.as_str(), found.is_server), ("stock", false));
    assert!(nanos(found) >= 300_000_000);

    let shop = Shop::open().await;
    let (status, _, spans) = shop.ask("broken").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let found = origin(&spans);
    assert_eq!((found.service.as_str(), found.is_server), ("stock", false));
    assert_eq!(found.is("error.type"), "500");
}

#[tokio::test]
async fn retries_are_siblings_and_each_is_what_its_endpoint_was_told() {
    let collector = Collector::start().await;
    let parents = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&parents);
    let flaky = Router::new().fallback(move |headers: HeaderMap| {
        let mut seen = seen.lock().expect("one at a time");
        seen.push(headers["traceparent"].to_str().expect("ASCII").to_owned());
        let status = match seen.len() {
            1 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        };
        std::future::ready(status)
    });
    let address = serve(flaky).await;
    let services = format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{address}\"], retry: {{ attempts: 2, on: [503] }} }} ]"
    );
    let proxy = Proxy::start(&told(&services, &collector)).await;
    let from = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (status, _) = ask(
        proxy.address,
        "app",
        Request::get("/").header("traceparent", from),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    let spans = collector.has(3).await;
    let server = spans.iter().find(|span| span.is_server).expect("one");
    assert_eq!(server.parent.as_deref(), Some("b7ad6b7169203331"));
    assert_eq!(server.is("mesh.attempts"), "2");
    let tries: Vec<&Span> = spans.iter().filter(|span| !span.is_server).collect();
    assert_eq!(tries.len(), 2);
    assert!(tries.iter().all(|span| span.parent.as_ref() == Some(&server.id)));
    assert_eq!([tries[0].failed, tries[1].failed], [true, false]);
    assert_eq!(tries[1].is("http.request.resend_count"), "1");
    let told = parents.lock().expect("nobody asks");
    let ids: Vec<String> = tries
        .iter()
        .map(|span| format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", span.id))
        .collect();
    assert_eq!(*told, ids);
}

#[tokio::test]
async fn what_the_mesh_answers_itself_has_a_span_with_the_reason() {
    let collector = Collector::start().await;
    let gone = listen().await.1;
    let services = format!("[ {{ name: gone, port: 1, hosts: [gone], endpoints: [\"{gone}\"] }} ]");
    let proxy = Proxy::start(&told(&services, &collector)).await;
    assert_eq!(
        ask(proxy.address, "nowhere", Request::get("/")).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        ask(proxy.address, "gone", Request::get("/")).await.0,
        StatusCode::BAD_GATEWAY
    );
    let spans = collector.has(3).await;
    let lost = of(&spans, "service-mesh-proxy", true);
    assert_eq!((lost.is("error.type"), lost.failed), ("no_route", false));
    for is_server in [true, false] {
        let span = of(&spans, "gone", is_server);
        assert_eq!((span.is("error.type"), span.failed), ("upstream_connect", true));
    }
    assert_eq!(of(&spans, "gone", false).is("mesh.endpoint"), gone.to_string());
}

#[tokio::test]
async fn what_is_called_through_an_outbound_listener_is_called_by_the_service_beside_it() {
    let collector = Collector::start().await;
    let app = serve(Router::new().fallback(|| std::future::ready("hello"))).await;
    let proxy = Proxy::start_file(&[], |address, metrics| {
        format!(
            "serviceMesh:\n  identity: {{ service: frontend }}\n  \
             listeners: [ {{ name: out, bind: \"{address}\", tls: \"off\", direction: outbound }} ]\n  \
             metrics: {{ bind: \"{metrics}\" }}\n  {}\n",
            told(
                &format!(
                    "services: [ {{ name: orders, port: 1, hosts: [orders], endpoints: [\"{app}\"] }} ]"
                ),
                &collector
            )
        )
    })
    .await;
    let (status, _) = ask(proxy.address, "orders", Request::get("/")).await;
    assert_eq!(status, StatusCode::OK);
    let spans = collector.has(2).await;
    let (server, client) = (of(&spans, "frontend", true), of(&spans, "frontend", false));
    assert_eq!(
        (server.is("peer.service"), client.is("peer.service")),
        ("frontend", "orders")
    );
    assert_eq!(
        (server.is("mesh.direction"), server.is("mesh.listener")),
        ("outbound", "out")
    );
}

#[tokio::test]
async fn a_service_without_tracing_has_no_spans_and_its_traces_pass() {
    let collector = Collector::start().await;
    let echo = |headers: HeaderMap| {
        let told = headers["traceparent"].to_str().expect("ASCII").to_owned();
        std::future::ready(([("x-told", told)], "").into_response()) as std::future::Ready<Response>
    };
    let address = serve(Router::new().fallback(echo)).await;
    let services = format!(
        "\n    - {{ name: quiet, port: 1, hosts: [quiet], endpoints: [\"{address}\"], enableTracing: false }}\n    \
         - {{ name: told, port: 1, hosts: [told], endpoints: [\"{address}\"] }}"
    );
    let proxy = Proxy::start(&told(&services, &collector)).await;
    let from = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let asked = || Request::get("/").header("traceparent", from);
    let (_, headers) = ask(proxy.address, "quiet", asked()).await;
    assert_eq!(headers["x-told"], from);
    let (_, headers) = ask(proxy.address, "told", asked()).await;
    assert_ne!(headers["x-told"], from);
    let spans = collector.has(2).await;
    assert!(spans.iter().all(|span| span.service == "told"), "{spans:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_or_silent_slows_no_request_and_fills_no_memory() {
    // What finds no room: two spans a request, less the queue, and a batch that is tried and one that is gathered.
    const REQUESTS: usize = 4000;
    const LEAST: usize = 2 * REQUESTS - 4096 - 2 * 512;
    let app = serve(Router::new().fallback(|| std::future::ready("hello"))).await;
    let services = format!("[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"] }} ]");
    let (_held, silent) = listen().await;
    let away = listen().await.1;
    for collector in [silent, away] {
        let proxy = Proxy::start(&format!(
            "{services}\n  telemetry: {{ otlp: {{ endpoint: \"http://{collector}\" }} }}"
        ))
        .await;
        let longest = load(proxy.address, REQUESTS)
            .await
            .pop()
            .expect("there were some");
        assert!(
            longest < Duration::from_secs(5),
            "one took {longest:?}, half of what a collector may"
        );
        let spans = "service_mesh_spans_total";
        let dropped = proxy.sum(spans, &[("outcome", "dropped")]).await;
        assert!(
            dropped >= LEAST as f64,
            "only {dropped} of at least {LEAST} were dropped"
        );
        assert_eq!(proxy.sum(spans, &[("outcome", "exported")]).await, 0.0);
        let before = proxy.peak_memory();
        load(proxy.address, 1000).await;
        let more = proxy.peak_memory().saturating_sub(before);
        assert!(more < 16 << 20, "{more} bytes more");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_collector_takes_over_while_requests_go_on_and_none_is_lost() {
    const REQUESTS: usize = 800;
    let app = serve(Router::new().fallback(|| std::future::ready("hello"))).await;
    let services = format!("[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"] }} ]");
    let (first, second) = (Collector::start().await, Collector::start().await);
    let mut proxy = Proxy::start(&told(&services, &first)).await;
    let address = proxy.address;
    let under_way = tokio::spawn(async move { load(address, REQUESTS).await });
    first.has(1).await;
    proxy.configure(&told(&services, &second)).await;
    under_way.await.expect("all were answered");
    until("the configuration was reloaded", async || {
        let reloads = proxy
            .sum("service_mesh_config_reloads_total", &[("result", "success")])
            .await;
        (reloads >= 1.0).then_some(())
    })
    .await;
    load(address, 8).await;
    proxy.signal("TERM").await;
    assert!(proxy.ended().await.success());
    let (first, second) = (first.spans().len(), second.spans().len());
    assert_eq!(first + second, 2 * (REQUESTS + 8), "{first} and {second}");
    assert!(second >= 16, "{second}");
}
