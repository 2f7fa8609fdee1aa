//! What a directory of a CA survives, and what it does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::{index, record};
use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_restart_finds_the_same_ca_and_nobody_else_gets_at_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let made = LocalCa::init(&path, options()).expect("a CA");
    let serial = made.issue(request("orders", DAY)).await.expect("issued").serial();
    let found = LocalCa::open(&path).expect("the CA");
    assert_eq!(found.root(), made.root());
    assert_eq!(found.issued().expect("a list")[0].serial, serial);
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).expect("read") {
        let entry = entry.expect("read").path();
        assert_eq!(mode(&entry), 0o600, "{}", entry.display());
    }
    let error = LocalCa::init(&path, options()).expect_err("there is one");
    assert_eq!(error.kind(), CaErrorKind::WrongState);
    let error = LocalCa::open(dir.path().join("nowhere")).expect_err("there is none");
    assert!(error.to_string().contains("mesh-proxy cert init"), "{error}");
}

/// Case 79.
#[tokio::test]
async fn a_damaged_or_lost_key_is_never_replaced_by_a_new_ca() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let made = LocalCa::init(&path, options()).expect("a CA");
    made.issue(request("orders", DAY)).await.expect("issued");
    let file = path.join(record::FILE);
    let whole = fs::read(&file).expect("read");
    let mut changed = whole.clone();
    changed[40] ^= 1;
    for damage in [
        changed,
        whole[..whole.len() / 2].to_vec(),
        Vec::new(),
        b"{}".to_vec(),
    ] {
        fs::write(&file, damage).expect("damaged");
        for error in [
            LocalCa::open(&path).expect_err("damaged"),
            LocalCa::open_or_init(&path, options()).expect_err("damaged"),
            LocalCa::init(&path, options()).expect_err("damaged"),
        ] {
            assert_eq!(error.kind(), CaErrorKind::Storage);
            assert!(error.to_string().contains("backup"), "{error}");
        }
    }
    fs::remove_file(&file).expect("lost");
    for error in [
        LocalCa::open_or_init(&path, options()).expect_err("lost"),
        LocalCa::init(&path, options()).expect_err("lost"),
    ] {
        assert!(error.to_string().contains("backup"), "{error}");
    }
    assert!(!file.exists());
}

/// Case 76, in part.
#[tokio::test]
async fn a_list_that_a_crash_cut_goes_on_behind_its_last_whole_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let ca = LocalCa::init(&path, options()).expect("a CA");
    let first = ca.issue(request("orders", DAY)).await.expect("issued").serial();
    let file = path.join(index::FILE);
    let whole = fs::read(&file).expect("read");
    fs::write(&file, [&whole[..], b"{\"serial\":\"ab"].concat()).expect("cut");
    let ca = LocalCa::open(&path).expect("the CA");
    let second = ca.issue(request("orders", DAY)).await.expect("issued").serial();
    let listed: Vec<_> = LocalCa::open(&path)
        .expect("the CA")
        .issued()
        .expect("a list")
        .iter()
        .map(|r| r.serial)
        .collect();
    assert_eq!(listed, [first, second]);

    fs::write(&file, [b"junk\n", &whole[..]].concat()).expect("damaged");
    let error = LocalCa::open(&path).expect_err("damaged");
    assert!(error.to_string().contains("line 1"), "{error}");
}

#[tokio::test]
async fn no_changed_byte_of_the_list_goes_unseen() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let ca = LocalCa::init(&path, options()).expect("a CA");
    for _ in 0..2 {
        ca.issue(request("orders", DAY)).await.expect("issued");
    }
    let (file, listed) = (path.join(index::FILE), ca.issued().expect("a list"));
    let whole = fs::read(&file).expect("read");
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&file, &changed).expect("changed");
        if let Ok(read) = LocalCa::open(&path).and_then(|ca| ca.issued()) {
            // Its end was changed: that looks as if a crash had cut it.
            assert_eq!((at, &read[..]), (whole.len() - 1, &listed[..1]));
        }
    }
}

#[tokio::test]
async fn a_last_block_that_a_crash_left_as_zeros_is_written_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let ca = LocalCa::init(&path, options()).expect("a CA");
    let first = ca.issue(request("orders", DAY)).await.expect("issued").serial();
    let file = path.join(index::FILE);
    let whole = fs::read(&file).expect("read");
    for left in [
        vec![0; 4096],
        [vec![0; 100], b"7}\n".to_vec()].concat(),
        vec![0xff; 10],
    ] {
        fs::write(&file, [&whole[..], &left].concat()).expect("cut");
        let ca = LocalCa::open(&path).expect("the CA");
        let second = ca.issue(request("orders", DAY)).await.expect("issued").serial();
        let listed = LocalCa::open(&path).and_then(|ca| ca.issued()).expect("a list");
        assert_eq!([listed[0].serial, listed[1].serial], [first, second]);
    }
    // In the middle nothing explains them.
    fs::write(&file, [&[0; 100][..], b"\n", &whole].concat()).expect("damaged");
    assert!(
        LocalCa::open(&path)
            .expect_err("damaged")
            .to_string()
            .contains("line 1")
    );
}

#[tokio::test]
async fn a_list_that_became_shorter_is_not_written_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let ca = LocalCa::init(&path, options()).expect("a CA");
    ca.issue(request("orders", DAY)).await.expect("issued");
    let file = path.join(index::FILE);
    let whole = fs::read(&file).expect("read");
    fs::write(&file, &whole[..10]).expect("cut");
    let error = refused(&ca, request("orders", DAY)).await;
    assert!(error.to_string().contains("became shorter"), "{error}");
    assert_eq!(fs::read(&file).expect("read"), &whole[..10]);
}
