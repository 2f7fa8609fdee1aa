use std::future::pending;

use mesh_core::MeshContext;
use mesh_core::{ErrorKind, Outcome};
use mesh_lb::fleet::EndpointState;
use mesh_lb::{Balance, Fleet, RoundRobin};
use tokio::time::{Instant, timeout_at};

use crate::support::{Count, Net, endpoint, get, hello, over, read_head, seconds};

/// The first of three takes requests and never answers.
fn with_one_that_never_answers() -> Net {
    let silent = |mut io, _| async move {
        read_head(&mut io).await;
        pending::<()>().await;
    };
    let net = Net::new().serves(1, silent);
    net.serves(2, hello).serves(3, hello)
}

/// Sends a request that is not waited for longer than a second; its deadline may be another. Whether it was
/// answered.
async fn ask(balance: &Balance, deadline: Option<Instant>) -> bool {
    let mut request = get();
    let mut context = MeshContext::new(Instant::now());
    context.deadline = deadline;
    request.extensions_mut().insert(context);
    let sent = balance.send(request, None);
    timeout_at(Instant::now() + seconds(1), sent).await.is_ok()
}

fn state(fleet: &Fleet) -> EndpointState {
    fleet.status(Instant::now())[0].state
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_takes_requests_and_never_answers_is_ejected_for_the_deadlines_it_misses() {
    let (balance, fleet) = over(&with_one_that_never_answers(), &[1, 2, 3]).start();
    let mut missed = 0;
    for _ in 0..30 {
        missed += u32::from(!ask(&balance, Some(Instant::now() + seconds(1))).await);
    }
    assert_eq!(missed, 5);
    assert_eq!(state(&fleet), EndpointState::Ejected);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_before_its_deadline_says_how_long_it_waited_and_no_more() {
    let (balance, fleet) = over(&with_one_that_never_answers(), &[1, 2, 3]).start();
    for deadline in [None, Some(Instant::now() + seconds(100))] {
        for _ in 0..30 {
            ask(&balance, deadline).await;
        }
    }
    assert_eq!(state(&fleet), EndpointState::Healthy);
    let [silent, quick] = [1, 2].map(|port| {
        let load = fleet.load(endpoint(port).id()).expect("it is known");
        (load.in_flight(), load.latency(Instant::now()))
    });
    assert!(silent.1 > seconds(1) / 2, "{silent:?}");
    assert!(quick.1 < seconds(1) / 10, "{quick:?}");
    assert_eq!((silent.0, quick.0), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_a_missed_deadline() {
    let (ended, seen) = (Count::default(), Count::default());
    let (told, late) = (ended.clone(), seen.clone());
    let balance = Balance::builder("orders".parse().expect("a name"))
        .endpoints(mesh_core::EndpointSet::new([endpoint(1)]))
        .balancer(RoundRobin::new())
        .connect(with_one_that_never_answers())
        .observe(move |attempt| {
            told.add();
            if attempt.outcome == Outcome::Refused(ErrorKind::Timeout) {
                late.add();
            }
        })
        .start();
    assert!(!ask(&balance, Some(Instant::now() + seconds(1))).await);
    assert!(!ask(&balance, None).await);
    assert_eq!((ended.get(), seen.get()), (1, 1));
}
