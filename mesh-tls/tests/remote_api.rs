//! The API of a CA, asked as whoever reaches its socket may ask it. Numbers are those of the list of attacks the project
//! keeps (docs/security-cases.md).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::context::MeshContext;
use mesh_core::testkit::ManualClock;
use mesh_core::{PeerInfo, SpiffeId};
use mesh_tls::authority::BundleRequest;
use mesh_tls::remote::{
    ApiLimits, Attested, Attestor, Attestors, CertificateApi, JoinToken, JoinTokens, KnownCert, KnownCerts,
    Proof, ProofKind, ProofSource, Renewals, TokenRequest,
};
use mesh_tls::{
    CaError, CaErrorKind, CertAuthority, CertRequest, Certificate, IssuedCert, KeyType, LocalCa, PrivateKey,
    SerialNumber, TrustBundle, pem,
};
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

const DAY: u64 = 86_400;

fn id(service: &str) -> SpiffeId {
    SpiffeId::of_service("cluster.local", "dept-barc", service).expect("valid parts")
}

fn csr() -> String {
    let key = PrivateKey::generate_blocking(KeyType::default()).expect("a key");
    pem::encode_certificate_request(&key.certificate_request().expect("signed"))
}

struct Mesh {
    ca: LocalCa,
    tokens: JoinTokens,
    api: CertificateApi,
}

impl Mesh {
    fn start() -> Self {
        Self::with_limits(ApiLimits::default())
    }

    fn with_limits(limits: ApiLimits) -> Self {
        let ca = LocalCa::in_memory("cluster.local").expect("a CA");
        let tokens = JoinTokens::in_memory();
        tokens.set_server(&id("ca")).expect("kept");
        let attestors = Attestors::new().with(ProofKind::JOIN_TOKEN, tokens.clone());
        let renewals = Renewals::in_memory(ca.clone());
        let api = CertificateApi::with_limits(ca.clone(), attestors, renewals, limits);
        Self { ca, tokens, api }
    }

    async fn token(&self, service: &str) -> JoinToken {
        let bundle = self.ca.next_bundle(BundleRequest::any()).await.expect("a bundle");
        let name = format!("{service}.example").try_into().expect("a DNS name");
        let request = TokenRequest::new(id(service)).with_dns_name(name);
        self.tokens.mint(&request, &bundle).expect("a token")
    }

    async fn join(&self, service: &str) -> Issued {
        let secret = secret(&self.token(service).await).await;
        Issued::of(&self.ask(None, &with_token(&secret, &csr())).await)
    }

    async fn ask(&self, shown: Option<&PeerInfo>, body: &Value) -> Answer {
        post(&self.api, shown, body.to_string()).await
    }
}

/// What the API answered.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    retry_after: Option<u64>,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn code(&self) -> String {
        self.json()["code"]
            .as_str()
            .expect("a problem document")
            .to_owned()
    }
}

/// A certificate that was handed out.
struct Issued {
    leaf: Certificate,
    answer: Value,
}

impl Issued {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let answer = answer.json();
        let chain = pem::certificates(answer["chain"].as_str().expect("PEM").as_bytes()).expect("a chain");
        let leaf = Certificate::parse(&chain[0]).expect("a certificate");
        Self { leaf, answer }
    }

    /// Who shows it in a handshake.
    fn shown(&self) -> PeerInfo {
        let id = self.leaf.spiffe_id().expect("an ID").clone();
        let serial = self.leaf.serial().to_string();
        PeerInfo::mtls(address(), id, self.leaf.fingerprint(), serial)
    }
}

fn address() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 55555).into()
}

async fn secret(token: &JoinToken) -> String {
    token
        .introduction()
        .await
        .expect("a proof")
        .proof
        .reveal()
        .to_owned()
}

fn with_token(secret: &str, csr: &str) -> Value {
    json!({ "csr": csr, "proof": { "kind": "join-token", "value": secret }, "ttlSeconds": 30 * DAY })
}

fn with_certificate(csr: &str) -> Value {
    json!({ "csr": csr, "proof": { "kind": "certificate" }, "ttlSeconds": 30 * DAY })
}

