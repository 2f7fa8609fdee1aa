use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_core::body::Body;
use mesh_core::connect::HttpProtocol;
use mesh_core::tried::TriedEndpoints;
use mesh_core::{EndpointSet, ErrorKind, Outcome, Version, live};
use mesh_lb::discovery::LiveWatch;
use mesh_lb::{Balance, FleetPolicy, RoundRobin};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use crate::http2::{answers, serve_http2};
use crate::support::{
    Net, endpoint, get, hello, over, post, read, read_head, seconds, send, text, until, whole, write,
};

fn version(name: &str) -> Version {
    name.parse().expect("a version")
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_at_another_endpoint_with_the_body_untouched() {
    let net = Net::new()
        .refuses(1)
        .refuses(2)
        .serves(3, |mut io, _| async move {
            while read_head(&mut io).await.is_some() {
                assert_eq!(read(&mut io, 4).await, "body");
                write(&mut io, crate::support::HELLO).await;
            }
        });
    let (balance, fleet) = over(&net, &[1, 2, 3]).start();
    for _ in 0..6 {
        let (response, info) = send(&balance, post(Body::full("body"))).await.expect("answered");
        assert_eq!(info.endpoint, *endpoint(3).id());
        assert!(info.attempts <= 3);
        assert_eq!(whole(response.into_body()).await.expect("whole"), "hello");
    }
    for port in 1..4 {
        assert_eq!(fleet.in_flight(endpoint(port).id()), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_a_request_was_tried_at_before_are_avoided_and_the_next_one_is_told() {
    let net = Net::new().serves(1, hello).serves(2, hello).serves(3, hello);
    let (balance, _fleet) = over(&net, &[1, 2, 3]).start();
    for _ in 0..4 {
        let tried = TriedEndpoints::default();
        let mut answered = Vec::new();
        for _ in 0..4 {
            let mut request = get();
            request.extensions_mut().insert(tried.clone());
            let (response, info) = send(&balance, request).await.expect("answered");
            whole(response.into_body()).await.expect("whole");
            answered.push(info.endpoint);
        }
        // The fourth has no other left, and adds none.
        let mut first: Vec<_> = tried.iter().cloned().collect();
        assert_eq!(first, answered[..3]);
        first.sort();
        assert_eq!(first, [1, 2, 3].map(|port| endpoint(port).id().clone()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_never_answers_is_told_as_tried() {
    let net = Net::new().serves(1, |io, _| async move {
        sleep(crate::support::LONG).await;
        drop(io);
    });
    let (balance, _fleet) = over(&net, &[1]).start();
    let tried = TriedEndpoints::default();
    let mut request = get();
    request.extensions_mut().insert(tried.clone());
    let never = timeout(seconds(1), send(&balance, request)).await;
    assert!(never.is_err());
    assert_eq!(tried.iter().collect::<Vec<_>>(), [endpoint(1).id()]);
}

#[tokio::test(start_paused = true)]
async fn attempts_end_after_four_and_each_is_told() {
    let net = Net::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let balance = Balance::builder("orders".parse().expect("a name"))
        .endpoints(EndpointSet::new((1..=9).map(endpoint)))
        .connect(net.clone())
        .observe(move |attempt| {
            telling
                .lock()
                .expect("free")
                .push((attempt.endpoint.clone(), attempt.outcome, attempt.number));
        })
        .start();
    let error = send(&balance, get()).await.expect_err("all refuse");
    assert_eq!(error.kind(), ErrorKind::UpstreamConnect);
    let told = told.lock().expect("free");
    let numbers: Vec<_> = told
        .iter()
        .map(|(_, outcome, number)| (*outcome, *number))
        .collect();
    let refused = Outcome::Refused(ErrorKind::UpstreamConnect);
    assert_eq!(numbers, [(refused, 1), (refused, 2), (refused, 3), (refused, 4)]);
    let mut endpoints: Vec<_> = told.iter().map(|(endpoint, ..)| endpoint).collect();
    endpoints.sort();
    endpoints.dedup();
    assert_eq!(endpoints.len(), 4, "each at another endpoint");
}

#[tokio::test(start_paused = true)]
async fn a_rested_connection_that_was_closed_is_not_told_against_its_endpoint() {
    let net = Net::new().serves(1, |mut io, nth| async move {
        while read_head(&mut io).await.is_some() {
            write(&mut io, crate::support::HELLO).await;
            if nth == 0 {
                read_head(&mut io).await;
                return;
            }
        }
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let balance = Balance::builder("orders".parse().expect("a name"))
        .endpoints(EndpointSet::new([endpoint(1)]))
        .connect(net)
        .observe(move |attempt| telling.lock().expect("free").push(attempt.outcome))
        .start();
    for _ in 0..2 {
        assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    }
    assert_eq!(*told.lock().expect("free"), [Outcome::Success, Outcome::Success]);
}

#[tokio::test(start_paused = true)]
async fn without_an_endpoint_the_error_says_so() {
    let (balance, _) = over(&Net::new(), &[]).start();
    let error = send(&balance, get()).await.expect_err("none");
    assert_eq!(error.kind(), ErrorKind::NoHealthyEndpoint);
    let error = balance.send(get(), Some(&version("v9"))).await.expect_err("none");
    assert!(error.message().contains("v9"), "{error}");
}

async fn answering(balance: &Balance, wanted: Option<&str>) -> Result<Vec<String>, ErrorKind> {
    let mut by = Vec::new();
    for _ in 0..12 {
        let wanted = wanted.map(version);
        let (response, info) = balance.send(get(), wanted.as_ref()).await.map_err(|e| e.kind())?;
        whole(response.into_body()).await.expect("whole");
        by.push(info.endpoint.to_string());
    }
    by.sort();
    by.dedup();
    Ok(by)
}

fn names(ports: &[u16]) -> Result<Vec<String>, ErrorKind> {
    Ok(ports
        .iter()
        .map(|port| endpoint(*port).id().to_string())
        .collect())
}

#[tokio::test(start_paused = true)]
async fn a_version_has_its_own_endpoints_and_the_stable_ones_serve_the_rest() {
    let net = (1..=4).fold(Net::new(), |net, port| net.serves(port, hello));
    let set = || {
        EndpointSet::new([
            endpoint(1).with_version(Some(version("v1"))),
            endpoint(2).with_version(Some(version("v1"))),
            endpoint(3).with_version(Some(version("v2"))),
            endpoint(4),
        ])
    };
    let start = |set, stable| {
        let mut policy = FleetPolicy::default();
        policy.stable = stable;
        Balance::builder("orders".parse().expect("a name"))
            .endpoints(set)
            .balancer(RoundRobin::new())
            .connect(net.clone())
            .policy(policy)
            .start()
    };
    let balance = start(set(), Some(version("v1")));
    assert_eq!(answering(&balance, None).await, names(&[1, 2, 4]));
    assert_eq!(answering(&balance, Some("v1")).await, names(&[1, 2, 4]));
    assert_eq!(answering(&balance, Some("v2")).await, names(&[3]));
    assert_eq!(
        answering(&balance, Some("v3")).await,
        Err(ErrorKind::NoHealthyEndpoint)
    );

    // Without a name for it, those without a version are stable, and all if there are none of them.
    let balance = start(set(), None);
    assert_eq!(answering(&balance, None).await, names(&[4]));
    assert_eq!(answering(&balance, Some("v1")).await, names(&[1, 2]));
    let versioned = [1, 2, 3].map(|port| {
        let of = if port == 3 { "v2" } else { "v1" };
        endpoint(port).with_version(Some(version(of)))
    });
    let balance = start(EndpointSet::new(versioned), None);
    assert_eq!(answering(&balance, None).await, names(&[1, 2, 3]));

    // Endpoints without a version are the stable ones, by whichever name.
    let balance = start(EndpointSet::new([endpoint(4)]), Some(version("v1")));
    assert_eq!(answering(&balance, Some("v1")).await, names(&[4]));
}

#[tokio::test(start_paused = true)]
async fn a_new_set_keeps_the_connections_and_the_load_of_the_endpoints_that_stay() {
    let net = Net::new().serves(2, hello).serves(1, |mut io, _| async move {
        while read_head(&mut io).await.is_some() {
            sleep(seconds(5)).await;
            if io.write_all(crate::support::HELLO.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let (publisher, set) = live(EndpointSet::new([endpoint(1)]));
    let balance = Balance::builder("orders".parse().expect("a name"))
        .discover(LiveWatch::following(set))
        .balancer(RoundRobin::new())
        .connect(net.clone())
        .start();
    let fleet = balance.fleet().clone();
    text(&balance, get()).await.expect("answered");
    let slow = {
        let balance = balance.clone();
        tokio::spawn(async move { text(&balance, get()).await })
    };
    sleep(seconds(1)).await;
    publisher.publish(EndpointSet::new([endpoint(1), endpoint(2)]));
    sleep(seconds(1)).await;
    assert_eq!(fleet.in_flight(endpoint(1).id()), 1);
    assert_eq!(answering(&balance, None).await, names(&[1, 2]));
    slow.await.expect("no panic").expect("answered");
    let before = net.connects(1);

    // A set without it lets what is in flight end, and its connections go.
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let balance = balance.clone();
            tokio::spawn(async move { text(&balance, get()).await })
        })
        .collect();
    sleep(seconds(1)).await;
    assert_eq!(fleet.in_flight(endpoint(1).id()), 1);
    publisher.publish(EndpointSet::new([endpoint(2)]));
    for slow in slow {
        assert_eq!(slow.await.expect("no panic").expect("answered"), "hello");
    }
    assert_eq!(answering(&balance, None).await, names(&[2]));
    assert_eq!(net.connects(1), before, "its connections were used on");
    until("nothing is in flight", || fleet.in_flight(endpoint(1).id()) == 0).await;
    publisher.publish(EndpointSet::default());
    sleep(seconds(1)).await;
    assert_eq!(answering(&balance, None).await, Err(ErrorKind::NoHealthyEndpoint));
}

#[tokio::test(start_paused = true)]
async fn a_successor_takes_the_connections_over() {
    let net = Net::new().serves(1, hello);
    let start = |before: Option<&Balance>| {
        let builder = Balance::builder("orders".parse().expect("a name"))
            .endpoints(EndpointSet::new([endpoint(1)]))
            .connect(net.clone());
        match before {
            Some(before) => builder.succeeding(before),
            None => builder,
        }
        .start()
    };
    let first = start(None);
    text(&first, get()).await.expect("answered");
    let second = start(Some(&first));
    drop(first);
    text(&second, get()).await.expect("answered");
    assert_eq!(net.connects(1), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_agrees_on_another_protocol_than_before_is_followed() {
    let net = Net::new()
        .agreeing(|nth| {
            if nth == 1 {
                HttpProtocol::Http2
            } else {
                HttpProtocol::Http1
            }
        })
        .serves(1, |io, nth| async move {
            if nth == 1 {
                let once = serve_http2(io, |request| {
                    assert_eq!(
                        request.uri().scheme_str(),
                        Some("https"),
                        "only TLS agrees on a protocol"
                    );
                    answers(Duration::ZERO)(request)
                });
                drop(timeout(seconds(5), once).await);
            } else if nth == 0 {
                drop(timeout(seconds(5), hello(io, nth)).await);
            } else {
                hello(io, nth).await;
            }
        });
    let (balance, _) = over(&net, &[1]).start();
    for connects in 1..=3 {
        for _ in 0..3 {
            assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
            assert_eq!(net.connects(1), connects, "the connection is used again");
        }
        sleep(seconds(10)).await;
    }
}
