use http::{Request, StatusCode};
use mesh_core::context::{Direction, Target};
use tokio::time::advance;

use super::*;
use crate::Telemetry;

fn passes(telemetry: &Telemetry, requests: u32) {
    let target = Target::service("orders".parse().expect("a name"));
    let orders = telemetry.route(&target, Direction::Inbound);
    for n in 0..requests {
        let request = Request::get(format!("/orders/{n}?secret=1"))
            .body(())
            .expect("a request");
        orders.begin(&request).answered(StatusCode::OK, None);
    }
}

async fn next(tap: &mut Tap) -> Tapped {
    tap.next().await.expect("the tap is open")
}

#[tokio::test(start_paused = true)]
async fn no_more_a_second_than_were_asked_for_are_shown_and_the_rest_is_counted() {
    let telemetry = Telemetry::new();
    let mut tap = telemetry.tap(Filter::default(), 3).expect("room");
    passes(&telemetry, 10);
    assert_eq!(next(&mut tap).await, Tapped::Skipped(7));
    for n in 0..3 {
        let Tapped::Request(seen) = next(&mut tap).await else {
            panic!("three are shown")
        };
        assert_eq!(*seen.path, *format!("/orders/{n}"), "without the query");
    }
    advance(Duration::from_secs(1)).await;
    passes(&telemetry, 1);
    assert!(matches!(next(&mut tap).await, Tapped::Request(_)));
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_holds_up_nobody_and_is_told_what_is_missing() {
    let telemetry = Telemetry::new();
    let mut tap = telemetry.tap(Filter::default(), MAX_RATE).expect("room");
    passes(&telemetry, WAITING as u32 + 44);
    assert_eq!(next(&mut tap).await, Tapped::Skipped(44));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_a_request_while_nobody_looks() {
    let telemetry = Telemetry::new();
    let taps = Arc::new(Taps::default());
    assert_eq!(taps.path("/orders"), None);
    let tap = Taps::open(&taps, Filter::default(), 1).expect("room");
    assert_eq!(taps.path("/orders").as_deref(), Some("/orders"));
    assert_eq!(
        taps.path(&"/é".repeat(1000))
            .map(|path| path.len() <= LONGEST_PATH),
        Some(true)
    );
    drop(tap);
    assert_eq!(taps.path("/orders"), None);
    passes(&telemetry, 1);
}

#[tokio::test(start_paused = true)]
async fn there_is_room_for_so_many_who_look() {
    let telemetry = Telemetry::new();
    let mut taps: Vec<_> = (0..MAX_TAPS)
        .map(|_| telemetry.tap(Filter::default(), 1).expect("room"))
        .collect();
    assert!(telemetry.tap(Filter::default(), 1).is_none());
    taps.pop();
    assert!(telemetry.tap(Filter::default(), 1).is_some());
}