async fn call(api: &CertificateApi, shown: Option<&PeerInfo>, request: Request<Body>) -> Answer {
    let peer = shown
        .cloned()
        .unwrap_or_else(|| PeerInfo::anonymous_tls(address()));
    let mut context = MeshContext::new(tokio::time::Instant::now());
    context.peer = Some(Arc::new(peer));
    let mut request = request;
    request.extensions_mut().insert(context);
    let response: Response<Body> = api
        .clone()
        .ready()
        .await
        .expect("ready")
        .call(request)
        .await
        .expect("answered");
    let (head, body) = response.into_parts();
    let retry_after = head
        .headers
        .get("retry-after")
        .map(|value| value.to_str().expect("text").parse().expect("seconds"));
    Answer {
        status: head.status,
        retry_after,
        body: body.collect().await.expect("whole").to_bytes(),
    }
}

async fn post(api: &CertificateApi, shown: Option<&PeerInfo>, body: impl Into<Bytes>) -> Answer {
    let request = Request::post("/v1/certificates")
        .header("content-type", "application/json")
        .body(Body::full(body.into()));
    call(api, shown, request.expect("a request")).await
}

async fn get(api: &CertificateApi, shown: Option<&PeerInfo>, path: &str) -> Answer {
    call(
        api,
        shown,
        Request::get(path).body(Body::empty()).expect("a request"),
    )
    .await
}

/// 64, 65: a CSR that asks for the SAN of another service, to be a CA, for other usages.
#[tokio::test]
async fn what_a_csr_asks_for_besides_its_key_is_not_heard() {
    let mesh = Mesh::start();
    let mut params = rcgen::CertificateParams::new(["admin.example".to_owned()]).expect("names");
    let other = "spiffe://cluster.local/ns/dept-barc/sa/admin"
        .try_into()
        .expect("text");
    params.subject_alt_names.push(rcgen::SanType::URI(other));
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    let key = rcgen::KeyPair::generate().expect("a key");
    let csr = params
        .serialize_request(&key)
        .expect("signed")
        .pem()
        .expect("PEM");
    let secret = secret(&mesh.token("orders").await).await;
    let mut ask = with_token(&secret, &csr);
    ask["ttlSeconds"] = json!(100 * 365 * DAY);
    let issued = Issued::of(&mesh.ask(None, &ask).await);
    assert_eq!(issued.leaf.spiffe_id().expect("an ID"), &id("orders"));
    assert_eq!(issued.leaf.uris().len(), 1);
    assert_eq!(issued.leaf.dns_names(), ["orders.example"]);
    assert!(!issued.leaf.is_ca());
    let longest = SystemTime::now() + Duration::from_secs(365 * DAY);
    assert!(issued.leaf.not_after() <= longest);
}

/// 66: a CSR that its own key did not sign. The token it came with counts still: nothing was handed out.
#[tokio::test]
async fn a_csr_that_its_key_did_not_sign_is_refused_and_costs_no_token() {
    let mesh = Mesh::start();
    let secret = secret(&mesh.token("orders").await).await;
    let der = pem::certificate_request(csr().as_bytes()).expect("a request");
    let mut forged = der.to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let forged = pem::encode_certificate_request(&forged.into());
    let answer = mesh.ask(None, &with_token(&secret, &forged)).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::BAD_REQUEST, "invalid_request")
    );
    Issued::of(&mesh.ask(None, &with_token(&secret, &csr())).await);
}

