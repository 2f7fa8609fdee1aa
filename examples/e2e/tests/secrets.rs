//! No key, token or password leaves the process: not in the log at its most talkative, not in an answer, not in what the
//! commands print, not in a crash.
//!
//! Numbers are those of the list of attacks the project keeps.

#[path = "shared/secret.rs"]
mod secret;

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use axum::Router;
use e2e::{LIMIT, binary, listen, serve, until};
use secret::Secrets;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const REDIS_PASSWORD: &str = "correct-horse-battery-staple";
const JOIN_TOKEN: &str = "join-7c1f0c3f5a2b4d1e9a8b";
const ADMIN_TOKEN: &str = "admin-55d0b3f2c4e64f8f9b1a";

/// A proxy that tells all it has to tell, and where that goes.
struct Talkative {
    process: Child,
    address: SocketAddr,
    metrics: SocketAddr,
    folder: tempfile::TempDir,
    app: SocketAddr,
    redis: SocketAddr,
}

impl Talkative {
    async fn start(authority: &str, format: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let app = serve(Router::new().fallback(async || "app")).await;
        let (address, metrics, redis) = (listen().await.1, listen().await.1, quoting_redis().await);
        let path = folder.path();
        std::fs::write(path.join("token"), ADMIN_TOKEN).expect("writable");
        if authority == "files" {
            cert(
                path,
                &["init", "--trust-domain", "cluster.local", "--state-dir", "ca"],
            )
            .await;
            cert(path, &issue("gate")).await;
        }
        let own = Self {
            process: Command::new("true").spawn().expect("it starts"),
            address,
            metrics,
            folder,
            app,
            redis,
        };
        std::fs::write(own.path("mesh.yaml"), own.file(authority, "")).expect("writable");
        let to = |name: &str| Stdio::from(File::create(own.path(name)).expect("writable"));
        let process = Command::new(binary("mesh-proxy"))
            .args(["run", "--config", "mesh.yaml", "--log-format", format])
            .current_dir(own.folder.path())
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .env("SSLKEYLOGFILE", own.path("session-keys"))
            .stdin(Stdio::null())
            .stdout(to("stdout"))
            .stderr(to("stderr"))
            .kill_on_drop(true)
            .spawn()
            .expect("the proxy starts");
        let own = Self { process, ..own };
        until("the proxy is ready", async || {
            own.page("/readyz")
                .await?
                .starts_with("HTTP/1.1 200")
                .then_some(())
        })
        .await;
        own
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, authority: &str, more: &str) -> String {
        let authority = match authority {
            "files" => "files: { cert: gate/cert.pem, key: gate/key.pem, ca: gate/ca.pem }".to_owned(),
            "local" => "local: {}".to_owned(),
            other => other.to_owned(),
        };
        let Self {
            address,
            metrics,
            app,
            redis,
            ..
        } = self;
        format!(
            r#"
serviceMesh:
  namespace: shop
  trustDomain: cluster.local
  identity: {{ service: gate }}
  listeners: [ {{ name: inbound, bind: "{address}", tls: permissive }} ]
  metrics: {{ bind: "{metrics}" }}
  admin: {{ bind: "127.0.0.1:0", tokenFile: token }}
  mutualTLS: {{ enabled: true, stateDir: ca, authority: {{ {authority} }} }}
  trafficManagement: {{ limitStore: {{ redis: "redis://mesh:{REDIS_PASSWORD}@{redis}" }} }}
  services:
    - name: app
      port: 1
      hosts: ["*"]
      endpoints: ["{app}"]
      rateLimiting: {{ enabled: true, requestsPerSecond: 1000, shared: true }}
      authorization:
        rules: [ {{ action: allow, from: ["spiffe://cluster.local/ns/shop/sa/frontend"] }} ]
{more}"#
        )
    }

    /// Replaces the file and waits until the log says what came of it.
    async fn reload(&self, text: &str, says: &str) {
        let before = self.log("stderr").matches(says).count();
        std::fs::write(self.path("next"), text).expect("writable");
        std::fs::rename(self.path("next"), self.path("mesh.yaml")).expect("renamed");
        self.signal("HUP").await;
        until(says, async || {
            (self.log("stderr").matches(says).count() > before).then_some(())
        })
        .await;
    }

