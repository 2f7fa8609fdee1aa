//! An authority and a store as a user writes them, held without a type parameter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_core::clock::WallClock;
use mesh_core::testkit::ManualClock;
use mesh_core::{Publisher, SpiffeId, live};
use mesh_tls::authority::{
    AnyManagedAuthority, BundleRequest, CaGeneration, GenerationState, Revocation, RevocationReason,
    RevokeRequest, RotateRequest, RotationStep, newer,
};
use mesh_tls::{
    AnyAuthority, AnyStore, CaError, CaErrorKind, CertAuthority, CertRequest, CertStore, IssuedCert,
    ManagedAuthority, MemoryStore, PrivateKey, SerialNumber, StoredCert, TrustBundle, TrustRoot,
};
use parking_lot::Mutex;

const DAY: Duration = Duration::from_secs(86_400);

/// Signs nothing, but counts as a CA does: serials, CRL numbers, generations, sequences.
struct Ledger {
    clock: Arc<ManualClock>,
    bundle: Publisher<TrustBundle>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    issued: BTreeMap<SerialNumber, Option<Revocation>>,
    crl_number: u64,
    generations: Vec<CaGeneration>,
}

impl Ledger {
    fn new(clock: Arc<ManualClock>) -> Self {
        let now = clock.now();
        let mut first = CaGeneration::prepared(1, vec![1], now + 3650 * DAY, now);
        first.state = GenerationState::Active;
        Self {
            clock,
            bundle: live(TrustBundle::new(1, [TrustRoot::new(vec![1]).of_generation(1)])).0,
            book: Mutex::new(Book {
                generations: vec![first],
                ..Book::default()
            }),
        }
    }

    fn publish(&self, book: &Book) -> u64 {
        let sequence = self.bundle.current().sequence + 1;
        let trusted = book
            .generations
            .iter()
            .filter(|generation| generation.state.is_trusted());
        let roots = trusted
            .map(|generation| TrustRoot::new(generation.root.clone()).of_generation(generation.number));
        let crl = vec![book.crl_number as u8];
        self.bundle
            .publish(TrustBundle::new(sequence, roots).with_crls([crl]));
        sequence
    }
}

impl CertAuthority for Ledger {
    async fn issue(&self, request: CertRequest) -> Result<IssuedCert, CaError> {
        let mut book = self.book.lock();
        let serial = SerialNumber::from_u64(book.issued.len() as u64 + 1).map_err(|error| {
            CaError::new(CaErrorKind::Internal, "no serial number left").with_source(error)
        })?;
        book.issued.insert(serial, None);
        let now = self.clock.now();
        IssuedCert::new([request.csr.to_vec()], (now, now + request.ttl), serial)
    }

    async fn next_bundle(&self, request: BundleRequest) -> Result<TrustBundle, CaError> {
        Ok(newer(&self.bundle.subscribe(), request.seen).await)
    }
}

impl ManagedAuthority for Ledger {
    async fn revoke(&self, request: RevokeRequest) -> Result<Revocation, CaError> {
        let mut book = self.book.lock();
        let unknown = || {
            CaError::new(
                CaErrorKind::UnknownCertificate,
                format!("{} is not ours", request.serial),
            )
        };
        if let Some(before) = book.issued.get(&request.serial).ok_or_else(unknown)? {
            return Ok(before.clone());
        }
        book.crl_number += 1;
        let sequence = self.publish(&book);
        let revocation = Revocation::new(&request, self.clock.now(), book.crl_number, sequence);
        book.issued.insert(request.serial, Some(revocation.clone()));
        Ok(revocation)
    }

    async fn rotate(&self, request: RotateRequest) -> Result<CaGeneration, CaError> {
        if request.step != RotationStep::Prepare {
            let message = format!("{} is not possible: nothing is prepared", request.step);
            return Err(CaError::new(CaErrorKind::WrongState, message));
        }
        let mut book = self.book.lock();
        let (number, now) = (book.generations.len() as u64 + 1, self.clock.now());
        let prepared = CaGeneration::prepared(number, vec![number as u8], now + 3650 * DAY, now);
        book.generations.push(prepared.clone());
        self.publish(&book);
        Ok(prepared)
    }

    async fn generations(&self) -> Result<Vec<CaGeneration>, CaError> {
        Ok(self.book.lock().generations.clone())
    }
}

fn orders() -> SpiffeId {
    "spiffe://cluster.local/ns/dept-barc/sa/orders"
        .parse()
        .expect("an ID")
}

fn request() -> CertRequest {
    CertRequest::new(b"csr".to_vec(), orders(), DAY).expect("a request")
}

fn ledger() -> (Arc<ManualClock>, AnyManagedAuthority) {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    (Arc::clone(&clock), AnyManagedAuthority::new(Ledger::new(clock)))
}

