//! Certificates that are renewed, or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mesh_core::connect::Connect as _;
use mesh_core::{Endpoint, SpiffeId};
use mesh_tls::identity::Standing;
use mesh_tls::{
    AnyStore, CaErrorKind, CertStore, Identity, IdentityFiles, MemoryStore, StoreError, StoreErrorKind,
    StoredCert,
};
use tokio::time::{Instant, sleep};

use crate::authority::TestAuthority;
use crate::clock::TokioClock;
use crate::connections::*;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

async fn until(what: &str, longest: Duration, is_true: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() <= longest, "{what}: not within {longest:?}");
        sleep((longest / 1000).clamp(Duration::from_millis(20), 10 * SECOND)).await;
    }
}

/// F13: what a handshake goes by is replaced as a whole, and at once.
#[tokio::test(start_paused = true)]
async fn a_revocation_counts_at_once_while_an_authority_does_not_sign() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", DAY).await;
    let frontend = identity(&authority, &clock, "frontend", 90 * DAY).await;
    let address = serve(&orders).await;
    for failing in [false, true] {
        // Either it does not answer, or it fails, and the pauses have become long.
        authority.hang(!failing);
        authority.fail(failing.then_some(CaErrorKind::Unavailable));
        let asked = authority.asked();
        until("a renewal is under way", DAY, || authority.asked() > asked).await;
        let before = orders.status().trust.epoch;
        authority.publish();
        until("the bundle counts", SECOND, || {
            orders.status().trust.epoch > before
        })
        .await;
    }
    let mut tunnel = connect(&http1(&frontend, "orders"), address).await;
    ask(&mut tunnel, "/tunnel", "\r\n\r\n").await;
    authority.revoke(&frontend.certificate());
    let revoked = Instant::now();
    let closed = until_closed(tunnel).await.expect("it ran");
    assert!(closed - revoked < SECOND, "{:?}", closed - revoked);
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_or_signed_by_a_tainted_or_removed_ca_gets_another_certificate_at_once() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", 90 * DAY).await;
    let mut serial = orders.certificate().serial();
    let mut renewed = async |what: &str, longest: Duration| {
        until(what, longest, || orders.certificate().serial() != serial).await;
        serial = orders.certificate().serial();
        until(what, SECOND, || orders.status().is_well()).await;
    };
    authority.revoke(&orders.certificate());
    renewed("revoked", 4 * SECOND).await;
    // The CA that signs from now on is another one than the tainted one.
    authority.taint();
    authority.prepare();
    authority.activate();
    renewed("tainted", 40 * SECOND).await;
    authority.prepare();
    authority.activate();
    authority.remove_oldest();
    authority.remove_oldest();
    renewed("removed", 4 * SECOND).await;
    let status = orders.status();
    assert_eq!((status.standing, status.trust.roots.len()), (Standing::Good, 1));
}