    fn log(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).expect("readable")).into_owned()
    }

    async fn signal(&self, name: &str) {
        let pid = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
        assert!(sent.expect("kill runs").success());
    }

    async fn page(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.metrics).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: metrics\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await.ok()?;
        Some(page)
    }

    /// What curl prints, and what it does not like.
    async fn curl(&self, service: Option<&str>, arguments: &[&str]) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sSik", "--max-time", "20"])
            .args(arguments)
            .current_dir(self.folder.path());
        if let Some(service) = service {
            curl.args([
                "--cert",
                &format!("{service}/cert.pem"),
                "--key",
                &format!("{service}/key.pem"),
            ]);
        }
        let output = curl.arg(format!("https://{}/a?b=c", self.address)).output().await;
        told(&output.expect("curl is installed"))
    }

    async fn command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary("mesh-proxy"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("RUST_LOG", "trace");
        told(&command.output().await.expect("it starts"))
    }
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn cert(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(binary("mesh-proxy"));
    let output = command
        .arg("cert")
        .args(arguments)
        .current_dir(folder)
        .env("RUST_LOG", "trace")
        .output()
        .await;
    let output = output.expect("it starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    told(&output)
}

fn issue(service: &str) -> [&str; 9] {
    [
        "issue",
        "--namespace",
        "shop",
        "--service",
        service,
        "--state-dir",
        "ca",
        "--out",
        service,
    ]
}

/// A store that refuses every command, and quotes it: as Redis does when it does not know one.
async fn quoting_redis() -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let line = line.trim().to_owned();
                    // A command of N words begins with *N; each word stands behind its length.
                    let Some(words) = line
                        .strip_prefix('*')
                        .and_then(|words| words.parse::<usize>().ok())
                    else {
                        continue;
                    };
                    let mut command = Vec::new();
                    for _ in 0..words {
                        let _length = lines.next_line().await;
                        command.push(lines.next_line().await.ok().flatten().unwrap_or_default());
                    }
                    let answer = format!("-ERR unknown command, with args beginning with: {command:?}\r\n");
                    if write.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Every secret that may be around.
fn secrets(proxy: &Talkative, at_least: usize) -> Secrets {
    let mut secrets = Secrets::default();
    secrets.collect(proxy.folder.path());
    assert!(secrets.keys() >= at_least, "{} keys", secrets.keys());
    secrets.add_text("the password of Redis", REDIS_PASSWORD);
    secrets.add_text("the join token", JOIN_TOKEN);
    secrets.add_text("the admin token", ADMIN_TOKEN);
    secrets
}

async fn tells_no_secret(authority: &str, format: &str) {
    let mut proxy = Talkative::start(authority, format).await;
    let folder = proxy.folder.path().to_owned();
    let mut answers = Vec::new();
    for service in ["frontend", "printer"] {
        answers.push(cert(&folder, &issue(service)).await);
    }

    // Handshakes and requests that go well, that are refused, and that fail.
    for version in ["--http1.1", "--http2"] {
        let answer = proxy.curl(Some("frontend"), &[version]).await;
        assert!(answer.contains(" 200") && answer.ends_with("app\n"), "{answer}");
        answers.push(answer);
        let answer = proxy.curl(Some("printer"), &[version]).await;
        assert!(answer.contains(" 403"), "{answer}");
        answers.push(answer);
    }
    cert(
        &folder,
        &[
            "init",
            "--trust-domain",
            "cluster.local",
            "--state-dir",
            "foreign",
        ],
    )
    .await;
    let mut foreign = issue("frontend");
    (foreign[6], foreign[8]) = ("foreign", "stranger");
    answers.push(cert(&folder, &foreign).await);
    let answer = proxy.curl(Some("stranger"), &[]).await;
    assert!(answer.contains("curl: ("), "{answer}");
    answers.push(answer);
    answers.push(proxy.curl(None, &[]).await);
    for junk in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ] {
        let mut stream = TcpStream::connect(proxy.address).await.expect("it listens");
        stream.write_all(junk).await.expect("sent");
        stream.shutdown().await.expect("closed");
        let mut answer = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer))
            .await
            .expect("it answers, or hangs up");
        answers.push(String::from_utf8_lossy(&answer).into_owned());
    }

    // A reload that goes well, and bad ones: a token where none is expected, and values of the wrong kind.
    proxy
        .reload(
            &proxy.file(authority, "# again\n"),
            "the configuration was reloaded",
        )
        .await;
    let refused = "the configuration is refused";
    let remote = format!("remote: {{ url: 'nonsense', joinToken: {JOIN_TOKEN}, joinTokn: {JOIN_TOKEN} }}");
    let list = format!("remote: {{ url: 'https://ca.example', joinToken: [{JOIN_TOKEN}] }}");
    let good = proxy.file(authority, "");
    let bad = [
        proxy.file(&remote, ""),
        proxy.file(&list, ""),
        good.replace("redis://mesh:", "http://mesh:"),
        good.replace(&format!("@{}", proxy.redis), "@host:port"),
        good.replace("redis: \"redis", "redis: [\"redis")
            .replace(&format!("{}\"", proxy.redis), &format!("{}\"]", proxy.redis)),
        good.replace("redis: \"", "redys: \""),
        format!("{good}\n  - joinToken: [{JOIN_TOKEN}\n"),
    ];
    for text in &bad {
        proxy.reload(text, refused).await;
        let checked = proxy.command(&["check", "--config", "mesh.yaml"]).await;
        assert!(checked.contains("problem"), "{checked}\n{text}");
        answers.push(checked);
        answers.push(
            proxy
                .command(&["explain", "--config", "mesh.yaml", "--path", "/a"])
                .await,
        );
    }
    proxy.reload(&good, "the configuration was reloaded").await;

    // What is asked for.
    for arguments in [
        &["check", "--config", "mesh.yaml"][..],
        &[
            "explain",
            "--config",
            "mesh.yaml",
            "--path",
            "/a",
            "--source",
            "frontend",
        ],
        &["explain", "--config", "mesh.yaml", "--path", "/a", "--json"],
        &["cert", "list", "--state-dir", "ca"],
        &["cert", "list", "--json", "--state-dir", "ca"],
        &["cert", "inspect", "frontend/cert.pem"],
        &["cert", "inspect", "frontend/key.pem"],
        &["cert", "inspect", "ca/ca.record"],
        &[
            "cert",
            "verify",
            "--cert",
            "frontend/cert.pem",
            "--ca",
            "frontend/ca.pem",
        ],
        &[
            "cert",
            "verify",
            "--cert",
            "frontend/key.pem",
            "--ca",
            "frontend/key.pem",
        ],
        &["check", "--config", "frontend/key.pem"],
        &["check", "--config", "ca/ca.record"],
    ] {
        answers.push(proxy.command(arguments).await);
    }
    for path in ["/metrics", "/readyz", "/healthz", "/config", "/debug/pprof"] {
        answers.push(proxy.page(path).await.expect("an answer"));
    }

    // The end, as after a fault.
    proxy.signal("ABRT").await;
    let ended = timeout(LIMIT, proxy.process.wait())
        .await
        .expect("it ends")
        .expect("it ran");
    assert!(!ended.success());
    assert!(!proxy.path("core").exists() && !proxy.path("session-keys").exists());

    let secrets = secrets(&proxy, if authority == "local" { 5 } else { 6 });
    let log = proxy.log("stderr");
    assert!(
        log.contains("TRACE") && log.len() > 50_000,
        "it was told to tell everything: {} bytes",
        log.len()
    );
    for (what, text) in [("the log", log), ("standard output", proxy.log("stdout"))] {
        assert_eq!(secrets.found_in(&text), [""; 0], "in {what}");
    }
    for answer in answers {
        assert_eq!(secrets.found_in(&answer), [""; 0], "{answer}");
    }
}

