use std::os::unix::fs::symlink;

use super::*;
use crate::log::History;
use crate::store::tests::{keeps_what_a_store_has_to, service, story};

fn written(records: &[(u64, Record)]) -> Vec<u8> {
    let lines = records
        .iter()
        .map(|(position, record)| line::write(*position, record).expect("written"));
    lines.flatten().collect()
}

/// A directory in which a log of this content was left.
fn left(content: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("its owner");
    let mut file = options()
        .create(true)
        .open(dir.path().join("orders.log"))
        .expect("a file");
    file.write_all(content).expect("written");
    dir
}

#[tokio::test]
async fn files_keep_what_a_store_has_to() {
    let dir = tempfile::tempdir().expect("a directory");
    keeps_what_a_store_has_to(FileStore::open(dir.path().join("a/b")).expect("opened")).await;
    let before = fs::read(dir.path().join("a/b/orders.log.before")).expect("the one before is kept");
    assert_eq!(before, written(&story()));
    for (name, mode) in [
        ("", 0o700),
        ("orders.log", 0o600),
        ("orders.log.before", 0o600),
        ("lock", 0o600),
    ] {
        let metadata = fs::metadata(dir.path().join("a/b").join(name)).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
}

#[tokio::test]
async fn a_process_that_comes_back_finds_what_it_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("canary");
    for (position, record) in story() {
        let store = FileStore::open(&path).expect("nobody else has it");
        store
            .append(&service(), position, &record)
            .await
            .expect("appended");
    }
    let store = FileStore::open(&path).expect("nobody else has it");
    assert_eq!(store.read(&service()).await.expect("read"), story());
}

/// A log takes its place with its first record in it: one without any has lost it.
#[test]
fn a_log_without_a_whole_record_is_damage_and_nothing_begins_anew_in_it() {
    let story = story();
    let first = written(&story[..1]);
    for cut in 0..first.len() {
        let dir = left(&first[..cut]);
        let store = FileStore::open(dir.path()).expect("opened");
        let error = store.0.read(&service()).expect_err("its record is lost");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "cut at {cut}: {error}");
        assert!(error.to_string().contains("orders.log.before"), "{error}");
        let (position, record) = &story[0];
        assert!(
            store.0.append(&service(), *position, record).is_err(),
            "cut at {cut}"
        );
    }
}

/// A crash while a record is written leaves any part of it.
#[test]
fn a_log_cut_at_any_byte_goes_on_from_its_last_whole_record() {
    let story = story();
    let content = written(&story);
    let ends: Vec<usize> = (0..=story.len()).map(|n| written(&story[..n]).len()).collect();
    for cut in ends[1]..=content.len() {
        let whole = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
        let dir = left(&content[..cut]);
        let store = FileStore::open(dir.path()).expect("opened");
        let records = store.0.read(&service()).expect("a crash is no damage");
        assert_eq!(records, story[..whole], "cut at {cut}");
        let history = History::read(service(), records).expect("it can have been");
        let expected = History::read(service(), story[..whole].iter().cloned()).expect("it can have been");
        assert_eq!(history, expected, "cut at {cut}");
        let orders = |history: &History| {
            history
                .rollout()
                .map(|rollout| (rollout.order(), rollout.weights()))
        };
        assert_eq!(orders(&history), orders(&expected), "cut at {cut}");

        // A disk is slow: not each of them goes on.
        if let Some((position, record)) = story.get(whole).filter(|_| cut % 23 == 0) {
            store
                .0
                .append(&service(), *position, record)
                .expect("behind the last whole record");
            assert_eq!(
                store.0.read(&service()).expect("read"),
                story[..=whole],
                "cut at {cut}"
            );
        }
    }
}

/// A disk may have written the end of a record, but not its beginning.
#[test]
fn a_last_line_that_is_no_record_is_one_that_was_never_written() {
    let story = story();
    let mut content = written(&story[..3]);
    let end = written(&story[..2]).len();
    content[end..end + 40].fill(0);
    let dir = left(&content);
    let store = FileStore::open(dir.path()).expect("opened");
    assert_eq!(store.0.read(&service()).expect("read"), story[..2]);
}

#[test]
fn a_changed_line_before_the_last_is_damage_and_is_not_passed_over() {
    let story = story();
    let content = written(&story);
    for at in (0..written(&story[..5]).len()).step_by(7) {
        let mut changed = content.clone();
        changed[at] ^= 0x01;
        let dir = left(&changed);
        let store = FileStore::open(dir.path()).expect("opened");
        let error = store.0.read(&service()).expect_err("it was changed");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{at}: {error}");
        let (position, record) = &story[5];
        assert!(store.0.append(&service(), *position, record).is_err(), "{at}");
    }
}

/// A crash while a new rollout takes the place of the one before.
#[test]
fn a_crash_while_a_new_log_begins_leaves_the_old_one() {
    let story = story();
    let new = written(&[(6, story[0].1.clone())]);
    for (cut, linked) in [
        (0, false),
        (new.len() / 2, false),
        (new.len(), false),
        (new.len(), true),
    ] {
        let dir = left(&written(&story));
        fs::write(dir.path().join("orders.log.new"), &new[..cut]).expect("written");
        if linked {
            fs::hard_link(
                dir.path().join("orders.log"),
                dir.path().join("orders.log.before"),
            )
            .expect("linked");
        }
        let store = FileStore::open(dir.path()).expect("opened");
        assert_eq!(store.0.read(&service()).expect("read"), story);
        store.0.append(&service(), 6, &story[0].1).expect("it begins now");
        assert_eq!(store.0.read(&service()).expect("read"), [(6, story[0].1.clone())]);
        let before = fs::read(dir.path().join("orders.log.before")).expect("kept");
        assert_eq!(before, written(&story));
    }
}

#[test]
fn a_log_of_a_newer_version_is_refused() {
    let json = r#"{"version":2,"position":0,"something":"else"}"#;
    let sum = xxhash_rust::xxh3::xxh3_64(json.as_bytes());
    let dir = left(format!("{sum:016x} {json}\n").as_bytes());
    let store = FileStore::open(dir.path()).expect("opened");
    let error = store.0.read(&service()).expect_err("not understood");
    assert!(
        error
            .to_string()
            .ends_with("orders.log: line 1 is of version 2: expected 1"),
        "{error}"
    );
}

#[test]
fn what_others_can_get_at_is_refused() {
    let dir = left(&written(&story()));
    let log = dir.path().join("orders.log");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o644)).expect("its owner");
    let store = FileStore::open(dir.path()).expect("opened");
    assert_eq!(
        store.0.read(&service()).expect_err("open").kind(),
        StoreErrorKind::Insecure
    );
    drop(store);

    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("its owner");
    assert_eq!(
        FileStore::open(dir.path()).expect_err("open").kind(),
        StoreErrorKind::Insecure
    );
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("its owner");
    let parent = tempfile::tempdir().expect("a directory");
    let link = parent.path().join("link");
    symlink(dir.path(), &link).expect("linked");
    assert_eq!(
        FileStore::open(link).expect_err("a link").kind(),
        StoreErrorKind::Insecure
    );
}

#[test]
fn a_log_does_not_grow_without_end() {
    let story = story();
    let dir = left(&written(&story[..1]));
    let store = FileStore::open(dir.path()).expect("opened");
    let end = End {
        next: 1,
        length: MAX_LEN - 10,
    };
    store.0.ends.lock().expect("not poisoned").insert(service(), end);
    let error = store.0.append(&service(), 1, &story[1].1).expect_err("too long");
    assert_eq!(error.kind(), StoreErrorKind::Full);
}
