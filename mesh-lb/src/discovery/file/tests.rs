use std::fs;
use std::os::unix::fs::symlink;

use mesh_core::EndpointSet;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

/// Long enough for a slow machine, and for a look without a notification.
const PATIENCE: Duration = Duration::from_secs(30);

fn content(address: &str) -> String {
    format!(r#"{{ "services": {{ "orders": ["{address}"] }} }}"#)
}

struct Fixture {
    folder: TempDir,
    path: PathBuf,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("endpoints.json");
    Fixture { folder, path }
}

impl Fixture {
    fn write(&self, content: &str) {
        fs::write(&self.path, content).expect("writable");
    }

    fn start(&self) -> EndpointFileWatch {
        EndpointFile::start(&self.path).watch(&"orders".parse().expect("a name"))
    }
}

/// The next set that is not the one before.
async fn next(watch: &mut EndpointFileWatch, before: &[&str]) -> Vec<String> {
    loop {
        let set = timeout(PATIENCE, watch.next())
            .await
            .expect("in time")
            .expect("a set");
        let found = addresses(&set);
        if found != before {
            return found;
        }
    }
}

async fn next_error(watch: &mut EndpointFileWatch) -> String {
    loop {
        if let Err(error) = timeout(PATIENCE, watch.next()).await.expect("in time") {
            return error.to_string();
        }
    }
}

fn addresses(set: &EndpointSet) -> Vec<String> {
    set.endpoints.iter().map(|e| e.address.to_string()).collect()
}

#[tokio::test]
async fn a_change_is_told_whether_the_file_is_written_or_replaced() {
    let files = fixture();
    files.write(&content("10.0.0.1:1"));
    let mut watch = files.start();
    assert_eq!(next(&mut watch, &[]).await, ["10.0.0.1:1"]);
    files.write(&content("10.0.0.2:1"));
    assert_eq!(next(&mut watch, &["10.0.0.1:1"]).await, ["10.0.0.2:1"]);
    let new = files.folder.path().join("new");
    fs::write(&new, content("10.0.0.3:1")).expect("writable");
    fs::rename(&new, &files.path).expect("renamed");
    assert_eq!(next(&mut watch, &["10.0.0.2:1"]).await, ["10.0.0.3:1"]);
}

#[tokio::test]
async fn a_notification_is_enough_the_regular_look_need_not_come() {
    let files = fixture();
    files.write(&content("10.0.0.1:1"));
    let mut watch = files.start();
    next(&mut watch, &[]).await;
    let start = tokio::time::Instant::now();
    files.write(&content("10.0.0.2:1"));
    next(&mut watch, &["10.0.0.1:1"]).await;
    assert!(start.elapsed() < LOOK_AGAIN / 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_link_that_is_switched_is_followed_as_kubernetes_does_it() {
    let files = fixture();
    let at = |name: &str| files.folder.path().join(name);
    for (version, address) in [("..1", "10.0.0.1:1"), ("..2", "10.0.0.2:1")] {
        fs::create_dir(at(version)).expect("a folder");
        fs::write(at(version).join("endpoints.json"), content(address)).expect("writable");
    }
    symlink("..1", at("..data")).expect("a link");
    symlink("..data/endpoints.json", &files.path).expect("a link");
    let mut watch = files.start();
    assert_eq!(next(&mut watch, &[]).await, ["10.0.0.1:1"]);
    symlink("..2", at("..data_tmp")).expect("a link");
    fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
    fs::remove_dir_all(at("..1")).expect("removed");
    assert_eq!(next(&mut watch, &["10.0.0.1:1"]).await, ["10.0.0.2:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_behind_a_link_to_another_folder_is_seen_by_the_regular_look() {
    let files = fixture();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let target = elsewhere.path().join("target.json");
    fs::write(&target, content("10.0.0.1:1")).expect("writable");
    symlink(&target, &files.path).expect("a link");
    let mut watch = files.start();
    assert_eq!(next(&mut watch, &[]).await, ["10.0.0.1:1"]);
    fs::write(&target, content("10.0.0.2:1")).expect("writable");
    assert_eq!(next(&mut watch, &["10.0.0.1:1"]).await, ["10.0.0.2:1"]);
}

#[tokio::test]
async fn a_file_that_turns_bad_is_an_error_and_good_again_a_set_even_the_same_one() {
    let files = fixture();
    files.write(&content("10.0.0.1:1"));
    let mut watch = files.start();
    next(&mut watch, &[]).await;
    files.write("{");
    let error = next_error(&mut watch).await;
    assert!(
        error.starts_with(&format!("{}:1:1: EOF", files.path.display())),
        "{error}"
    );
    files.write(&content("10.0.0.1:1"));
    assert_eq!(next(&mut watch, &[]).await, ["10.0.0.1:1"]);
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_an_error_until_it_is_and_when_it_goes() {
    let files = fixture();
    let mut watch = files.start();
    let error = next_error(&mut watch).await;
    assert!(
        error.contains("endpoints.json cannot be read: No such file"),
        "{error}"
    );
    files.write(&content("10.0.0.1:1"));
    assert_eq!(next(&mut watch, &[]).await, ["10.0.0.1:1"]);
    fs::remove_file(&files.path).expect("removed");
    assert!(next_error(&mut watch).await.contains("cannot be read"));
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_comes_later_or_again_is_watched_then() {
    let files = fixture();
    let folder = files.folder.path().join("later");
    let path = folder.join("endpoints.json");
    let mut watch = EndpointFile::start(&path).watch(&"orders".parse().expect("a name"));
    next_error(&mut watch).await;
    for address in ["10.0.0.1:1", "10.0.0.2:1"] {
        fs::create_dir(&folder).expect("a folder");
        fs::write(&path, content(address)).expect("writable");
        assert_eq!(next(&mut watch, &[]).await, [address]);
        fs::remove_dir_all(&folder).expect("removed");
        next_error(&mut watch).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_file_is_told_to_hold_at_every_look_and_a_bad_one_told_once() {
    let files = fixture();
    files.write(&content("10.0.0.1:1"));
    let mut watch = files.start();
    for _ in 0..3 {
        let set = watch.next().await.expect("a set");
        assert_eq!(addresses(&set), ["10.0.0.1:1"]);
    }
    files.write("{");
    next_error(&mut watch).await;
    assert!(timeout(LOOK_AGAIN * 10, watch.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_in_the_file_is_an_error_told_once_and_an_empty_one_is_not() {
    let files = fixture();
    files.write(r#"{ "services": { "billing": [], "stock": [] } }"#);
    let file = EndpointFile::start(&files.path);
    let mut missing = file.watch(&"orders".parse().expect("a name"));
    let error = next_error(&mut missing).await;
    assert!(
        error.ends_with("has no service orders; it has billing, stock"),
        "{error}"
    );
    assert!(timeout(LOOK_AGAIN * 10, missing.next()).await.is_err());
    let mut empty = file.watch(&"billing".parse().expect("a name"));
    assert_eq!(empty.next().await.expect("a set"), EndpointSet::default());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_file_and_what_is_too_large_are_refused() {
    let files = fixture();
    fs::create_dir(&files.path).expect("a folder");
    assert!(
        next_error(&mut files.start())
            .await
            .ends_with("endpoints.json cannot be read: it is no file")
    );
    fs::remove_dir(&files.path).expect("removed");
    files.write(&" ".repeat(4 * 1024 * 1024 + 1));
    let error = next_error(&mut files.start()).await;
    assert!(
        error.ends_with("endpoints.json cannot be read: it is larger than 4194304 bytes"),
        "{error}"
    );
    let largest = format!("{}{}", content("10.0.0.1:1"), " ".repeat(4 * 1024 * 1024));
    files.write(&largest[..4 * 1024 * 1024]);
    assert_eq!(next(&mut files.start(), &[]).await, ["10.0.0.1:1"]);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_watch() {
    let files = fixture();
    files.write(&content("10.0.0.1:1"));
    let file = EndpointFile::start(&files.path);
    let mut said = file.said.clone();
    let watch = file.watch(&"orders".parse().expect("a name"));
    drop(file);
    said.changed().await;
    drop(watch);
    // A publisher that is gone never changes its value again.
    assert!(timeout(LOOK_AGAIN * 2, said.changed()).await.is_err());
}