/// Case 90.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_a_ca_of_its_own_tells_no_secret_in_text() {
    tells_no_secret("local", "text").await;
}

/// Case 90.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_a_ca_of_its_own_tells_no_secret_in_json() {
    tells_no_secret("local", "json").await;
}

/// Case 90.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_certificates_in_files_tells_no_secret_in_text() {
    tells_no_secret("files", "text").await;
}

/// Case 90.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_certificates_in_files_tells_no_secret_in_json() {
    tells_no_secret("files", "json").await;
}

/// The search finds what is there, in every form: or else the tests above would say nothing.
#[tokio::test]
async fn a_secret_that_is_told_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    cert(
        folder.path(),
        &["init", "--trust-domain", "cluster.local", "--state-dir", "ca"],
    )
    .await;
    cert(folder.path(), &issue("frontend")).await;
    let mut secrets = Secrets::default();
    secrets.collect(folder.path());
    assert_eq!(
        secrets.keys(),
        2,
        "that of the CA, in its record, and that of the certificate"
    );
    secrets.add_text("a token", JOIN_TOKEN);

    let text = std::fs::read_to_string(folder.path().join("frontend/key.pem")).expect("readable");
    let der = pem::parse(&text).expect("a key").into_contents();
    let hex = |separator: &str| {
        der.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(separator)
    };
    let as_record = std::fs::read_to_string(folder.path().join("ca/ca.record")).expect("readable");
    for told in [
        text.clone(),
        format!("{text:?}"),
        text.lines().nth(1).expect("a line").to_owned(),
        text.lines().nth(2).expect("a line").to_owned(),
        format!("{der:?}"),
        format!("{der:#?}"),
        format!("{:?}", bytes::Bytes::copy_from_slice(&der)),
        der.escape_ascii().to_string(),
        hex(""),
        hex(":"),
        hex(" ").to_uppercase(),
        as_record,
        format!("token={JOIN_TOKEN}"),
        format!("{:?}", JOIN_TOKEN.as_bytes()),
    ] {
        let planted = format!("INFO nothing to see here {told} and more\n");
        assert!(!secrets.found_in(&planted).is_empty(), "{planted}");
    }
    for harmless in [
        "",
        "INFO a certificate was issued",
        &std::fs::read_to_string(folder.path().join("frontend/cert.pem")).expect("readable"),
    ] {
        assert_eq!(secrets.found_in(harmless), [""; 0]);
    }
}

