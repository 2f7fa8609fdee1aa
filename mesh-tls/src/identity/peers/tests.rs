//! Many peers on one thread: who else has something to do there must not wait for them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;

use mesh_core::clock::WallClock;
use mesh_core::control::Seen;
use mesh_core::live;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use super::*;
use crate::authority::{IssuedCert, TrustBundle, TrustRoot};
use crate::identity::epoch::Compiler;
use crate::key::PrivateKey;
use crate::policy::TlsPolicy;

/// So many different certificates, shown on so many connections each.
const CHAINS: u64 = 2_500;
const EACH: u64 = 4;
const DAY: Duration = Duration::from_secs(86_400);
const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";

/// A clock that is set by hand.
#[derive(Clone, Debug)]
struct HandClock(Arc<Mutex<SystemTime>>);

impl WallClock for HandClock {
    fn now(&self) -> SystemTime {
        *self.0.lock()
    }
}

/// Certificates of one key, and who signs them.
struct World {
    clock: HandClock,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    key: KeyPair,
    compiler: Compiler,
}

impl World {
    fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let key = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = (now - DAY).into();
        params.not_after = (now + 100 * DAY).into();
        let of_root = key();
        let root = params.self_signed(&of_root).expect("signed").der().clone();
        let clock = HandClock(Arc::new(Mutex::new(now)));
        let id = ORDERS.parse().expect("an ID");
        let policy = TlsPolicy::default();
        let compiler = Compiler::new(id, &policy, Arc::new(clock.clone())).expect("a policy");
        Self {
            clock,
            issuer: Issuer::new(params, of_root),
            root,
            key: key(),
            compiler,
        }
    }

    fn leaf(&self, serial: u64) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "orders");
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = (self.clock.now() - DAY).into();
        params.not_after = (self.clock.now() + DAY).into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = vec![SanType::URI(ORDERS.try_into().expect("ASCII"))];
        let signed = params.signed_by(&self.key, &self.issuer).expect("signed");
        signed.der().clone()
    }

    /// What is believed with these taken back.
    fn epoch(&self, number: u64, revoked: impl Iterator<Item = u64>, before: Option<&Epoch>) -> Epoch {
        let now = self.clock.now();
        let revoked_certs = revoked.map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + 7 * DAY).into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("signed");
        let bundle = TrustBundle::new(number, [TrustRoot::new(self.root.clone())]).with_crls([list]);
        let key = PrivateKey::from_pkcs8(self.key.serialize_der());
        let own = IssuedCert::of_chain(vec![self.leaf(u64::MAX)]).expect("a chain");
        let epoch = self.compiler.compile(&key, &own, &bundle, before);
        epoch.expect("an epoch")
    }
}

/// How long others wait at most for their turn on this thread, in time that the thread itself has used, so that whatever
/// else the machine does changes nothing; and how many connections were told something in one such wait.
#[derive(Debug, Default)]
struct Waits {
    longest: Mutex<Duration>,
    most_told: AtomicUsize,
}

impl Waits {
    fn assert_short(&self) {
        assert!(*self.longest.lock() < Duration::from_millis(20), "{self:?}");
        assert!(self.most_told.load(Ordering::Relaxed) <= 256, "{self:?}");
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().expect("not negative"),
        time.tv_nsec.try_into().expect("less than a second"),
    )
}

/// Takes one turn after the other.
async fn take_turns(waits: Arc<Waits>, told: Arc<AtomicUsize>) {
    let (mut last, mut last_told) = (thread_time(), told.load(Ordering::Relaxed));
    loop {
        tokio::task::yield_now().await;
        let (now, now_told) = (thread_time(), told.load(Ordering::Relaxed));
        let mut longest = waits.longest.lock();
        *longest = (*longest).max(now - last);
        waits.most_told.fetch_max(now_told - last_told, Ordering::Relaxed);
        (last, last_told) = (now, now_told);
    }
}

struct Crowd {
    peers: Arc<LivePeers>,
    /// Those who were told to leave, by their serial numbers.
    left: JoinSet<u64>,
    told: Arc<AtomicUsize>,
    places: Vec<LivePeer>,
}

