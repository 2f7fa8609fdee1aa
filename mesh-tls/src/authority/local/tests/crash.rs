//! Cases 76 and 77: a process that dies, or a disk that fails, at every single step on the way.
//!
//! Each case runs this test binary again, as a process that does one thing to a directory: see `fault_point`.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::*;
use crate::authority::{ManagedAuthority, RevokeRequest, RotateRequest, RotationStep};

const CHILD: &str = "authority::local::tests::crash::one_operation_of_a_process_that_may_not_survive_it";

/// What a process does to a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Init,
    Issue,
    Revoke,
    Lists,
    Migrate,
    Follow,
    Rotate(RotationStep),
}

impl Operation {
    const ALL: [Self; 11] = [
        Self::Init,
        Self::Issue,
        Self::Revoke,
        Self::Lists,
        Self::Migrate,
        Self::Follow,
        Self::Rotate(RotationStep::Prepare),
        Self::Rotate(RotationStep::Activate),
        Self::Rotate(RotationStep::Taint),
        Self::Rotate(RotationStep::Remove),
        Self::Rotate(RotationStep::Abort),
    ];

    fn name(self) -> String {
        format!("{self:?}")
    }

    /// A directory in which it can be done.
    async fn before(self, path: &Path) {
        if self == Self::Init {
            return;
        }
        let ca = LocalCa::init(path, options()).expect("a CA");
        ca.issue(request("orders", DAY)).await.expect("issued");
        let steps: &[RotationStep] = match self {
            Self::Rotate(RotationStep::Activate | RotationStep::Abort) => &[RotationStep::Prepare],
            Self::Rotate(RotationStep::Remove) => &[RotationStep::Prepare, RotationStep::Activate],
            _ => &[],
        };
        for step in steps {
            ca.rotate(RotateRequest::new(*step).forced())
                .await
                .expect("taken");
        }
        if self == Self::Migrate {
            super::directory::make_version_1(path);
        }
    }

    /// When it is done.
    fn now(self) -> SystemTime {
        let later = if self == Self::Lists {
            61 * MINUTE
        } else {
            Duration::ZERO
        };
        SystemTime::now() + later
    }

    /// Does it, and says what came of it.
    async fn perform(self, path: &Path) -> Result<(), CaError> {
        if self == Self::Init {
            return LocalCa::open_or_init(path, options()).map(drop);
        }
        let ca = LocalCa::open_with_clock(path, ManualClock::new(self.now()))?;
        match self {
            Self::Init => Ok(()),
            Self::Issue => ca.issue(request("billing", DAY)).await.map(drop),
            Self::Revoke => {
                let serial = ca.issued()?[0].serial;
                ca.revoke(RevokeRequest::new(serial)).await.map(drop)
            }
            Self::Lists | Self::Migrate => ca.change(Inner::look_after).await,
            Self::Follow => {
                let asks = BundleRequest::after(1).by(crate::authority::Follower::new(id("orders"), 7));
                ca.inner.followers.lock().hear(&asks, Instant::now());
                ca.change(Inner::look_after).await
            }
            Self::Rotate(step) => ca.rotate(RotateRequest::new(step).forced()).await.map(drop),
        }
    }
}

/// Not a test of its own: what the tests below run as a process.
#[test]
#[ignore = "run by other tests, as a process of its own"]
fn one_operation_of_a_process_that_may_not_survive_it() {
    let name = std::env::var("MESH_TLS_OPERATION").expect("told which");
    let path = PathBuf::from(std::env::var("MESH_TLS_DIRECTORY").expect("told where"));
    let operation = Operation::ALL
        .into_iter()
        .find(|operation| operation.name() == name);
    let operation = operation.expect("a known one");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match operation.perform(&path).await {
            Ok(()) => println!("CAME OF IT: done"),
            Err(error) => println!("CAME OF IT: {:?}: {error}", error.kind()),
        }
    });
}

fn run(operation: Operation, path: &Path, fault: &str) -> Output {
    let this = std::env::current_exe().expect("this binary");
    child(&mut Command::new(this), operation, path, fault)
}

fn child(command: &mut Command, operation: Operation, path: &Path, fault: &str) -> Output {
    command
        .args(["--exact", CHILD, "--ignored", "--nocapture", "--test-threads=1"])
        .env("MESH_TLS_OPERATION", operation.name())
        .env("MESH_TLS_DIRECTORY", path)
        .env("MESH_TLS_FAULT", fault)
        .output()
        .expect("it runs")
}

fn came_of_it(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.split_once("CAME OF IT: "));
    line.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
        .1
        .to_owned()
}

fn copy(from: &Path, to: &Path) {
    let output = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .output()
        .expect("cp runs");
    assert!(output.status.success() || !from.exists());
}

/// What everybody was told, by sequence: never two things.
#[derive(Default)]
struct Told(HashMap<u64, TrustBundle>);

impl Told {
    fn hear(&mut self, bundle: &TrustBundle, when: &str) {
        Verifier::new(bundle, VerifyPolicy::new()).expect("a bundle that can be used");
        let known = self.0.entry(bundle.sequence).or_insert_with(|| bundle.clone());
        assert_eq!(known, bundle, "{when}: two bundles of one sequence");
    }
}