#[tokio::test(start_paused = true)]
async fn an_expired_identity_recovers_by_itself_and_says_how_it_is_meanwhile() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", 3600 * SECOND).await;
    let frontend = identity(&authority, &clock, "frontend", 90 * DAY).await;
    let address = serve(&orders).await;
    let first = orders.certificate();
    let mut changes = orders.follow_status();
    authority.fail(Some(CaErrorKind::IssuerExpiring));
    until("it says so", 3600 * SECOND, || !orders.status().is_well()).await;
    changes.changed().await;
    let status = orders.status();
    assert_eq!(status.standing, Standing::Good);
    assert!(status.renewal.overdue_since.is_some() && status.renewal.failures > 0);
    let error = status.renewal.last_error.clone().expect("told");
    assert!(error.contains("has to be rotated"), "{error}");
    sleep(3600 * SECOND).await;
    let status = orders.status();
    assert_eq!(
        (status.standing, &status.certificate),
        (Standing::Expired, &first)
    );
    let to_orders = http1(&frontend, "orders");
    let endpoint = Endpoint::new(address.into());
    let error = to_orders
        .connect(&endpoint)
        .await
        .map(|_| ())
        .expect_err("expired")
        .to_string();
    assert!(error.contains("expired"), "{error}");
    authority.fail(None);
    until("it recovers", 32 * SECOND, || orders.status().is_well()).await;
    let mut io = connect(&to_orders, address).await;
    ask(&mut io, "/", "hello").await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_a_ca_that_the_bundle_does_not_name_yet_is_kept_until_it_does() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", 3600 * SECOND).await;
    let before = orders.certificate().serial();
    authority.prepare_untold();
    authority.activate();
    until("it is refused", 3600 * SECOND, || {
        orders.status().renewal.last_error.is_some()
    })
    .await;
    // What proved who asks counted once: there is no second certificate.
    authority.fail(Some(CaErrorKind::Denied));
    assert_eq!(orders.certificate().serial(), before);
    authority.publish();
    until("the one there is serves", SECOND, || {
        orders.certificate().serial() != before
    })
    .await;
    until("all is well", SECOND, || orders.status().is_well()).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_told_nothing_since_its_certificate_is_not_believed_asks_for_another() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", 90 * DAY).await;
    let before = orders.certificate().serial();
    // It does not answer now, which says nothing of the certificate.
    authority.refuse(Some(CaErrorKind::Unavailable));
    authority.publish();
    until("it is told of", 90 * SECOND, || {
        orders.status().trust.unreachable.is_some()
    })
    .await;
    sleep(300 * SECOND).await;
    assert_eq!(
        (orders.certificate().serial(), orders.status().standing),
        (before, Standing::Good)
    );
    authority.refuse(Some(CaErrorKind::Denied));
    until("another one", 90 * SECOND, || {
        orders.certificate().serial() != before
    })
    .await;
    authority.refuse(None);
    until("all is well", 90 * SECOND, || orders.status().is_well()).await;
}

/// A store whose disk is full.
#[derive(Clone)]
struct Full(AnyStore, Arc<AtomicBool>);

impl CertStore for Full {
    async fn load(&self, id: &SpiffeId) -> Result<Option<StoredCert>, StoreError> {
        self.0.load(id).await
    }

    async fn save(&self, stored: &StoredCert) -> Result<(), StoreError> {
        match self.1.load(Ordering::Relaxed) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "no space left")),
            false => self.0.save(stored).await,
        }
    }
}

/// Case 77.
#[tokio::test(start_paused = true)]
async fn an_identity_that_cannot_be_saved_serves_and_says_so_until_it_can() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let store = Full(AnyStore::new(MemoryStore::new()), Arc::default());
    let builder = Identity::builder(id("orders"))
        .authority(authority.clone())
        .store(store.clone());
    let orders = builder
        .clock(clock.clone())
        .ttl(3600 * SECOND)
        .start()
        .await
        .expect("an identity");
    store.1.store(true, Ordering::Relaxed);
    let first = orders.certificate().serial();
    until("renewed", 3600 * SECOND, || {
        orders.certificate().serial() != first
    })
    .await;
    until("it says so", SECOND, || orders.status().unsaved.is_some()).await;
    let status = orders.status();
    assert!(!status.is_well() && status.standing == Standing::Good);
    assert!(
        status
            .unsaved
            .as_deref()
            .is_some_and(|why| why.contains("no space left"))
    );
    store.1.store(false, Ordering::Relaxed);
    until("saved", 61 * SECOND, || orders.status().is_well()).await;
    let saved = store.load(&id("orders")).await.expect("readable").expect("there");
    assert_eq!(saved.cert.serial(), orders.certificate().serial());
}

/// Case 77, from the first certificate on.
#[tokio::test(start_paused = true)]
async fn a_first_identity_that_cannot_be_saved_says_so_and_is_saved_as_soon_as_it_can() {
    let clock = TokioClock::new();
    let store = Full(AnyStore::new(MemoryStore::new()), Arc::new(true.into()));
    let builder = Identity::builder(id("orders"))
        .authority(TestAuthority::new(&clock))
        .store(store.clone());
    let orders = builder.clock(clock.clone()).start().await.expect("it serves");
    let status = orders.status();
    assert!(!status.is_well() && status.unsaved.is_some());
    store.1.store(false, Ordering::Relaxed);
    until("saved", 61 * SECOND, || orders.status().is_well()).await;
    let saved = store.load(&id("orders")).await.expect("readable").expect("there");
    assert_eq!(saved.cert.serial(), orders.certificate().serial());
}