/// 67: a body of 10 MB, a CSR with 1,000 names, a proof that is too long.
#[tokio::test]
async fn what_is_too_large_is_refused() {
    let mesh = Mesh::start();
    let answer = post(&mesh.api, None, vec![b' '; 10_000_000]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    // One that does not say how large it is.
    let endless = http_body_util::StreamBody::new(futures_util::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(&[b' '; 1024])))
    }));
    let request = Request::post("/v1/certificates")
        .header("content-type", "application/json")
        .body(Body::new(endless));
    let answer = call(&mesh.api, None, request.expect("a request")).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let names: Vec<_> = (0..1000).map(|n| format!("name-{n}.example.org")).collect();
    let params = rcgen::CertificateParams::new(names).expect("names");
    let key = rcgen::KeyPair::generate().expect("a key");
    let csr = params
        .serialize_request(&key)
        .expect("signed")
        .pem()
        .expect("PEM");
    let answer = mesh.ask(None, &with_token("", &csr)).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
    );
    let answer = mesh
        .ask(None, &with_token(&"x".repeat(Proof::MAX_LEN + 1), &self::csr()))
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn however_many_newcomers_are_under_way_a_member_is_served() {
    let mut limits = ApiLimits::default();
    limits.requests = 2;
    let mesh = Mesh::with_limits(limits);
    let member = mesh.join("orders").await.shown();
    let slow = || {
        let never = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, std::io::Error>>();
        let request = Request::post("/v1/certificates")
            .header("content-type", "application/json")
            .body(Body::new(http_body_util::StreamBody::new(never)));
        let api = mesh.api.clone();
        tokio::spawn(async move { call(&api, None, request.expect("a request")).await })
    };
    let slow = [slow(), slow()];
    tokio::task::yield_now().await;
    let answer = mesh.ask(None, &with_token("", &csr())).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    Issued::of(&mesh.ask(Some(&member), &with_certificate(&csr())).await);
    slow.iter().for_each(|slow| assert!(!slow.is_finished()));
}

#[tokio::test]
async fn who_asks_for_more_than_the_ca_lets_a_certificate_live_gets_that() {
    let mut limits = ApiLimits::default();
    limits.lifetime = Duration::from_secs(3600);
    let issued = Mesh::with_limits(limits).join("orders").await;
    let longest = SystemTime::now() + Duration::from_secs(3600);
    assert!(issued.leaf.not_after() <= longest);
}

/// Believes a token of a service account that was made for this API, by way of what a review of it says.
struct ServiceAccounts;

impl Attestor for ServiceAccounts {
    async fn attest(&self, proof: &Proof, _: &PeerInfo) -> Result<Attested, CaError> {
        match proof.reveal() {
            "for the mesh" => Ok(Attested::new(id("orders"))),
            other => Err(CaError::new(CaErrorKind::Denied, format!("the token is {other}"))),
        }
    }
}

/// 68: a token of a service account with another audience, one that is over, one of a pod that is gone.
#[tokio::test]
async fn a_proof_that_its_attestor_does_not_believe_is_denied_and_nothing_more_is_said() {
    let ca = LocalCa::in_memory("cluster.local").expect("a CA");
    let kind = ProofKind::new("service-account").expect("a kind");
    let api = CertificateApi::new(
        ca.clone(),
        Attestors::new().with(kind, ServiceAccounts),
        Renewals::in_memory(ca),
    );
    let ask = |token: &str| json!({ "csr": csr(), "proof": { "kind": "service-account", "value": token }, "ttlSeconds": DAY });
    for token in ["for another audience", "expired", "of a pod that is gone"] {
        let answer = post(&api, None, ask(token).to_string()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::UNAUTHORIZED, "denied")
        );
        assert!(!answer.json()["detail"].to_string().contains(token));
    }
    Issued::of(&post(&api, None, ask("for the mesh").to_string()).await);
    let answer = post(&api, None, with_token("x", &csr()).to_string()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

/// 69: a join token that is used twice at once.
#[tokio::test]
async fn of_many_that_use_a_token_at_once_exactly_one_wins() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("ca");
    let ca = LocalCa::init(&state, "cluster.local").expect("a CA");
    let bundle = ca.next_bundle(BundleRequest::any()).await.expect("a bundle");
    let mut apis = Vec::new();
    // As two processes that share the directory would.
    for _ in 0..2 {
        let tokens = JoinTokens::open(&state).expect("tokens");
        tokens.set_server(&id("ca")).expect("kept");
        let attestors = Attestors::new().with(ProofKind::JOIN_TOKEN, tokens);
        apis.push(CertificateApi::new(
            ca.clone(),
            attestors,
            Renewals::in_memory(ca.clone()),
        ));
    }
    let tokens = JoinTokens::open(&state).expect("tokens");
    for _ in 0..3 {
        let token = tokens
            .mint(&TokenRequest::new(id("orders")), &bundle)
            .expect("a token");
        let secret = secret(&token).await;
        let mut asking = tokio::task::JoinSet::new();
        for n in 0..8 {
            let (api, body) = (apis[n % 2].clone(), with_token(&secret, &csr()).to_string());
            asking.spawn(async move { post(&api, None, body).await.status });
        }
        let mut answers = asking.join_all().await;
        answers.sort();
        assert_eq!(answers[0], StatusCode::CREATED);
        assert!(
            answers[1..]
                .iter()
                .all(|status| *status == StatusCode::UNAUTHORIZED),
            "{answers:?}"
        );
    }
    let kept = std::fs::read_to_string(state.join("join-tokens")).expect("a file");
    let token = tokens
        .mint(&TokenRequest::new(id("orders")), &bundle)
        .expect("a token");
    assert!(!kept.contains(&secret(&token).await));
}

