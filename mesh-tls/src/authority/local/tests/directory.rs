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

/// Makes the directory of a CA one of before it could be rotated.
pub(super) fn make_version_1(path: &Path) {
    #[derive(serde::Serialize)]
    struct Old {
        version: u32,
        trust_domain: String,
        sequence: u64,
        longest_leaf: u64,
        generations: Vec<serde_json::Value>,
    }
    let file = path.join(record::FILE);
    let text = fs::read_to_string(&file).expect("read");
    let new: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    let root = &new["material"]["1"]["root"];
    let old = Old {
        version: 1,
        trust_domain: "cluster.local".into(),
        sequence: 1,
        longest_leaf: 365 * 86_400,
        generations: vec![serde_json::json!({
            "number": 1, "state": "active", "key": root["key"], "certificate": root["certificate"],
        })],
    };
    let sealed = crate::sealed::seal(&old).expect("sealed");
    fs::write(&file, &*sealed).expect("written");
    for later in ["ca.marks", "ca.record.1", "ca.record.2"] {
        let _ = fs::remove_file(path.join(later));
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_of_before_ca_could_be_rotated_is_taken_over_with_what_it_issued() {
    use crate::authority::{ManagedAuthority, RevokeRequest};
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let made = LocalCa::init(&path, options()).expect("a CA");
    let issued = made.issue(request("orders", DAY)).await.expect("issued");
    let root = made.root();
    drop(made);
    make_version_1(&path);
    let ca = LocalCa::open(&path).expect("the CA");
    assert_eq!(ca.root(), root);
    let bundle = ca.next_bundle(BundleRequest::after(1)).await.expect("a bundle");
    assert_eq!((bundle.sequence, bundle.crls.len()), (2, 1));
    let verifier = Verifier::new(&bundle, VerifyPolicy::new()).expect("a bundle");
    let now = SystemTime::now();
    verifier
        .verify(issued.chain(), Usage::Client, &Expected::Member, now)
        .expect("believed");
    ca.revoke(RevokeRequest::new(issued.serial()))
        .await
        .expect("revoked");
    let status = LocalCa::open(&path).and_then(|ca| ca.status()).expect("a status");
    assert_eq!((status.generations.len(), status.sequence), (1, 3));
    let lifetime = status.generations[0]
        .not_after
        .duration_since(now)
        .expect("ahead");
    assert!(lifetime > 3_649 * DAY, "{lifetime:?}");
}

/// Case 79: the copies are never used of themselves, and how to is said.
#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_told_with_its_copies_and_one_that_is_brought_back_counts_on() {
    use crate::authority::{ManagedAuthority, RevokeRequest};
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let ca = LocalCa::init(&path, options()).expect("a CA");
    for _ in 0..3 {
        let issued = ca.issue(request("orders", DAY)).await.expect("issued");
        ca.revoke(RevokeRequest::new(issued.serial()))
            .await
            .expect("revoked");
    }
    assert_eq!(ca.bundle().sequence, 4);
    drop(ca);
    fs::write(path.join(record::FILE), b"\0\0\0\0").expect("damaged");
    let error = LocalCa::open_or_init(&path, options())
        .expect_err("damaged")
        .to_string();
    for said in [
        "ca.record.1, which is whole: bundle 3",
        "ca.record.2, which is whole: bundle 2",
        "cp -p ca.record.1 ca.record",
    ] {
        assert!(error.contains(said), "{said:?} is not in {error}");
    }
    fs::copy(path.join("ca.record.1"), path.join(record::FILE)).expect("brought back");
    let ca = LocalCa::open(&path).expect("the CA");
    let bundle = ca.next_bundle(BundleRequest::any()).await.expect("a bundle");
    assert_eq!(bundle.sequence, 5, "no number is given twice");
    let verifier = Verifier::new(&bundle, VerifyPolicy::new()).expect("a bundle");
    let list = verifier.crls().next().expect("a list");
    assert_eq!(
        (list.number.as_str(), list.revoked),
        ("5", 3),
        "no revocation is lost"
    );
}

/// Case 78.
#[tokio::test]
async fn files_that_others_can_get_at_or_that_are_no_files_are_refused_by_name() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let ca = LocalCa::init(&path, options()).expect("a CA");
    ca.issue(request("orders", DAY)).await.expect("issued");
    for name in [record::FILE, index::FILE] {
        let (file, aside) = (path.join(name), dir.path().join("aside"));
        let refused = |why: &str| {
            let error = LocalCa::open(&path).expect_err(why).to_string();
            assert!(error.contains(name) && error.contains(why), "{error}");
        };
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("loosened");
        refused("chmod 600");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("tightened");
        fs::rename(&file, &aside).expect("moved");
        symlink(&aside, &file).expect("a link");
        refused("a link");
        fs::remove_file(&file).expect("removed");
        fs::create_dir(&file).expect("a directory");
        refused("no file");
        fs::remove_dir(&file).expect("removed");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        refused("no file");
        fs::remove_file(&file).expect("removed");
        fs::rename(&aside, &file).expect("moved back");
        LocalCa::open(&path).expect("whole");
    }
}

/// Cases 17 and 81: names are data, and nothing of them becomes a path.
#[tokio::test]
async fn names_of_services_make_no_files_and_the_longest_is_signed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let ca = LocalCa::init(&path, options()).expect("a CA");
    for odd in ["..", "a/../b", "a%2fb", "a\0b", "", "a b", "ä"] {
        let text = format!("spiffe://cluster.local/ns/dept-barc/sa/{odd}");
        assert!(text.parse::<SpiffeId>().is_err(), "{odd:?}");
    }
    let longest = |length: usize| {
        let head = "spiffe://cluster.local/ns/dept-barc/sa/";
        format!("{head}{}", "a".repeat(length - head.len()))
    };
    assert!(longest(2_049).parse::<SpiffeId>().is_err());
    let longest: SpiffeId = longest(2_048).parse().expect("2048 bytes");
    let before = fs::read_dir(&path).expect("read").count();
    let mut serials = Vec::new();
    for name in ["CON", "con", "Orders", "orders"] {
        serials.push(ca.issue(request(name, DAY)).await.expect("issued").serial());
    }
    let wanted = CertRequest::new(csr(), longest.clone(), DAY).expect("a request");
    let issued = ca.issue(wanted).await.expect("issued");
    let told = Certificate::parse(issued.leaf()).expect("a certificate");
    assert_eq!(told.spiffe_id().expect("one"), &longest);
    let listed = ca.issued().expect("a list");
    assert_eq!(listed.len(), 5);
    assert_eq!(listed[0].spiffe_id, id("CON"), "as it was asked for");
    assert_eq!(
        fs::read_dir(&path).expect("read").count(),
        before + 1,
        "the list, and nothing else"
    );
}
