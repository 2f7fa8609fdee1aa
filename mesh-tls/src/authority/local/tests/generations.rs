//! One generation replaces another, and nobody who follows fails.

use super::super::followers::SILENT;
use super::*;
use crate::authority::{Follower, GenerationState as S, ManagedAuthority, RotateRequest, RotationStep};

const STEP: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3_600);

/// A root of five days, certificates of an hour: the next one is made after 35 hours, and signs after 95.
fn short() -> LocalCaOptions {
    options().with_root_lifetime(5 * DAY).with_longest_leaf(HOUR)
}

/// A CA, and those who follow it.
struct Mesh {
    clock: Clock,
    ca: LocalCa,
    followers: Vec<Follows>,
    /// What a follower still shows, and what the peers of it go by.
    held: Vec<IssuedCert>,
}

struct Follows {
    who: Follower,
    bundle: TrustBundle,
    /// Takes no new bundle any more.
    is_stuck: bool,
    is_gone: bool,
}

impl Mesh {
    fn new(ca: LocalCa, clock: Clock, followers: u64) -> Self {
        let follows = |instance| Follows {
            who: Follower::new(id("orders"), instance),
            bundle: ca.bundle(),
            is_stuck: false,
            is_gone: false,
        };
        Self {
            followers: (0..followers).map(follows).collect(),
            clock,
            ca,
            held: Vec::new(),
        }
    }

    /// Two minutes pass, for everybody.
    async fn step(&mut self) {
        self.clock.advance(STEP);
        tokio::time::advance(STEP).await;
        for one in self.followers.iter_mut().filter(|one| !one.is_gone) {
            if !one.is_stuck {
                one.bundle = self.ca.bundle();
            }
            let asks = BundleRequest::after(one.bundle.sequence).by(one.who.clone());
            self.ca.inner.followers.lock().hear(&asks, Instant::now());
        }
        self.ca.look_after().await;
    }

    async fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_secs() / STEP.as_secs() {
            self.step().await;
        }
    }

    /// Whoever shows a certificate now is believed by everybody.
    async fn everybody_is_believed(&mut self) {
        let now = self.clock.now();
        self.held.retain(|cert| cert.not_after() > now);
        self.held
            .push(self.ca.issue(request("orders", HOUR)).await.expect("issued"));
        for one in self.followers.iter().filter(|one| !one.is_gone) {
            let verifier = Verifier::new(&one.bundle, VerifyPolicy::new()).expect("a bundle");
            for cert in &self.held {
                verifier
                    .verify(cert.chain(), Usage::Client, &Expected::Member, now)
                    .unwrap_or_else(|error| panic!("{} does not believe: {error}", one.who));
            }
        }
    }

    async fn states(&self) -> Vec<(u64, S)> {
        let generations = self.ca.generations().await.expect("generations");
        generations.iter().map(|one| (one.number, one.state)).collect()
    }
}

fn mesh(options: LocalCaOptions, followers: u64) -> Mesh {
    let clock = Clock::default();
    let ca = LocalCa::in_memory(options.with_clock(clock.clone())).expect("a CA");
    Mesh::new(ca, clock, followers)
}

