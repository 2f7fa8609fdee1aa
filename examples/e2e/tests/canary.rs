//! New versions rolled out by the proxy as a process, under load, from the shell.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use axum::{Router, response::IntoResponse};
use e2e::{Connection, Proxy, binary, listen, serve, until};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinSet;

/// A version of the service: it says which, or fails.
async fn version(name: &'static str, fails: Arc<AtomicBool>) -> SocketAddr {
    let answer = move || {
        let status = match fails.load(Ordering::Relaxed) {
            true => StatusCode::INTERNAL_SERVER_ERROR,
            false => StatusCode::OK,
        };
        std::future::ready((status, name).into_response())
    };
    serve(Router::new().route("/", get(answer))).await
}

struct World {
    proxy: Proxy,
    admin: String,
    load: Arc<Load>,
    clients: JoinSet<()>,
    v2_fails: Arc<AtomicBool>,
    _state: tempfile::TempDir,
}

/// What was answered by whom.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    v1: AtomicU64,
    v2: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl Load {
    /// Asks again and again, on a new connection where the old one is gone.
    async fn run(self: Arc<Self>, proxy: SocketAddr) {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        while !self.stop.load(Ordering::Relaxed) {
            let Ok(mut connection) = Connection::http1(proxy).await else {
                pace.tick().await;
                continue;
            };
            while !self.stop.load(Ordering::Relaxed) {
                pace.tick().await;
                let Some((status, who)) = ask(&mut connection).await else {
                    break;
                };
                let counter = match (status, who.as_str()) {
                    (StatusCode::OK, "v1") => &self.v1,
                    (StatusCode::OK, "v2") => &self.v2,
                    (StatusCode::INTERNAL_SERVER_ERROR, _) => &self.failed,
                    _ => &self.refused,
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn counts(&self) -> [u64; 4] {
        [&self.v1, &self.v2, &self.failed, &self.refused].map(|count| count.load(Ordering::Relaxed))
    }

    /// The share of v2 among the next requests, failed ones included. What was under way is left out.
    async fn share(&self, requests: u64) -> f64 {
        let all = || self.counts().iter().sum::<u64>();
        let begun = all();
        until("what was under way is answered", async || {
            (all() >= begun + 2 * CLIENTS as u64).then_some(())
        })
        .await;
        let before = self.counts();
        until("requests are answered", async || {
            let [v1, v2, failed, _] = self.counts();
            let [was1, was2, was_failed, _] = before;
            let (v1, v2) = (v1 - was1, v2 + failed - was2 - was_failed);
            (v1 + v2 >= requests).then(|| v2 as f64 / (v1 + v2) as f64)
        })
        .await
    }
}

async fn ask(connection: &mut Connection) -> Option<(StatusCode, String)> {
    let request = Request::get("/").header(HOST, "app").body(Body::empty());
    let answer = connection.send(request.expect("a request")).await.ok()?;
    let status = answer.status();
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

const CLIENTS: usize = 4;

const STAGES: &str = "stages: [{ weight: 10, duration: 1s }, { weight: 50, duration: 1s }, { weight: 100 }]";

impl World {
    /// A proxy with both versions behind it, under load.
    async fn start(canary: &str) -> Self {
        let v2_fails = Arc::new(AtomicBool::new(false));
        let v1 = version("v1", Arc::default()).await;
        let v2 = version("v2", Arc::clone(&v2_fails)).await;
        Self::with(v1, v2, v2_fails, canary).await
    }

    async fn with(v1: SocketAddr, v2: SocketAddr, v2_fails: Arc<AtomicBool>, canary: &str) -> Self {
        let endpoints = format!(
            "endpoints: [ {{ address: \"{v1}\", version: v1 }}, {{ address: \"{v2}\", version: v2 }} ]"
        );
        Self::behind(&endpoints, v2_fails, canary).await
    }

    /// A proxy whose service has these endpoints, under load.
    async fn behind(endpoints: &str, v2_fails: Arc<AtomicBool>, canary: &str) -> Self {
        Self::asked_by(
            |admin| format!("admin: {{ bind: \"{admin}\" }}"),
            endpoints,
            v2_fails,
            canary,
        )
        .await
    }

    /// The same, with this admin API.
    async fn asked_by(
        admin_of: impl FnOnce(SocketAddr) -> String,
        endpoints: &str,
        v2_fails: Arc<AtomicBool>,
        canary: &str,
    ) -> Self {
        let (admin, state) = (listen().await.1, tempfile::tempdir().expect("a folder"));
        let log = state.path().join("canary");
        let admin_api = admin_of(admin);
        let file = |address: SocketAddr, metrics: SocketAddr| {
            format!(
                r#"
serviceMesh:
  namespace: dept-barc
  listeners: [ {{ name: inbound, bind: "{address}", tls: "off" }} ]
  metrics: {{ bind: "{metrics}" }}
  {admin_api}
  services:
    - name: app
      port: 1
      hosts: [app]
      stableVersion: v1
      {endpoints}
      loadBalancing: {{ healthCheckInterval: 100 }}
      outlierDetection: {{ enabled: false }}
      circuitBreaker: {{ enabled: false }}
canaryDeployment:
  {canary}
  successCriteria: {{ errorRate: 0.05, duration: 1s }}
  rollbackCriteria: {{ errorRate: 0.2, duration: 1s }}
  routing: {{ sticky: false }}
  stateDir: {}
"#,
                log.display()
            )
        };
        let proxy = Proxy::start_file(&[], file).await;
        let load = Arc::new(Load::default());
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(Arc::clone(&load).run(proxy.address));
        }
        Self {
            proxy,
            admin: format!("http://{admin}"),
            load,
            clients,
            v2_fails,
            _state: state,
        }
    }

    /// `mesh-proxy canary`, with these arguments.
    async fn canary(&self, arguments: &[&str]) -> Output {
        let output = Command::new(binary("mesh-proxy"))
            .arg("canary")
            .args(arguments)
            .args(["--admin", &self.admin])
            .output();
        output.await.expect("it runs")
    }

    async fn does(&self, arguments: &[&str]) -> String {
        let output = self.canary(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    async fn status(&self) -> Value {
        let text = self.does(&["status", "app", "--json"]).await;
        serde_json::from_str(&text).expect("JSON")
    }

    async fn until(&self, state: &str) -> Value {
        until(state, async || {
            let status = self.status().await;
            let is = status["rollout"]["state"] == state;
            if !is
                && ["rolled_back", "succeeded"]
                    .iter()
                    .any(|end| status["rollout"]["state"] == *end)
            {
                panic!("it ended: {status:#}");
            }
            is.then_some(status)
        })
        .await
    }

    async fn end(mut self) {
        self.load.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("no panic");
        }
        assert_eq!(self.load.counts()[3], 0, "requests were refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_version_is_rolled_back_and_a_good_one_promoted_by_hand() {
    let world = World::start(STAGES).await;
    assert_eq!(world.load.share(100).await, 0.0);
    let none = world.does(&["status", "app"]).await;
    assert_eq!(none, "app: no rollout yet; stable is v1, versions are v1, v2\n");

    world.v2_fails.store(true, Ordering::Relaxed);
    let started = world.does(&["start", "app", "--version", "v2"]).await;
    assert!(
        started.starts_with("app v1 -> v2: analyzing, stage 1 of 3, 10%"),
        "{started}"
    );
    let rolled_back = world.until("rolled_back").await;
    let cause = rolled_back["rollout"]["cause"].as_str().expect("a cause");
    assert!(cause.starts_with("rollback: "), "{cause}");
    assert!(world.load.counts()[2] > 0);
    assert_eq!(world.load.share(200).await, 0.0);
    let again = world.canary(&["start", "app", "--version", "v2"]).await;
    assert!(!again.status.success());
    let why = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        why.contains("was rolled back before") && why.contains("--retry"),
        "{why}"
    );

    world.v2_fails.store(false, Ordering::Relaxed);
    world.does(&["start", "app", "--version", "v2", "--retry"]).await;
    let waiting = world.until("awaiting_promotion").await;
    assert_eq!(waiting["rollout"]["stage"], 1);
    world.does(&["promote", "app", "--stage", "1"]).await;
    let twice = world.canary(&["promote", "app", "--stage", "1"]).await;
    assert_eq!(
        twice.status.code(),
        Some(1),
        "a second click promotes nothing else"
    );

    let paused = world.does(&["pause", "app", "--reason", "lunch"]).await;
    assert!(paused.contains("paused, stage 2 of 3, 50%"), "{paused}");
    let share = world.load.share(800).await;
    assert!((0.4..0.6).contains(&share), "{share}");
    assert_eq!(world.status().await["rollout"]["state"], "paused");
    world.does(&["resume", "app"]).await;
    world.until("awaiting_promotion").await;
    world.does(&["promote", "app"]).await;
    let done = world.does(&["status", "app", "--watch"]).await;
    assert!(
        done.contains("app v1 -> v2: succeeded, stage 3 of 3, 100% of the requests"),
        "{done}"
    );
    assert_eq!(world.load.share(200).await, 1.0);

    let label = [("service", "app"), ("version", "v2")];
    for (name, labels, value) in [
        ("canary_deployment_status", &[("status", "success")][..], 1.0),
        ("canary_deployment_status", &[("status", "rolled_back")], 0.0),
        ("canary_deployment_weight", &[], 100.0),
    ] {
        let labels: Vec<_> = label.iter().chain(labels).copied().collect();
        assert_eq!(world.proxy.sum(name, &labels).await, value, "{name} {labels:?}");
    }
    let took = world
        .proxy
        .sum("canary_deployment_duration_seconds", &label)
        .await;
    assert!(took > 2.0, "{took}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_any_stage_changes_no_share() {
    let mut world = World::start(
        "stages: [{ weight: 20, duration: 1s }, { weight: 40, duration: 1s }, { weight: 70, duration: 1s }, { weight: 100 }]",
    )
    .await;
    world.does(&["start", "app", "--version", "v2"]).await;
    for (stage, share) in [(1, 0.2), (2, 0.4), (3, 0.7)] {
        // In the middle of a stage, and while it waits.
        for state in ["analyzing", "awaiting_promotion"] {
            world.until(state).await;
            world.proxy.crash().await;
            // Whatever is answered now is answered by the process that came after: six standard deviations of 300.
            let seen = world.load.share(300).await;
            assert!((seen - share).abs() < 0.17, "stage {stage}, {state}: {seen}");
            let status = world.status().await;
            assert_eq!(status["rollout"]["stage"], stage, "{status:#}");
            assert_eq!(status["rollout"]["weight"], (share * 100.0_f64).round() as u64);
        }
        world.until("awaiting_promotion").await;
        world.does(&["promote", "app"]).await;
    }
    world.until("succeeded").await;
    let v1 = world.load.counts()[0];
    world.proxy.crash().await;
    assert_eq!(
        world.load.share(200).await,
        1.0,
        "the version that left is asked nothing"
    );
    assert_eq!(world.load.counts()[0], v1);
    assert_eq!(world.status().await["stable"], "v2");
    world.end().await;
}

/// Users are told apart from the first window on, also by a process that begins in a stage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_among_users_that_stay_goes_on_after_a_crash() {
    let mut world = World::start("stages: [{ weight: 20, duration: 60s }, { weight: 100 }]").await;
    let text = std::fs::read_to_string(world.proxy.folder().join("mesh.yaml")).expect("text");
    assert!(text.contains("sticky: false"));
    world
        .proxy
        .replace(&text.replace("sticky: false", "sticky: true"))
        .await;
    world.proxy.crash().await;
    world.does(&["start", "app", "--version", "v2"]).await;
    world.until("analyzing").await;
    world.proxy.crash().await;
    let before = world.status().await["rollout"]["sampled_s"].as_f64();
    until("it is looked at again", async || {
        let rollout = &world.status().await["rollout"];
        assert_eq!(rollout["state"], "analyzing", "{rollout:#}");
        (rollout["sampled_s"].as_f64()? > before? + 1.0).then_some(())
    })
    .await;
    let evidence = world.status().await["rollout"]["evidence"].to_string();
    assert!(!evidence.contains("not measured"), "{evidence}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_without_an_endpoint_that_is_ready_is_not_deployed() {
    let v1 = version("v1", Arc::default()).await;
    // Nobody listens there.
    let v2 = listen().await.1;
    let world = World::with(v1, v2, Arc::default(), STAGES).await;
    until("the health check has seen it", async || {
        let output = world.canary(&["start", "app", "--version", "v2"]).await;
        if output.status.success() {
            world.does(&["rollback", "app"]).await;
            return None;
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        why.contains("v2 of app has no endpoint that is ready")
            .then_some(())
    })
    .await;
    let output = world.canary(&["start", "app", "--version", "v3"]).await;
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), why.as_str()),
        (
            Some(1),
            "app has no version v3: it has v1, v2; endpoints name theirs as version\n"
        )
    );
    let output = world.canary(&["status", "nobody"]).await;
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        why.contains("nobody is no service that is rolled out; these are: app"),
        "{why}"
    );
    assert_eq!(world.load.share(100).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_found_while_the_proxy_runs_can_be_rolled_out_and_outlives_a_crash() {
    let (v1, v2) = (
        version("v1", Arc::default()).await,
        version("v2", Arc::default()).await,
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("endpoints.json");
    let write = |list: &str| {
        let new = path.with_extension("new");
        std::fs::write(&new, format!(r#"{{ "services": {{ "app": [{list}] }} }}"#)).expect("writable");
        std::fs::rename(&new, &path).expect("renamed");
    };
    let stable = format!(r#"{{ "address": "{v1}", "version": "v1" }}"#);
    write(&stable);
    let endpoints = format!("discovery: {{ file: {{ path: {} }} }}", path.display());
    let mut world = World::behind(&endpoints, Arc::default(), STAGES).await;
    assert_eq!(world.load.share(50).await, 0.0);
    let early = world.canary(&["start", "app", "--version", "v2"]).await;
    assert_eq!(early.status.code(), Some(1));

    write(&format!(r#"{stable}, {{ "address": "{v2}", "version": "v2" }}"#));
    until("v2 was found", async || {
        let started = world.canary(&["start", "app", "--version", "v2"]).await;
        started.status.success().then_some(())
    })
    .await;
    world.until("awaiting_promotion").await;
    world.does(&["promote", "app"]).await;
    world.proxy.crash().await;
    let seen = world.load.share(300).await;
    assert!((seen - 0.5).abs() < 0.17, "{seen}");
    world.until("awaiting_promotion").await;

    write(&stable);
    until("a version that left is rolled back", async || {
        let status = world.status().await;
        (status["rollout"]["state"] == "rolled_back").then_some(())
    })
    .await;
    assert_eq!(world.load.share(100).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_scripts_do_what_they_are_named_for() {
    let world = World::start(STAGES).await;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let script = async |name: &str, arguments: &[&str]| {
        let output = Command::new(scripts.join(name))
            .args(arguments)
            .env("MESH_PROXY", binary("mesh-proxy"))
            .env("ADMIN", &world.admin)
            .output();
        let output = output.await.expect("it runs");
        assert!(output.status.success(), "{name}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let started = script("deploy-canary.sh", &["app", "v2"]).await;
    assert!(started.starts_with("app v1 -> v2: "), "{started}");
    world.until("awaiting_promotion").await;
    script("promote-canary.sh", &["app"]).await;
    let status = script("check-canary-status.sh", &["app"]).await;
    assert!(status.contains("stage 2 of 3, 50% of the requests"), "{status}");
    let status = script("rollback-canary.sh", &["app", "--reason", "enough"]).await;
    assert!(
        status.contains("rolled_back") && status.contains("enough"),
        "{status}"
    );
    assert_eq!(world.load.share(100).await, 0.0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_proves_to_be_allowed_may_ask_over_tls_and_is_written_down() {
    let (v1, v2) = (
        version("v1", Arc::default()).await,
        version("v2", Arc::default()).await,
    );
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca");
    let endpoints =
        format!("endpoints: [ {{ address: \"{v1}\", version: v1 }}, {{ address: \"{v2}\", version: v2 }} ]");
    let admin = |admin: SocketAddr| {
        format!(
            "mutualTLS: {{ authority: {{ local: {{}} }}, stateDir: '{}' }}\n  admin: {{ bind: \"{admin}\", tls: true, allow: \
             ['spiffe://cluster.local/ns/dept-barc/sa/operator'] }}",
            ca.display()
        )
    };
    let mut world = World::asked_by(admin, &endpoints, Arc::default(), STAGES).await;
    world.admin = world.admin.replace("http:", "https:");
    let certs = folder.path().join("certs");
    let issued = Command::new(binary("mesh-proxy"))
        .args([
            "cert",
            "issue",
            "--service",
            "operator",
            "--namespace",
            "dept-barc",
            "--out",
        ])
        .arg(&certs)
        .arg("--state-dir")
        .arg(&ca)
        .output()
        .await
        .expect("it runs");
    assert!(issued.status.success(), "{issued:?}");
    let file = |name: &str| certs.join(name).display().to_string();
    let (cert, key, roots) = (file("cert.pem"), file("key.pem"), file("ca.pem"));
    let shown = [
        "--cert",
        &cert,
        "--key",
        &key,
        "--ca",
        &roots,
        "--server-id",
        "spiffe://cluster.local/ns/dept-barc/sa/service-mesh-proxy",
    ];
    let started = world
        .does(&[&["start", "app", "--version", "v2"], &shown[..]].concat())
        .await;
    assert!(started.starts_with("app v1 -> v2: "), "{started}");
    let paused = world.does(&[&["pause", "app"], &shown[..]].concat()).await;
    assert!(
        paused.contains("spiffe://cluster.local/ns/dept-barc/sa/operator said so"),
        "{paused}"
    );
    let output = world.canary(&["status", "app", "--ca", &roots]).await;
    assert_eq!(output.status.code(), Some(1), "it is not the host of the URL");
    world.load.stop.store(true, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_the_token_may_ask_and_nobody_else() {
    let (v1, v2) = (
        version("v1", Arc::default()).await,
        version("v2", Arc::default()).await,
    );
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "open sesame\n").expect("written");
    let endpoints =
        format!("endpoints: [ {{ address: \"{v1}\", version: v1 }}, {{ address: \"{v2}\", version: v2 }} ]");
    let admin =
        |admin: SocketAddr| format!("admin: {{ bind: \"{admin}\", tokenFile: '{}' }}", token.display());
    let world = World::asked_by(admin, &endpoints, Arc::default(), STAGES).await;
    let output = world.canary(&["status", "app"]).await;
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && why.contains("--token-file FILE"),
        "{why}"
    );
    let path = token.display().to_string();
    let status = world.does(&["status", "app", "--token-file", &path]).await;
    assert!(status.starts_with("app: no rollout yet"), "{status}");
    world.load.stop.store(true, Ordering::Relaxed);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told_of_with_what_to_look_at() {
    let nobody = listen().await.1;
    let output = Command::new(binary("mesh-proxy"))
        .args(["canary", "status", "app", "--admin", &format!("http://{nobody}")])
        .output();
    let output = output.await.expect("it runs");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        why.contains("cannot be reached") && why.contains("serviceMesh.admin.bind"),
        "{why}"
    );
}
