//! Both stacks of docs/layers.md, whole and in their order, each of an identity of one mesh.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use e2e::{listen, serve};
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::carry::{CarryLayer, InheritLayer};
use mesh_core::connect::HttpProtocol;
use mesh_core::edge::EdgeLayer;
use mesh_core::event::EventBus;
use mesh_core::serve::Server;
use mesh_core::trace::SampleRatio;
use mesh_core::{Endpoint, EndpointId, EndpointSet, Error, Live, Publisher, ServiceName, live};
use mesh_lb::Balance;
use mesh_telemetry::Telemetry;
use mesh_telemetry::story::Teller;
use mesh_telemetry::trace::{AttemptLayer, Sampling, Spans, TraceLayer, Tracer, span_queue};
use mesh_tls::authority::LocalCaOptions;
use mesh_tls::authorize::{AuthorizationPolicy, AuthorizeLayer, Rule};
use mesh_tls::{Identity, LocalCa};
use mesh_traffic::concurrency::{ConcurrencyLimit, Waiting};
use mesh_traffic::fault::{Chance, Delay};
use mesh_traffic::hedge::{HedgeConfig, HedgeOutcome, Hedges};
use mesh_traffic::limit::{RedisStore, SharedLimitLayer, SharedLimiter};
use mesh_traffic::mirror::TeeBody;
use mesh_traffic::retry::RetryOutcome;
use mesh_traffic::{
    BreakerLayer, CompressionLayer, ConcurrencyLayer, ConcurrencyLimiter, DeadlineLayer, FaultLayer, Faults,
    HedgeLayer, Mirror, MirrorLayer, Quota, RateLimitLayer, RateLimiter, RetryBudget, RetryLayer,
    RetryPolicy, RouteLayer, RouteTable, Service, ServiceBreaker,
};
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};

use crate::redis::Redis;
use crate::web;

/// So many requests are under way at once, others wait.
pub(crate) const AT_ONCE: u32 = 4;

const LONG: Duration = Duration::from_secs(60);

/// A whole stack that calls.
pub(crate) type Client = BoxCloneSyncService<Request<Body>, Response<Body>, Error>;

/// What was told of second requests.
type Told<T> = Arc<Mutex<Vec<T>>>;

/// A service behind the whole stack that serves, and whom it trusts.
pub(crate) struct Served {
    pub(crate) telemetry: Telemetry,
    pub(crate) spans: Mutex<Spans>,
    tracer: Tracer,
    pub(crate) concurrency: ConcurrencyLimiter,
    pub(crate) shared_limit: SharedLimiter,
    endpoint: Endpoint,
    ca: LocalCa,
    _policy: Publisher<AuthorizationPolicy>,
    _redis: Redis,
    _folder: tempfile::TempDir,
}

/// The whole stack that calls it, and what its layers tell.
pub(crate) struct Calling {
    pub(crate) client: Client,
    pub(crate) hedges: Hedges,
    pub(crate) hedged: Told<HedgeOutcome>,
    pub(crate) retried: Told<RetryOutcome>,
    pub(crate) mirror: Mirror,
    pub(crate) balance: Balance,
}

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("a name")
}

async fn identity(ca: &LocalCa, service: &str) -> Identity {
    let id = format!("spiffe://cluster.local/ns/dept-barc/sa/{service}");
    let identity = Identity::builder(id.parse().expect("an identity")).authority(ca.clone());
    identity.start().await.expect("a certificate")
}

/// Routes to the one service, `app`, with a time limit of a rule.
fn routes() -> RouteLayer {
    let app = Service::new(name("app")).with_timeout(Some(LONG));
    RouteLayer::new(Live::fixed(
        RouteTable::new("dept-barc", [app], []).expect("a table"),
    ))
}

impl Served {
    pub(crate) fn endpoint(&self) -> EndpointId {
        self.endpoint.id().clone()
    }