/// Case 90. As somebody who is not root: who may look into the process is what the owner of its files tells.
#[tokio::test]
async fn the_memory_of_a_proxy_is_not_to_be_dumped_unless_that_is_asked_for() {
    const NOBODY: u32 = 65_534;
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("mesh-proxy");
    std::fs::copy(binary("mesh-proxy"), &program).expect("copied");
    let is_root = std::fs::metadata("/proc/self").expect("there").uid() == 0;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("its owner is us");
    for (arguments, forbidden) in [(&[][..], true), (&["--allow-core-dumps"], false)] {
        let (address, metrics) = (listen().await.1, listen().await.1);
        let file = format!(
            "serviceMesh:\n  namespace: shop\n  identity: {{ service: gate }}\n  listeners: [ {{ name: inbound, bind: \"{address}\", tls: \"off\" }} ]\n  \
             metrics: {{ bind: \"{metrics}\" }}\n"
        );
        let path = folder.path().join("mesh.yaml");
        std::fs::write(&path, file).expect("writable");
        let mut command = Command::new(&program);
        command.args(["run", "--config", "mesh.yaml"]).args(arguments);
        command
            .current_dir(folder.path())
            .env("RUST_LOG", "warn")
            .kill_on_drop(true);
        if is_root {
            chown(&path, Some(NOBODY), None).expect("root may");
            command.uid(NOBODY);
        }
        let process = command.spawn().expect("it starts");
        let of_process =
            |name: &str| PathBuf::from(format!("/proc/{}/{name}", process.id().expect("it runs")));
        until("it listens", async || TcpStream::connect(address).await.ok()).await;

        let limits = std::fs::read_to_string(of_process("limits")).expect("readable");
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .expect("told");
        let core: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
        let owner = std::fs::metadata(of_process("environ")).expect("there").uid();
        match forbidden {
            true => assert_eq!((&*core, owner), (&["0", "0"][..], 0)),
            false => assert_ne!(owner, 0),
        }
    }
}