#[tokio::test]
async fn a_token_that_is_over_is_denied() {
    let clock = Arc::new(ManualClock::new(
        SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000),
    ));
    let tokens = JoinTokens::in_memory_with_clock(Shared(Arc::clone(&clock)));
    tokens.set_server(&id("ca")).expect("kept");
    let bundle = LocalCa::in_memory("cluster.local").expect("a CA");
    let bundle = bundle.next_bundle(BundleRequest::any()).await.expect("a bundle");
    let token = tokens
        .mint(&TokenRequest::new(id("orders")), &bundle)
        .expect("a token");
    let (proof, peer) = (
        token.introduction().await.expect("a proof").proof,
        PeerInfo::anonymous_tls(address()),
    );
    clock.advance(Duration::from_secs(600));
    let error = tokens.attest(&proof, &peer).await.expect_err("it is over");
    assert!(error.to_string().contains("was over 0 s ago"), "{error}");
    assert_eq!(error.kind(), CaErrorKind::Denied);
}

/// 70: to renew with a certificate that was superseded, or that was not issued here.
#[tokio::test]
async fn a_certificate_is_renewed_until_its_successor_is_shown() {
    let mesh = Mesh::start();
    let first = mesh.join("orders").await;
    // An answer that was lost is asked for again.
    let lost = Issued::of(&mesh.ask(Some(&first.shown()), &with_certificate(&csr())).await);
    let second = Issued::of(&mesh.ask(Some(&first.shown()), &with_certificate(&csr())).await);
    assert_eq!(second.leaf.dns_names(), first.leaf.dns_names());
    assert_eq!(second.leaf.spiffe_id().expect("an ID"), &id("orders"));
    assert_eq!(
        get(&mesh.api, Some(&second.shown()), "/v1/bundle").await.status,
        StatusCode::OK
    );
    for superseded in [&first, &lost] {
        let answer = mesh
            .ask(Some(&superseded.shown()), &with_certificate(&csr()))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::FORBIDDEN, "denied")
        );
    }
    Issued::of(&mesh.ask(Some(&second.shown()), &with_certificate(&csr())).await);
    let unknown = PeerInfo::mtls(address(), id("orders"), "ab12", "0123");
    assert_eq!(
        mesh.ask(Some(&unknown), &with_certificate(&csr())).await.status,
        StatusCode::FORBIDDEN
    );
    let serial = second.leaf.serial().to_string();
    let other = PeerInfo::mtls(address(), id("billing"), "ab12", serial);
    assert_eq!(
        mesh.ask(Some(&other), &with_certificate(&csr())).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        mesh.ask(None, &with_certificate(&csr())).await.status,
        StatusCode::FORBIDDEN
    );
}