    /// Serves this as the service `app`, to the service `frontend` alone.
    pub(crate) async fn start(app: Router) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = LocalCa::open_or_init(folder.path().join("ca"), LocalCaOptions::new("cluster.local"));
        let ca = ca.expect("a CA");
        let identity = identity(&ca, "app").await;
        let telemetry = Telemetry::new();
        let (queue, spans) = span_queue(1000, &telemetry);
        let tracer = Tracer::new(Sampling::new(SampleRatio::ALWAYS), [queue]);
        let frontend = Rule::allow("frontend").from(["spiffe://cluster.local/ns/dept-barc/sa/frontend"]);
        let (policy, following) = live(AuthorizationPolicy::new([frontend]).expect("a policy"));
        let redis = Redis::start().await;
        let quota = Quota::per_second(10_000).expect("a quota");
        let store = RedisStore::with_timeout(&format!("redis://{}", redis.address), Duration::from_secs(5));
        let shared_limit = SharedLimiter::new(
            "app",
            RateLimiter::new(quota),
            store.expect("a URL"),
            EventBus::default(),
        );
        let concurrency = ConcurrencyLayer::new(
            ConcurrencyLimit::fixed(AT_ONCE).expect("a limit"),
            Waiting::new(100)
                .and_then(|waiting| waiting.at_most(LONG))
                .expect("a line"),
        );
        let limiter = concurrency.limiter().clone();
        let layers = ServiceBuilder::new()
            .layer(EdgeLayer::new(name("app")))
            .layer(telemetry.layer(name("app")))
            .layer(TraceLayer::new(
                Teller::new().tracer(Some(tracer.clone())),
                name("app"),
            ))
            .layer(routes())
            .layer(AuthorizeLayer::following(following))
            .layer(RateLimitLayer::new(quota))
            .layer(SharedLimitLayer::new(shared_limit.clone()))
            .layer(CompressionLayer::default())
            .layer(concurrency)
            .layer(DeadlineLayer::inherited())
            .layer(CarryLayer::new());
        let (listener, address) = listen().await;
        let server = Server::accepting(identity.accept());
        tokio::spawn(server.serve(listener, layers.service(app)));
        Self {
            telemetry,
            spans: Mutex::new(spans),
            tracer,
            concurrency: limiter,
            shared_limit,
            endpoint: Endpoint::new(address.into()),
            ca,
            _policy: policy,
            _redis: redis,
            _folder: folder,
        }
    }

    /// Calls it as the service `frontend`, by this protocol.
    pub(crate) async fn calling(&self, protocol: HttpProtocol) -> Calling {
        let identity = identity(&self.ca, "frontend").await;
        let connect = identity.connect_to_service(&name("app")).expect("a name of ours");
        let balance = Balance::builder(name("app"))
            .endpoints(EndpointSet::new([self.endpoint.clone()]))
            .connect(connect.with_protocols([protocol]))
            .start();
        let copies = Endpoint::new(serve(web::app()).await.into());
        let copies = Balance::builder(name("copies"))
            .endpoints(EndpointSet::new([copies]))
            .start();
        let mirror = Mirror::builder(Chance::ALWAYS).build();

        let now = Instant::now();
        let budget = RetryBudget::new(Default::default(), now);
        let mut retries = RetryPolicy::default();
        (retries.idempotent, retries.per_try_timeout) = (true, Some(LONG / 2));
        let mut hedging = HedgeConfig::default();
        (hedging.idempotent, hedging.min_samples) = (true, 10);
        let (retried, hedged) = (Told::default(), Told::default());
        let retry = RetryLayer::new(retries, budget.clone()).observe(told(&retried));
        let hedge =
            HedgeLayer::new(hedging.try_into().expect("makes sense"), budget, now).observe(told(&hedged));
        let hedges = hedge.hedges().clone();
        // Each request waits, and each answer comes at a pace; neither is noticed.
        let faults = Faults::until(now + 10 * LONG)
            .delay(Chance::ALWAYS, Delay::fixed(Duration::from_millis(1)))
            .throttle(Chance::ALWAYS, NonZeroU64::new(1 << 40).expect("not 0"));
        let breaker = ServiceBreaker::new(name("app"), Default::default(), now);
        let client = ServiceBuilder::new()
            .layer(InheritLayer::new())
            .layer(routes())
            .layer(MirrorLayer::new(mirror.clone(), copies))
            .layer(DeadlineLayer::at_most(LONG))
            .map_request(|request: Request<TeeBody<Body>>| request.map(Body::new))
            .layer(retry)
            .layer(hedge)
            .layer(FaultLayer::new(faults))
            .layer(AttemptLayer::new(self.tracer.clone(), &name("frontend")))
            .layer(BreakerLayer::new(breaker))
            .service(balance.clone())
            .map_response(|response| response.map(Body::new));
        Calling {
            client: BoxCloneSyncService::new(client),
            hedges,
            hedged,
            retried,
            mirror,
            balance,
        }
    }
}

fn told<T: Send + 'static>(told: &Told<T>) -> impl Fn(T) + Send + Sync + 'static {
    let told = Arc::clone(told);
    move |outcome| told.lock().expect("nobody panicked").push(outcome)
}
