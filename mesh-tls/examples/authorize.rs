//! Two services call a third by mutual TLS: one may read, the other may do nothing.
//!
//! Run it with `cargo run -p mesh-tls --features authorize --example authorize`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use mesh_core::connect::{Connect, HttpProtocol};
use mesh_core::edge::EdgeLayer;
use mesh_core::serve::Server;
use mesh_core::{BoxError, Endpoint, SpiffeId};
use mesh_tls::authorize::{AuthorizationPolicy, AuthorizeLayer, Rule};
use mesh_tls::{Identity, LocalCa};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let ca = LocalCa::in_memory("cluster.local")?;
    let member = async |service: &str| -> Result<Identity, BoxError> {
        let id = SpiffeId::of_service("cluster.local", "shop", service)?;
        Ok(Identity::builder(id).authority(ca.clone()).start().await?)
    };
    let (orders, frontend, printer) = (
        member("orders").await?,
        member("frontend").await?,
        member("printer").await?,
    );

    let policy = AuthorizationPolicy::new([
        Rule::allow("frontend-reads")
            .from(["spiffe://cluster.local/ns/shop/sa/frontend"])
            .methods(["GET", "HEAD"])
            .paths(["/orders/**"]),
        Rule::deny("internal").paths(["/orders/internal/**"]),
    ])?;
    let denied = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&denied);
    let authorize = AuthorizeLayer::new(policy).observe(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let app = Router::new().route("/orders/{id}", get(async || "an order"));
    let service = ServiceBuilder::new()
        .layer(EdgeLayer::new("orders".parse()?))
        .layer(authorize)
        .service(app);
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    tokio::spawn(Server::accepting(orders.accept()).serve(socket, service));

    let of_orders = SpiffeId::of_service("cluster.local", "shop", "orders")?;
    let ask = async |who: &Identity, method: &str, path: &str| -> Result<String, BoxError> {
        let connect = who
            .connect_to(of_orders.clone())
            .with_protocols([HttpProtocol::Http1]);
        let mut io = connect.connect(&Endpoint::new(address.into())).await?.io;
        let request = format!("{method} {path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n");
        io.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        io.read_to_string(&mut answer).await?;
        Ok(answer)
    };

    assert!(
        ask(&frontend, "GET", "/orders/7")
            .await?
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        ask(&frontend, "DELETE", "/orders/7")
            .await?
            .starts_with("HTTP/1.1 403")
    );
    assert!(
        ask(&frontend, "GET", "/orders/x/../Internal/users")
            .await?
            .starts_with("HTTP/1.1 403")
    );

    let refused = ask(&printer, "GET", "/orders/7").await?;
    assert!(refused.starts_with("HTTP/1.1 403"));
    assert!(
        refused.contains("spiffe://cluster.local/ns/shop/sa/printer may not do this"),
        "{refused}"
    );
    assert_eq!(denied.load(Ordering::Relaxed), 3);
    Ok(())
}