/// Case 41, in a running process and over a restart.
#[tokio::test(start_paused = true)]
async fn a_bundle_that_goes_back_is_refused_and_told_of_and_a_restart_does_not_fall_for_it() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let store = AnyStore::new(MemoryStore::new());
    let start = async || {
        let builder = Identity::builder(id("orders"))
            .authority(authority.clone())
            .store(store.clone());
        builder.clock(clock.clone()).start().await.expect("an identity")
    };
    let orders = start().await;
    let frontend = identity(&authority, &clock, "frontend", 90 * DAY).await;
    authority.hang(true);
    authority.revoke(&frontend.certificate());
    until("revoked", SECOND, || orders.status().trust.crls[0].revoked == 1).await;
    let good = orders.status().trust.sequence;
    authority.go_back();
    until("refused", SECOND, || orders.status().trust.refused.is_some()).await;
    let status = orders.status();
    assert_eq!((status.trust.sequence, status.trust.refusals), (good, 1));
    assert!(status.trust.seen > good && !status.is_well());
    assert_eq!(status.trust.crls[0].revoked, 1);
    sleep(SECOND).await;
    drop(orders);
    let again = start().await;
    assert_eq!(again.status().trust.crls[0].revoked, 1);
    authority.publish();
    until("it catches up", SECOND, || again.status().is_well()).await;
}

/// Case 46, and an own certificate on the list: files.
#[tokio::test(start_paused = true)]
async fn a_list_file_that_is_gone_or_empty_changes_nothing_and_one_with_the_own_certificate_counts() {
    use mesh_tls::{CertAuthority as _, CertRequest, PrivateKey};
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    let write = |name: &str, label: &str, der: &[u8]| {
        std::fs::write(file(name), pem::encode(&pem::Pem::new(label, der))).expect("written");
    };
    let key = PrivateKey::generate(Default::default()).await.expect("a key");
    let csr = key.certificate_request().expect("a CSR");
    let request = CertRequest::new(csr, id("orders"), DAY).expect("a request");
    let issued = authority.issue(request).await.expect("issued");
    let (root, list) = authority.root_and_list();
    write("key.pem", "PRIVATE KEY", key.expose_secret().secret_der());
    write("cert.pem", "CERTIFICATE", issued.leaf());
    write("ca.pem", "CERTIFICATE", &root);
    write("crl.pem", "X509 CRL", &list);
    let files = IdentityFiles::new(file("cert.pem"), file("key.pem"), file("ca.pem")).crl(file("crl.pem"));
    let orders = files
        .clock(clock.clone())
        .start(id("orders"))
        .await
        .expect("an identity");
    let number = || orders.status().trust.crls[0].number.clone();
    assert_eq!(number(), "1");
    for broken in ["", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"] {
        std::fs::write(file("crl.pem"), broken).expect("written");
        until("told", 11 * SECOND, || orders.status().trust.refused.is_some()).await;
        assert_eq!((number().as_str(), orders.status().is_well()), ("1", false));
        write("crl.pem", "X509 CRL", &list);
        until("well again", 11 * SECOND, || orders.status().is_well()).await;
    }
    std::fs::remove_file(file("crl.pem")).expect("removed");
    until("told", 11 * SECOND, || orders.status().trust.refused.is_some()).await;
    assert_eq!(number(), "1");
    // The list that takes the own certificate back is in force for everybody else too.
    authority.revoke(&issued);
    write("crl.pem", "X509 CRL", &authority.root_and_list().1);
    until("revoked", 11 * SECOND, || {
        orders.status().standing == Standing::Revoked
    })
    .await;
    assert_eq!(number(), "2");
}
