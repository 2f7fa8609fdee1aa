use metrics::Recorder;

use super::*;

#[tokio::test(start_paused = true)]
async fn upkeep_runs_until_its_handle_is_dropped() {
    let telemetry = Telemetry::new();
    let weak = Arc::downgrade(&telemetry.shared);
    let upkeep = telemetry.start_upkeep(Duration::from_secs(5));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(!upkeep.is_finished());
    let aborted = upkeep.abort_handle();
    drop(upkeep);
    while !aborted.is_finished() {
        tokio::task::yield_now().await;
    }
    drop(telemetry);
    assert!(weak.upgrade().is_none(), "the task held nothing of it");
}

#[test]
fn dropping_the_last_handle_frees_everything() {
    let telemetry = Telemetry::new();
    let target = Target::service("orders".parse().expect("valid"));
    let route = telemetry.route(&target, Direction::Inbound);
    let series = Arc::downgrade(&telemetry.shared.series);
    drop(telemetry);
    assert!(series.upgrade().is_some(), "a route still counts");
    drop(route);
    assert!(series.upgrade().is_none());
}

#[test]
fn help_texts_of_an_application_do_not_replace_those_of_the_mesh() {
    let telemetry = Telemetry::new();
    let _route = telemetry.unrouted(Direction::Inbound);
    telemetry
        .recorder()
        .describe_counter("http_requests_total".into(), None, "Forged.".into());
    assert!(!telemetry.render().contains("Forged."));
}