impl Crowd {
    fn new(world: &World, peers: &Arc<LivePeers>) -> Self {
        let mut crowd = Self {
            peers: Arc::clone(peers),
            left: JoinSet::new(),
            told: Arc::default(),
            places: Vec::new(),
        };
        for serial in 1..=CHAINS {
            let chain = [world.leaf(serial)];
            crowd.connect(serial, &chain);
        }
        crowd
    }

    fn connect(&mut self, serial: u64, chain: &[CertificateDer<'static>]) {
        let leaf = Certificate::parse(&chain[0]).expect("a certificate");
        let verified = Verified {
            chain,
            leaf: &leaf,
            usage: Usage::Client,
            expected: &Expected::Member,
            more_roots: &Arc::default(),
            trust: 1,
        };
        for _ in 0..EACH {
            let (place, control) = self.peers.begin(&verified);
            self.places.push(*place);
            let told = Arc::clone(&self.told);
            self.left.spawn(async move {
                let mut seen = Seen::default();
                let leave = poll_fn(|cx| match control.poll_told(&mut seen, cx) {
                    Some(_) => Poll::Ready(()),
                    None => Poll::Pending,
                });
                leave.await;
                told.fetch_add(1, Ordering::Relaxed);
                serial
            });
        }
    }

    /// Waits until so many connections have left, and counts of how many peers all connections have.
    async fn leave(&mut self, connections: u64) -> HashMap<u64, u64> {
        let mut left = HashMap::new();
        for _ in 0..connections {
            let serial = self.left.join_next().await.expect("somebody").expect("ran");
            *left.entry(serial).or_default() += 1;
        }
        left
    }
}

#[tokio::test]
async fn ten_thousand_connections_hold_up_nobody_when_half_of_their_peers_are_revoked() {
    let world = World::new();
    let first = world.epoch(1, [].into_iter(), None);
    let revoked = || (1..=CHAINS).filter(|serial| serial % 2 == 0);
    let second = world.epoch(2, revoked(), Some(&first));
    let peers = LivePeers::new(first.trust_number, None);
    let (publisher, epoch) = live(first);
    let watch = tokio::spawn(Arc::clone(&peers).watch(epoch));
    let mut crowd = Crowd::new(&world, &peers);
    // Everybody waits for an order.
    tokio::task::yield_now().await;
    let waits = Arc::<Waits>::default();
    let others = tokio::spawn(take_turns(Arc::clone(&waits), Arc::clone(&crowd.told)));
    tokio::task::yield_now().await;

    publisher.publish(second);
    let left = crowd.leave(CHAINS / 2 * EACH).await;
    assert_eq!(left, revoked().map(|serial| (serial, EACH)).collect());
    let counts = peers.counts();
    assert_eq!(counts.ended_revoked, CHAINS / 2 * EACH);
    assert_eq!(counts.certificates as u64, CHAINS / 2);

    waits.assert_short();
    others.abort();
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_connections_hold_up_nobody_when_their_certificates_end_at_once() {
    let world = World::new();
    let first = world.epoch(1, [].into_iter(), None);
    let peers = LivePeers::new(first.trust_number, None);
    let (_publisher, epoch) = live(first);
    let watch = tokio::spawn(Arc::clone(&peers).watch(epoch));
    let mut crowd = Crowd::new(&world, &peers);
    tokio::task::yield_now().await;
    let waits = Arc::<Waits>::default();
    let others = tokio::spawn(take_turns(Arc::clone(&waits), Arc::clone(&crowd.told)));
    tokio::task::yield_now().await;

    *world.clock.0.lock() += 2 * DAY;
    tokio::time::advance(GLANCE).await;
    let left = crowd.leave(CHAINS * EACH).await;
    assert_eq!(left.len() as u64, CHAINS);
    assert_eq!(peers.counts().ended_expired, CHAINS * EACH);
    waits.assert_short();
    others.abort();
    watch.abort();
}