/// F5: both generations have a name of their own, and case 47: a list of their own.
#[tokio::test(start_paused = true)]
async fn a_rotation_happens_by_itself_and_nobody_is_refused_at_any_moment() {
    let mut mesh = mesh(short(), 3);
    let mut seen = Vec::new();
    for _ in 0..15 * 24 {
        mesh.pass(HOUR).await;
        mesh.everybody_is_believed().await;
        let states = mesh.states().await;
        if seen.last() != Some(&states) {
            seen.push(states);
        }
    }
    let first: Vec<Vec<(u64, S)>> = vec![
        vec![(1, S::Active)],
        vec![(1, S::Active), (2, S::Prepared)],
        vec![(1, S::Active), (2, S::Distributed)],
        vec![(1, S::Retiring), (2, S::Active), (3, S::Prepared)],
    ];
    assert_eq!(seen[..4], first);
    let newest = mesh.states().await.last().expect("one").0;
    assert!(newest >= 4, "{newest}");
    // Those of before are gone.
    assert!(mesh.states().await.len() <= 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_behind_holds_the_rotation_until_it_is_gone_or_an_operator_forces_it() {
    let mut mesh = mesh(short(), 2);
    mesh.followers[1].is_stuck = true;
    mesh.pass(97 * HOUR).await;
    // It was to sign two hours ago.
    assert_eq!(mesh.states().await, [(1, S::Active), (2, S::Prepared)]);
    let activate = RotateRequest::new(RotationStep::Activate);
    let error = mesh.ca.rotate(activate).await.expect_err("held");
    assert_eq!(error.kind(), CaErrorKind::WrongState);
    let behind = mesh.followers[1].who.to_string();
    assert!(
        error.to_string().contains(&format!("{behind} goes by bundle 1")),
        "{error}"
    );
    assert_eq!(
        mesh.ca.status().expect("a status").held.as_deref(),
        Some(error.to_string().as_str())
    );

    mesh.followers[1].is_gone = true;
    mesh.pass(SILENT - STEP).await;
    assert_eq!(mesh.states().await, [(1, S::Active), (2, S::Prepared)]);
    mesh.pass(2 * STEP).await;
    // It waited so long that its own successor is due.
    assert_eq!(
        mesh.states().await,
        [(1, S::Retiring), (2, S::Active), (3, S::Prepared)]
    );

    mesh.followers[1].is_gone = false;
    mesh.step().await;
    assert!(mesh.ca.rotate(activate).await.is_err());
    let forced = mesh.ca.rotate(activate.forced()).await.expect("forced");
    assert_eq!((forced.number, forced.state), (3, S::Active));
}

#[tokio::test(start_paused = true)]
async fn a_tainted_generation_is_replaced_at_once_and_goes_when_its_last_certificate_has_ended() {
    let mut mesh = mesh(options(), 1);
    mesh.everybody_is_believed().await;
    let tainted = mesh
        .ca
        .rotate(RotateRequest::new(RotationStep::Taint))
        .await
        .expect("tainted");
    assert_eq!((tainted.number, tainted.state), (1, S::Tainted));
    assert!(mesh.ca.bundle().roots[0].tainted);
    assert!(
        mesh.ca
            .rotate(RotateRequest::new(RotationStep::Taint))
            .await
            .is_err()
    );
    mesh.everybody_is_believed().await;
    mesh.pass(SILENT + 2 * STEP).await;
    assert_eq!(mesh.states().await, [(1, S::Tainted), (2, S::Active)]);
    let error = mesh
        .ca
        .rotate(RotateRequest::new(RotationStep::Remove))
        .await
        .expect_err("still good");
    assert!(error.to_string().contains("wait until"), "{error}");
    mesh.everybody_is_believed().await;
    mesh.pass(24 * HOUR).await;
    assert_eq!(mesh.states().await.len(), 2);
    mesh.pass(HOUR + SILENT).await;
    assert_eq!(mesh.states().await, [(2, S::Active)]);
    assert_eq!(mesh.ca.bundle().roots.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn steps_out_of_turn_are_refused_with_what_has_to_come_before() {
    let mesh = mesh(options(), 0);
    for (step, why) in [
        (RotationStep::Activate, "prepare one"),
        (RotationStep::Remove, "no generation was replaced"),
        (RotationStep::Abort, "no generation is prepared"),
    ] {
        let error = mesh
            .ca
            .rotate(RotateRequest::new(step).forced())
            .await
            .expect_err(why);
        assert_eq!(error.kind(), CaErrorKind::WrongState);
        assert!(error.to_string().contains(why), "{error}");
    }
    mesh.ca
        .rotate(RotateRequest::new(RotationStep::Prepare))
        .await
        .expect("prepared");
    let error = mesh
        .ca
        .rotate(RotateRequest::new(RotationStep::Prepare))
        .await
        .expect_err("twice");
    assert!(error.to_string().contains("activate it or abort it"), "{error}");
    let aborted = mesh
        .ca
        .rotate(RotateRequest::new(RotationStep::Abort))
        .await
        .expect("aborted");
    assert_eq!((aborted.number, aborted.state), (2, S::Aborted));
    let again = mesh
        .ca
        .rotate(RotateRequest::new(RotationStep::Prepare))
        .await
        .expect("prepared");
    assert_eq!(again.number, 3, "no number is given twice");
}

#[tokio::test(start_paused = true)]
async fn who_follows_by_another_process_is_waited_for_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let clock = Clock::default();
    let open = || LocalCa::open_or_init(&path, options().with_clock(clock.clone())).expect("a CA");
    let (here, there) = (open(), open());
    let behind = BundleRequest::after(1).by(Follower::new(id("billing"), 7));
    there.inner.followers.lock().hear(&behind, Instant::now());
    there.look_after().await;
    here.rotate(RotateRequest::new(RotationStep::Prepare))
        .await
        .expect("prepared");
    clock.advance(SILENT);
    tokio::time::advance(SILENT).await;
    there.inner.followers.lock().hear(&behind, Instant::now());
    there.look_after().await;
    let activate = RotateRequest::new(RotationStep::Activate);
    // A third one, as the shell is.
    let error = open().rotate(activate).await.expect_err("held");
    assert!(
        error
            .to_string()
            .contains("sa/billing#0000000000000007 goes by bundle 1"),
        "{error}"
    );
    assert_eq!(there.bundle().sequence, 2, "it was told by the other process");
    there.inner.followers.lock().hear(
        &BundleRequest::after(2).by(Follower::new(id("billing"), 7)),
        Instant::now(),
    );
    clock.advance(GLANCE);
    tokio::time::advance(GLANCE).await;
    there.look_after().await;
    let active = open().rotate(activate).await.expect("active");
    assert_eq!((active.number, active.state), (2, S::Active));
    let issued = there.issue(request("orders", DAY)).await.expect("issued");
    let root = Certificate::parse(&active.root).expect("a root");
    let leaf = Certificate::parse(issued.leaf()).expect("a certificate");
    assert_eq!(
        leaf.issuer(),
        root.subject(),
        "the other process signs with it too"
    );
}

#[tokio::test(start_paused = true)]
async fn of_a_generation_that_is_removed_no_key_is_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let ca = LocalCa::init(&path, options().with_intermediate()).expect("a CA");
    let keys = {
        let book = ca.inner.book.lock();
        let kept = serde_json::to_value(book.record.material(1).expect("keys")).expect("JSON");
        [&kept["root"]["key"], &kept["issuing"]["key"]].map(|key| key.as_str().expect("text").to_owned())
    };
    let holds = || {
        let files = std::fs::read_dir(&path).expect("read");
        let texts = files
            .map(|file| file.expect("read").path())
            .filter(|file| file.is_file())
            .map(|file| std::fs::read_to_string(file).expect("text"));
        let texts: String = texts.collect();
        keys.iter()
            .map(|key| texts.matches(&key.replace('\n', "\\n")).count())
            .collect::<Vec<_>>()
    };
    for step in [RotationStep::Prepare, RotationStep::Activate] {
        ca.rotate(RotateRequest::new(step).forced()).await.expect("taken");
    }
    assert_eq!(holds(), [3, 3], "the record and its two copies");
    ca.rotate(RotateRequest::new(RotationStep::Remove).forced())
        .await
        .expect("removed");
    assert_eq!(holds(), [0, 0]);
    assert!(LocalCa::open(&path).is_ok());
}

/// Case 21: a CA of ours allows no other below it.
#[tokio::test(start_paused = true)]
async fn a_ca_that_an_issuing_ca_would_make_is_believed_by_nobody() {
    for options in [options(), options().with_intermediate()] {
        let ca = LocalCa::in_memory(options).expect("a CA");
        let design = ca.inner.book.lock().record.design().expect("a design");
        let below = super::super::material::Material::make(&design, SystemTime::now()).expect("a CA");
        let below = below.signers().expect("keys").pop().expect("one");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "below");
        let signing = Arc::clone(&ca.inner.book.lock().signing);
        let sub = params
            .signed_by(below.issuer.key(), &signing.signer.issuer)
            .expect("signed");
        let sub_issuer = rcgen::Issuer::from_ca_cert_der(sub.der(), below.issuer.key()).expect("a CA");
        let mut leaf = CertificateParams::default();
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        leaf.subject_alt_names = vec![SanType::URI(id("orders").as_str().try_into().expect("ASCII"))];
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let leaf = leaf.signed_by(&key, &sub_issuer).expect("signed");
        let chain: Vec<_> = [leaf.der().clone(), sub.der().clone()]
            .into_iter()
            .chain(signing.chain.iter().cloned())
            .collect();
        let bundle = TrustBundle::new(1, ca.bundle().roots);
        let verifier = Verifier::new(&bundle, VerifyPolicy::new()).expect("a bundle");
        let now = SystemTime::now();
        let verified = verifier.verify(&chain, Usage::Client, &Expected::Member, now);
        verified.expect_err("no CA is allowed below");
        let root = Certificate::parse(&ca.root()).expect("a root");
        let expected = u32::from(signing.chain.len() == 1);
        assert_eq!(
            root.basic_constraints
                .and_then(|constraints| constraints.max_below),
            Some(expected)
        );
    }
}
