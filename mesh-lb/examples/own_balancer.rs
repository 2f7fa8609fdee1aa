//! An algorithm of one's own: the endpoint that has waited longest for a request. Run it with
//! `cargo run -p mesh-lb --example own_balancer`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use http_body_util::BodyExt as _;
use mesh_core::body::Body;
use mesh_core::{BoxError, Endpoint, EndpointSet};
use mesh_lb::{Balance, LoadBalancer, PickContext, Picker, SlotView};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Picks the endpoint that has waited longest.
struct LongestWait;

impl LoadBalancer for LongestWait {
    fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker> {
        // Weight 0 takes no requests, and what a pick needs is made here, once for each set of endpoints.
        let usable = slots.iter().enumerate().filter(|(_, slot)| slot.weight > 0);
        Arc::new(Waiting {
            last: usable.map(|(slot, _)| (slot, AtomicU64::new(0))).collect(),
            picks: AtomicU64::new(1),
        })
    }
}

/// The slots, each with the number of its last pick.
struct Waiting {
    last: Vec<(usize, AtomicU64)>,
    picks: AtomicU64,
}

impl Picker for Waiting {
    fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
        // What was tried comes last: it is picked only if there is nothing else.
        let waited = |(slot, last): &&(usize, AtomicU64)| (cx.was_tried(*slot), last.load(Ordering::Relaxed));
        let (slot, last) = self.last.iter().min_by_key(waited)?;
        last.store(self.picks.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(*slot)
    }
}

/// An endpoint that answers every request with its name.
async fn endpoint(name: &'static str) -> std::io::Result<Endpoint> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                // A request without a body comes in one piece here.
                let mut head = [0; 1024];
                while matches!(stream.read(&mut head).await, Ok(1..)) {
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(Endpoint::new(address.into()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let endpoints = [endpoint("a").await?, endpoint("b").await?, endpoint("c").await?];
    let orders = Balance::builder("orders".parse()?)
        .endpoints(EndpointSet::new(endpoints))
        .balancer(LongestWait)
        .start();

    let mut answers = Vec::new();
    for _ in 0..6 {
        let request = Request::get("/").header("host", "orders").body(Body::empty())?;
        let (response, _) = orders.send(request, None).await?;
        let body = response.into_body().collect().await?.to_bytes();
        answers.push(String::from_utf8(body.to_vec())?);
    }
    assert_eq!(answers, ["a", "b", "c", "a", "b", "c"]);
    Ok(())
}
