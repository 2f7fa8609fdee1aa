//! Endpoints from a name server that others wrote: dnsmasq, where `DNSMASQ` names it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use mesh_core::EventBus;
use mesh_lb::discovery::{Dns, DnsName, DnsSettings, Follower};
use tokio::time::{sleep, timeout};

/// Ends its process when it is dropped.
struct Server(Child);

impl Server {
    fn start(program: &str, address: SocketAddr, hosts: &Path) -> Self {
        let child = Command::new(program)
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
                "--pid-file",
            ])
            .arg("--listen-address=127.0.0.1")
            .arg("--bind-interfaces")
            .arg(format!("--port={}", address.port()))
            .arg(format!("--hostsdir={}", hosts.display()))
            .args(["--local=/example/", "--local-ttl=1"])
            .arg("--srv-host=_http._tcp.orders.example,a.orders.example,3001,10,5")
            .arg("--srv-host=_http._tcp.orders.example,b.orders.example,3002,20,5")
            .spawn();
        Self(child.expect("dnsmasq starts"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("bound")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        timeout(Duration::from_secs(20), waiting).await.is_ok(),
        "never: {what}"
    );
}

fn known(follower: &Follower) -> Vec<String> {
    let status = follower.status();
    let endpoints = status.endpoints.iter().flat_map(|set| &set.endpoints);
    endpoints.map(|endpoint| endpoint.id().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_real_name_server_is_followed_through_changes_and_failures() {
    let Ok(program) = std::env::var("DNSMASQ") else {
        println!("not tried: DNSMASQ names no name server (apt-get install dnsmasq-base)");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    // It gives its rights up, and reads the folder after that.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("ours");
    let write = |content: &str| {
        let new = folder.path().join(".new");
        std::fs::write(&new, content).expect("writable");
        std::fs::rename(new, folder.path().join("hosts")).expect("renamed");
    };
    write("10.0.0.1 orders.example\n10.0.0.11 a.orders.example\n10.0.0.12 b.orders.example\n");
    let address = free_address();
    let server = Server::start(&program, address, folder.path());

    let mut settings = DnsSettings::default();
    settings.timeout = Duration::from_secs(1);
    let dns = Dns::servers([address])
        .expect("one server")
        .with_settings(settings);
    let name = DnsName::addresses("orders.example.", 3001).expect("a name");
    let orders = Follower::start(
        "orders".parse().expect("a name"),
        dns.watch(name),
        &EventBus::default(),
    );
    until("the address is found", || known(&orders) == ["10.0.0.1:3001"]).await;

    let name = DnsName::srv("_http._tcp.orders.example.").expect("a name");
    let targets = Follower::start(
        "targets".parse().expect("a name"),
        dns.watch(name),
        &EventBus::default(),
    );
    until("targets, ports and priorities are found", || {
        known(&targets) == ["10.0.0.11:3001", "10.0.0.12:3002"]
    })
    .await;

    // A new server knows another set: dnsmasq never forgets what it read of a folder.
    drop(server);
    until("a silent server is told of", || !orders.status().synced).await;
    assert_eq!(known(&orders), ["10.0.0.1:3001"], "and changes nothing");
    write("10.0.0.2 orders.example\n10.0.0.3 orders.example\n");
    let server = Server::start(&program, address, folder.path());
    until("the TTL ends", || {
        known(&orders) == ["10.0.0.2:3001", "10.0.0.3:3001"]
    })
    .await;
    assert!(orders.status().synced);

    drop(server);
    write("10.0.0.9 another.example\n");
    let _server = Server::start(&program, address, folder.path());
    until("that nobody has the name is an error", || {
        orders
            .status()
            .error
            .as_deref()
            .is_some_and(|error| error.contains("orders.example"))
    })
    .await;
    assert_eq!(
        known(&orders),
        ["10.0.0.2:3001", "10.0.0.3:3001"],
        "the last good set stays"
    );
}