/// 70: what was superseded stays so over a restart of the CA.
#[tokio::test]
async fn a_superseded_certificate_stays_so_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("ca");
    let ca = LocalCa::init(&state, "cluster.local").expect("a CA");
    let key = PrivateKey::generate_blocking(KeyType::default()).expect("a key");
    let request = CertRequest::new(
        key.certificate_request().expect("signed"),
        id("orders"),
        Duration::from_secs(DAY),
    );
    let cert = ca.issue(request.expect("a request")).await.expect("issued");
    let first = PeerInfo::mtls(address(), id("orders"), "ab12", cert.serial().to_string());
    let api = || {
        let renewals = Renewals::open(&state, ca.clone()).expect("a ledger");
        CertificateApi::new(ca.clone(), Attestors::new(), renewals)
    };
    let before = api();
    let second = Issued::of(&post(&before, Some(&first), with_certificate(&csr()).to_string()).await);
    assert_eq!(
        get(&before, Some(&second.shown()), "/v1/bundle").await.status,
        StatusCode::OK
    );
    drop(before);
    let ledger = state.join("renewals.jsonl");
    let whole = std::fs::read(&ledger).expect("a ledger");
    // What a crash cut is not taken for a line.
    std::fs::write(&ledger, [&whole[..], b"{\"shown\":\"0"].concat()).expect("written");
    let after = api();
    let renew = async |peer: &PeerInfo| {
        post(&after, Some(peer), with_certificate(&csr()).to_string())
            .await
            .status
    };
    assert_eq!(renew(&first).await, StatusCode::FORBIDDEN);
    assert_eq!(renew(&second.shown()).await, StatusCode::CREATED);
    std::fs::write(&ledger, [&b"junk\n"[..], &whole].concat()).expect("written");
    let error = Renewals::open(&state, ca.clone())
        .expect_err("damaged")
        .to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[tokio::test]
async fn the_bundle_is_told_to_members_and_the_roots_to_anyone() {
    let mesh = Mesh::start();
    let member = mesh.join("orders").await;
    assert_eq!(
        get(&mesh.api, None, "/v1/bundle").await.status,
        StatusCode::UNAUTHORIZED
    );
    let told = get(&mesh.api, Some(&member.shown()), "/v1/bundle?seen=0").await;
    assert_eq!(told.json(), member.answer["bundle"]);
    let roots = get(&mesh.api, None, "/v1/roots").await.json();
    assert_eq!(roots["roots"], member.answer["bundle"]["roots"]);
    assert_eq!(
        get(&mesh.api, Some(&member.shown()), "/v1/bundle?seen=x")
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        get(&mesh.api, None, "/v1/certificates").await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(get(&mesh.api, None, "/").await.status, StatusCode::NOT_FOUND);
    let plaintext = PeerInfo::plaintext(address());
    let answer = mesh.ask(Some(&plaintext), &with_token("x", &csr())).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::FORBIDDEN, "plaintext")
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_bundle_is_answered_in_time_that_there_is_none() {
    let authority = Quick::default();
    let clock = || Virtual(tokio::time::Instant::now());
    let renewals = Renewals::in_memory_with_clock(authority.clone(), clock());
    let api = CertificateApi::with_clock(
        authority,
        Attestors::new(),
        renewals,
        ApiLimits::default(),
        clock(),
    );
    let begin = tokio::time::Instant::now();
    let answer = get(
        &api,
        Some(&Quick::shown(DAY << 32)),
        "/v1/bundle?seen=1&in_force=1&instance=ff",
    )
    .await;
    assert_eq!(
        (answer.status, begin.elapsed()),
        (StatusCode::NO_CONTENT, Duration::from_secs(25))
    );
}

/// A clock that is moved by a test.
#[derive(Debug)]
struct Shared(Arc<ManualClock>);

impl mesh_core::clock::WallClock for Shared {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

/// The time of day, as tokio's paused clock says.
#[derive(Debug)]
struct Virtual(tokio::time::Instant);

impl mesh_core::clock::WallClock for Virtual {
    fn now(&self) -> SystemTime {
        begin() + self.0.elapsed()
    }
}

fn begin() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)
}

/// Signs at once, and knows everybody: what stands above the lower 32 bits of a certificate's number says how many seconds
/// after the begin it ends.
#[derive(Clone, Default)]
struct Quick(Arc<std::sync::Mutex<Vec<IssuedCert>>>);