#[tokio::test]
async fn a_revocation_says_in_which_bundle_it_is_in_force() {
    let (clock, authority) = ledger();
    let issued = authority.issue(request()).await.expect("issued");
    let before = authority
        .next_bundle(BundleRequest::any())
        .await
        .expect("a bundle")
        .sequence;

    clock.advance(DAY / 2);
    let waiting = tokio::spawn({
        let authority = authority.clone();
        async move {
            authority
                .next_bundle(BundleRequest::after(before))
                .await
                .expect("a newer one")
        }
    });
    let revoke = RevokeRequest::new(issued.serial()).because(RevocationReason::KeyCompromise);
    let revocation = authority.revoke(revoke).await.expect("revoked");
    let bundle = waiting.await.expect("not cancelled");
    assert_eq!(
        (bundle.sequence, bundle.crls[0].as_ref()),
        (revocation.sequence, [1].as_slice())
    );
    assert_eq!(revocation.revoked_at, SystemTime::UNIX_EPOCH + DAY / 2);

    let again = authority
        .revoke(RevokeRequest::new(issued.serial()))
        .await
        .expect("still revoked");
    assert_eq!(again, revocation);
}

#[tokio::test]
async fn what_was_not_issued_here_cannot_be_revoked() {
    let (_clock, authority) = ledger();
    let stranger = RevokeRequest::new("4f:02:9b".parse().expect("hex"));
    let error = authority.revoke(stranger).await.expect_err("unknown");
    assert_eq!(error.kind(), CaErrorKind::UnknownCertificate);
    assert!(error.to_string().contains("4f029b"), "{error}");
}

#[tokio::test]
async fn a_rotation_goes_step_by_step_and_both_generations_are_trusted() {
    let (_clock, authority) = ledger();
    let error = authority
        .rotate(RotateRequest::new(RotationStep::Activate).forced())
        .await;
    assert_eq!(
        error.expect_err("nothing prepared").kind(),
        CaErrorKind::WrongState
    );

    let prepared = authority
        .rotate(RotateRequest::new(RotationStep::Prepare))
        .await
        .expect("prepared");
    assert_eq!((prepared.number, prepared.state), (2, GenerationState::Prepared));
    let bundle = authority
        .next_bundle(BundleRequest::after(1))
        .await
        .expect("a newer one");
    let trusted: Vec<_> = bundle.roots.iter().filter_map(|root| root.generation).collect();
    assert_eq!(trusted, [1, 2]);
    assert_eq!(authority.generations().await.expect("known").len(), 2);
}

#[tokio::test]
async fn who_needs_only_certificates_takes_a_managed_authority_too() {
    let (_clock, authority) = ledger();
    let authority = AnyAuthority::new(authority);
    let serials = [
        authority.issue(request()).await.expect("first").serial(),
        authority.clone().issue(request()).await.expect("second").serial(),
    ];
    assert_eq!(serials.map(|serial| serial.to_string()), ["01", "02"]);
}

#[tokio::test]
async fn a_store_gives_back_the_last_identity_of_each_id() {
    let (_clock, authority) = ledger();
    let store = AnyStore::new(MemoryStore::new());
    let other: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/billing"
        .parse()
        .expect("an ID");
    let bundle = authority
        .next_bundle(BundleRequest::any())
        .await
        .expect("a bundle");
    for (id, secret) in [(orders(), 1), (other.clone(), 2), (orders(), 3)] {
        let cert = authority.issue(request()).await.expect("issued");
        let key = PrivateKey::from_pkcs8(vec![secret]);
        store
            .save(&StoredCert::new(id, key, cert, bundle.clone()))
            .await
            .expect("saved");
    }
    let secret = async |id: &SpiffeId| {
        let stored = store.load(id).await.expect("loaded").expect("saved");
        stored.key.expose_secret().secret_der().to_vec()
    };
    assert_eq!(
        (secret(&orders()).await, secret(&other).await),
        (vec![3], vec![2])
    );
    let stranger = "spiffe://cluster.local/ns/dept-barc/sa/nobody"
        .parse()
        .expect("an ID");
    assert!(store.load(&stranger).await.expect("loaded").is_none());
}

#[test]
fn nothing_prints_a_key() {
    let key = PrivateKey::from_pkcs8(b"very secret".to_vec());
    let serial = SerialNumber::from_u64(1).expect("positive");
    let validity = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + DAY);
    let cert = IssuedCert::new([vec![0x30]], validity, serial).expect("a certificate");
    let stored = StoredCert::new(orders(), key, cert, TrustBundle::new(1, []));
    let printed = format!("{stored:?} {stored:#?}");
    assert!(printed.contains("PrivateKey(..)"));
    for form in ["very secret", "118, 101, 114, 121", "76657279"] {
        assert!(!printed.contains(form), "{printed}");
    }
}
