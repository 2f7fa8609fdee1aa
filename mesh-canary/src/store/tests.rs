use std::time::{Duration, SystemTime};

use super::*;
use crate::log::{History, Request};
use crate::plan::Plan;
use crate::rollout::{Action, Command, Input, Operation, Outcome};

pub(super) fn service() -> ServiceName {
    "orders".parse().expect("a name")
}

/// A rollout as it is written: it starts, begins, sees a window, is paused, and is rolled back.
pub(super) fn story() -> Vec<(u64, Record)> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let mut history = History::new(service());
    let (stable, canary) = ("v1".parse().expect("a version"), "v2".parse().expect("a version"));
    let request = Request::new(stable, canary, Plan::default());
    let mut log = persisted(&history.start(request, now).expect("nothing is under way"));
    let rollout = history.rollout_mut().expect("it has started");
    let mut on = |input| log.extend(persisted(&rollout.on(input, now)));
    on(Input::Endpoints { stable: 2, canary: 1 });
    on(Input::SplitSet { order: 1 });
    let window = crate::Window::new(Duration::ZERO, Duration::from_millis(4999)).with_weight(5);
    on(Input::Seen(window));
    on(Input::Operator(
        Command::new(Operation::Pause, "ann").because("a \"holiday\"\n"),
    ));
    on(Input::Operator(Command::new(Operation::Rollback, "ann")));
    on(Input::SplitSet { order: 4 });
    assert_eq!(log.len(), 6);
    log
}

pub(super) fn persisted(outcome: &Outcome) -> Vec<(u64, Record)> {
    let records = outcome.actions.iter().filter_map(|action| match action {
        Action::Persist { position, record } => Some((*position, (**record).clone())),
        _ => None,
    });
    records.collect()
}

pub(super) async fn keeps_what_a_store_has_to(store: impl RolloutStore) {
    let (service, other) = (service(), "shop".parse().expect("a name"));
    let story = story();
    assert_eq!(store.read(&service).await.expect("read"), []);
    for (n, (position, record)) in story.iter().enumerate() {
        for wrong in [position + 1, position.wrapping_sub(1)] {
            let error = store
                .append(&service, wrong, record)
                .await
                .expect_err("not the next");
            assert_eq!(error.kind(), StoreErrorKind::Conflict);
        }
        store.append(&service, *position, record).await.expect("the next");
        assert_eq!(store.read(&service).await.expect("read"), story[..=n]);
    }
    // A new rollout: what is before may be forgotten, but no position is used twice.
    let again = story[0].1.clone();
    assert!(store.append(&service, 0, &again).await.is_err());
    store.append(&service, 6, &again).await.expect("the next");
    let kept = store.read(&service).await.expect("read");
    assert_eq!(kept.last(), Some(&(6, again)));
    assert!(History::read(service, kept).is_ok());
    assert_eq!(store.read(&other).await.expect("read"), []);
}

#[tokio::test]
async fn memory_keeps_what_a_store_has_to() {
    keeps_what_a_store_has_to(MemoryStore::default()).await;
    keeps_what_a_store_has_to(AnyStore::new(MemoryStore::default())).await;
}