impl Quick {
    fn shown(number: u64) -> PeerInfo {
        let serial = SerialNumber::from_u64(number).expect("positive");
        PeerInfo::mtls(address(), id(&format!("s{serial}")), "ab12", serial.to_string())
    }

    fn number(serial: SerialNumber) -> u64 {
        serial
            .as_bytes()
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl CertAuthority for Quick {
    async fn issue(&self, _: CertRequest) -> Result<IssuedCert, CaError> {
        self.0
            .lock()
            .expect("not poisoned")
            .pop()
            .ok_or_else(|| CaError::new(CaErrorKind::Internal, "none left"))
    }

    async fn next_bundle(&self, request: BundleRequest) -> Result<TrustBundle, CaError> {
        match request.seen {
            0 => Ok(TrustBundle::new(1, [])),
            _ => std::future::pending().await,
        }
    }
}

impl KnownCerts for Quick {
    async fn known(&self, serial: SerialNumber) -> Result<Option<KnownCert>, CaError> {
        let until = begin() + Duration::from_secs(Self::number(serial) >> 32);
        Ok(Some(KnownCert::new(id(&format!("s{serial}")), until)))
    }
}

/// 72: 10,000 renewals in one second.
#[tokio::test(start_paused = true)]
async fn of_ten_thousand_that_renew_at_once_none_expires() {
    const COUNT: u64 = 10_000;
    // One real certificate for all: what it says does not matter here.
    let ca = LocalCa::in_memory("cluster.local").expect("a CA");
    let key = PrivateKey::generate_blocking(KeyType::default()).expect("a key");
    let der = key.certificate_request().expect("signed");
    let request = CertRequest::new(der.clone(), id("orders"), Duration::from_secs(DAY)).expect("a request");
    let cert = ca.issue(request).await.expect("issued");
    let authority = Quick(Arc::new(std::sync::Mutex::new(vec![cert; COUNT as usize])));
    let start = tokio::time::Instant::now();
    let clock = || Virtual(start);
    let api = CertificateApi::with_clock(
        authority.clone(),
        Attestors::new(),
        Renewals::in_memory_with_clock(authority, clock()),
        ApiLimits::default(),
        clock(),
    );
    let body = with_certificate(&pem::encode_certificate_request(&der)).to_string();
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..COUNT {
        let (api, body) = (api.clone(), body.clone());
        asking.spawn(async move {
            tokio::time::sleep(Duration::from_micros(100 * n)).await;
            // From 3 s left up to 5 minutes: those who came last have the least.
            let left = 3 + (COUNT - n) * 297 / COUNT;
            let number = left << 32 | n;
            let peer = Quick::shown(number);
            let (mut refusals, mut longest) = (Vec::new(), Duration::ZERO);
            loop {
                let began = tokio::time::Instant::now();
                let answer = post(&api, Some(&peer), body.clone()).await;
                longest = longest.max(began.elapsed());
                match answer.status {
                    StatusCode::CREATED => return (left, start.elapsed(), refusals, longest),
                    StatusCode::TOO_MANY_REQUESTS => {
                        let wait = answer.retry_after.expect("how long to wait");
                        refusals.push(wait);
                        tokio::time::sleep(Duration::from_secs(wait)).await;
                    }
                    other => panic!("{other}: {answer:?}"),
                }
            }
        });
    }
    let (mut waits, mut last, mut longest) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    for (left, came, refusals, answer) in asking.join_all().await {
        assert!(
            came < Duration::from_secs(left),
            "renewed after {came:?} with {left} s left"
        );
        waits.extend(refusals);
        last = last.max(came);
        longest = longest.max(answer);
    }
    // Nobody waits for an answer for long, those sent away come back spread, and all is over soon after it could be.
    assert!(longest <= Duration::from_secs(10), "{longest:?}");
    let distinct: std::collections::HashSet<_> = waits.iter().collect();
    assert!(distinct.len() > 50, "{} of {}", distinct.len(), waits.len());
    assert!(last < Duration::from_secs(200), "{last:?}");
}