/// What is left is whole: it opens, what is done again succeeds, and nothing was given twice.
async fn is_whole(operation: Operation, template: &Path, path: &Path, when: &str) {
    let mut told = Told::default();
    if operation != Operation::Init && operation != Operation::Migrate {
        told.hear(&LocalCa::open(template).expect("the CA").bundle(), when);
    }
    let before = told.0.keys().max().copied().unwrap_or_default();
    let found = LocalCa::open_or_init(path, options()).unwrap_or_else(|error| panic!("{when}: {error}"));
    told.hear(&found.bundle(), when);
    assert!(
        found.bundle().sequence >= before,
        "{when}: the sequence went back"
    );
    drop(found);
    match operation.perform(path).await {
        Ok(()) => {}
        // It was taken already.
        Err(error) if error.kind() == CaErrorKind::WrongState => {}
        Err(error) => panic!("{when}, again: {error}"),
    }
    let ca = LocalCa::open(path).expect("the CA");
    ca.change(Inner::look_after).await.expect("looked after");
    told.hear(&ca.bundle(), when);
    let issued = ca.issue(request("orders", DAY)).await.expect("issued");
    let bundle = ca.bundle();
    let verifier = Verifier::new(&bundle, VerifyPolicy::new()).expect("a bundle");
    verifier
        .verify(issued.chain(), Usage::Server, &Expected::Member, operation.now())
        .unwrap_or_else(|error| panic!("{when}: {error}"));
    let listed = ca.issued().expect("a list");
    let mut serials: Vec<_> = listed.iter().map(|record| record.serial).collect();
    serials.sort();
    serials.dedup();
    assert_eq!(
        serials.len(),
        listed.len(),
        "{when}: a serial number was given twice"
    );
    if operation == Operation::Revoke {
        assert!(listed[0].revoked.is_some(), "{when}");
        assert_eq!(
            verifier.crls().map(|list| list.revoked).sum::<usize>(),
            1,
            "{when}"
        );
    }
}

async fn at_every_step(operation: Operation, fault: &str, died: impl Fn(&Output) -> bool) {
    let dir = tempfile::tempdir().expect("a directory");
    let template = dir.path().join("before");
    operation.before(&template).await;
    for place in 1.. {
        let path = dir.path().join(format!("at-{place}"));
        copy(&template, &path);
        let output = run(operation, &path, &format!("{fault}:{place}"));
        let when = format!("{operation:?}, {fault} at {place}");
        if !died(&output) {
            assert_eq!(came_of_it(&output), "done", "{when}");
            assert!(place > 4, "{when}: there is a step that is not tried");
            return;
        }
        is_whole(operation, &template, &path, &when).await;
        std::fs::remove_dir_all(&path).expect("removed");
    }
}

/// Case 76.
#[tokio::test]
async fn a_process_killed_at_any_step_leaves_a_whole_ca_and_no_number_is_given_twice() {
    for operation in Operation::ALL {
        at_every_step(operation, "kill", |output| output.status.signal() == Some(9)).await;
    }
}

/// Case 77: no space, a file system that became read-only, and a disk that fails.
#[tokio::test]
async fn a_disk_that_fails_at_any_step_is_a_storage_error_and_leaves_a_whole_ca() {
    let errno = |error: rustix::io::Errno| error.raw_os_error().to_string();
    let failed = |output: &Output| {
        let result = came_of_it(output);
        assert!(result == "done" || result.starts_with("Storage: "), "{result}");
        result != "done"
    };
    for operation in Operation::ALL {
        at_every_step(operation, &errno(rustix::io::Errno::NOSPC), failed).await;
    }
    for error in [rustix::io::Errno::ROFS, rustix::io::Errno::IO] {
        for operation in [Operation::Issue, Operation::Revoke] {
            at_every_step(operation, &errno(error), failed).await;
        }
    }
}

/// Case 77, by the system itself: a process that may write no more bytes.
#[tokio::test]
async fn a_process_that_may_write_nothing_more_issues_nothing_and_the_ca_is_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    for operation in [Operation::Issue, Operation::Revoke, Operation::Lists] {
        let (template, path) = (dir.path().join(operation.name()), dir.path().join("limited"));
        operation.before(&template).await;
        copy(&template, &path);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"])
            .arg(std::env::current_exe().expect("this binary"));
        let output = child(&mut shell, operation, &path, "0:1000000");
        let result = came_of_it(&output);
        assert!(
            result.starts_with("Storage: ") && result.contains("File too large"),
            "{result}"
        );
        is_whole(operation, &template, &path, "limited").await;
        std::fs::remove_dir_all(&path).expect("removed");
    }
}

/// Case 77: what is told goes on to be told.
#[tokio::test(start_paused = true)]
async fn a_ca_whose_directory_cannot_be_written_goes_on_with_the_bundle_it_has() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let clock = Clock::default();
    let ca = LocalCa::open_or_init(&path, options().with_clock(clock.clone())).expect("a CA");
    let issued = ca.issue(request("orders", DAY)).await.expect("issued");
    let told = ca.bundle();
    // Nobody can write a file of this name, whoever he is.
    let blocked = path.join("ca.record.new");
    std::fs::create_dir(&blocked).expect("made");
    for _ in 0..61 {
        clock.advance(MINUTE);
        tokio::time::advance(MINUTE).await;
        assert_eq!(
            ca.next_bundle(BundleRequest::any()).await.expect("a bundle"),
            told
        );
    }
    let error = ca
        .revoke(RevokeRequest::new(issued.serial()))
        .await
        .expect_err("not stored");
    assert_eq!(error.kind(), CaErrorKind::Storage);
    assert!(error.to_string().contains("is revoked for good"), "{error}");
    std::fs::remove_dir(&blocked).expect("removed");
    clock.advance(GLANCE);
    tokio::time::advance(GLANCE).await;
    let next = ca.next_bundle(BundleRequest::any()).await.expect("a bundle");
    assert!(next.sequence > told.sequence);
    let verifier = Verifier::new(&next, VerifyPolicy::new()).expect("a bundle");
    assert_eq!(verifier.crls().next().expect("a list").revoked, 1);
}
