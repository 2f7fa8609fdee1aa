//! An authority that does what a test says: rotates, revokes, taints, fails, hangs.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::clock::WallClock;
use mesh_core::{Live, Publisher, live};
use mesh_tls::authority::{BundleRequest, CertAuthority, newer};
use mesh_tls::{CaError, CaErrorKind, CertRequest, IssuedCert, SerialNumber, TrustBundle, TrustRoot};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio::sync::watch;

use crate::clock::TokioClock;

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone)]
pub(crate) struct TestAuthority(Arc<Inner>);

struct Inner {
    clock: TokioClock,
    state: Mutex<State>,
    publisher: Publisher<TrustBundle>,
    bundle: Live<TrustBundle>,
    /// While true, nobody is answered who wants a certificate.
    hangs: watch::Sender<bool>,
}

struct State {
    roots: Vec<Root>,
    generation: u64,
    sequence: u64,
    serial: u64,
    revoked: Vec<u64>,
    crl_number: u64,
    fails: Option<CaErrorKind>,
    /// What who follows is told instead of a bundle.
    refuses: Option<CaErrorKind>,
    asked: u64,
}

struct Root {
    issuer: Issuer<'static, KeyPair>,
    cert: CertificateDer<'static>,
    generation: u64,
    tainted: bool,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key")
}

impl Root {
    fn new(generation: u64, clock: &TokioClock) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("root {generation}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = (clock.now() - DAY).into();
        params.not_after = (clock.now() + 3650 * DAY).into();
        let key = key();
        let cert = params.self_signed(&key).expect("signed").der().clone();
        Self {
            issuer: Issuer::new(params, key),
            cert,
            generation,
            tainted: false,
        }
    }
}

impl TestAuthority {
    pub(crate) fn new(clock: &TokioClock) -> Self {
        let state = State {
            roots: vec![Root::new(1, clock)],
            generation: 1,
            sequence: 0,
            serial: 100,
            revoked: Vec::new(),
            crl_number: 0,
            fails: None,
            refuses: None,
            asked: 0,
        };
        let (publisher, bundle) = live(TrustBundle::new(0, []));
        let authority = Self(Arc::new(Inner {
            clock: clock.clone(),
            state: Mutex::new(state),
            publisher,
            bundle,
            hangs: watch::channel(false).0,
        }));
        authority.publish();
        authority
    }

    /// Publishes what there is, with new lists.
    pub(crate) fn publish(&self) {
        let bundle = {
            let mut state = self.0.state.lock();
            state.crl_number += 1;
            state.sequence += 1;
            self.bundle(&state)
        };
        self.0.publisher.publish(bundle);
    }

    fn bundle(&self, state: &State) -> TrustBundle {
        let now = self.0.clock.now();
        let roots = state.roots.iter().map(|root| {
            let told = TrustRoot::new(root.cert.clone()).of_generation(root.generation);
            if root.tainted { told.tainted() } else { told }
        });
        let crls = state.roots.iter().map(|root| {
            let revoked = state.revoked.iter().map(|serial| RevokedCertParams {
                serial_number: (*serial).into(),
                revocation_time: now.into(),
                reason_code: None,
                invalidity_date: None,
            });
            let params = CertificateRevocationListParams {
                this_update: (now - Duration::from_secs(60)).into(),
                next_update: (now + 3650 * DAY).into(),
                crl_number: state.crl_number.into(),
                issuing_distribution_point: None,
                revoked_certs: revoked.collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            CertificateRevocationListDer::from(params.signed_by(&root.issuer).expect("signed"))
        });
        TrustBundle::new(state.sequence, roots).with_crls(crls.collect::<Vec<_>>())
    }

    /// Takes certificates back.
    pub(crate) fn revoke(&self, cert: &IssuedCert) {
        let serial = u64::from_str_radix(&cert.serial().to_string(), 16).expect("a short one");
        self.0.state.lock().revoked.push(serial);
        self.publish();
    }

    /// Publishes a bundle that says nothing of what was revoked, with a list of a lower number.
    pub(crate) fn go_back(&self) {
        let bundle = {
            let mut state = self.0.state.lock();
            state.sequence += 1;
            let old = State {
                roots: std::mem::take(&mut state.roots),
                revoked: Vec::new(),
                crl_number: 1,
                ..*state
            };
            let bundle = self.bundle(&old);
            state.roots = old.roots;
            bundle
        };
        self.0.publisher.publish(bundle);
    }

    /// One more root, which signs nothing yet.
    pub(crate) fn prepare(&self) {
        self.prepare_untold();
        self.publish();
    }

    /// The same, and nobody is told.
    pub(crate) fn prepare_untold(&self) {
        let mut state = self.0.state.lock();
        state.generation += 1;
        let root = Root::new(state.generation, &self.0.clock);
        state.roots.push(root);
    }

    /// From now on the newest root signs.
    pub(crate) fn activate(&self) {
        let mut state = self.0.state.lock();
        state.roots.sort_by_key(|root| std::cmp::Reverse(root.generation));
    }

    /// The oldest root goes.
    pub(crate) fn remove_oldest(&self) {
        {
            let mut state = self.0.state.lock();
            state.roots.sort_by_key(|root| std::cmp::Reverse(root.generation));
            state.roots.pop();
        }
        self.publish();
    }

    /// The key of the root that signs may be known to others; the next one signs.
    pub(crate) fn taint(&self) {
        {
            let mut state = self.0.state.lock();
            state.roots[0].tainted = true;
        }
        self.publish();
    }

    pub(crate) fn hang(&self, hangs: bool) {
        self.0.hangs.send_replace(hangs);
    }

    pub(crate) fn fail(&self, kind: Option<CaErrorKind>) {
        self.0.state.lock().fails = kind;
    }

    /// From the next call on, who follows is told this instead of a bundle.
    pub(crate) fn refuse(&self, kind: Option<CaErrorKind>) {
        self.0.state.lock().refuses = kind;
    }

    /// How often it was asked for a certificate.
    pub(crate) fn asked(&self) -> u64 {
        self.0.state.lock().asked
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.0.state.lock().sequence
    }

    /// Its newest root and list, as they are.
    pub(crate) fn root_and_list(&self) -> (CertificateDer<'static>, CertificateRevocationListDer<'static>) {
        let bundle = self.0.bundle.load_full();
        (bundle.roots[0].cert.clone(), bundle.crls[0].clone())
    }
}

impl CertAuthority for TestAuthority {
    async fn issue(&self, request: CertRequest) -> Result<IssuedCert, CaError> {
        self.0.state.lock().asked += 1;
        let mut hangs = self.0.hangs.subscribe();
        hangs.wait_for(|hangs| !hangs).await.expect("it is there");
        let mut state = self.0.state.lock();
        if let Some(kind) = state.fails {
            return Err(CaError::new(kind, "told to fail"));
        }
        state.serial += 1;
        let csr = CertificateSigningRequestParams::from_der(&request.csr).expect("a CSR");
        let now = self.0.clock.now();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "workload");
        params.serial_number = Some(state.serial.into());
        params.not_before = (now - Duration::from_secs(10)).into();
        params.not_after = (now + request.ttl).into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = vec![SanType::URI(
            request.spiffe_id.as_str().try_into().expect("ASCII"),
        )];
        let cert = params
            .signed_by(&csr.public_key, &state.roots[0].issuer)
            .expect("signed");
        let serial = SerialNumber::from_u64(state.serial).expect("positive");
        let issued = IssuedCert::of_chain(vec![cert.der().clone()])?;
        assert_eq!(issued.serial(), serial);
        Ok(issued)
    }

    async fn next_bundle(&self, request: BundleRequest) -> Result<TrustBundle, CaError> {
        if let Some(kind) = self.0.state.lock().refuses {
            return Err(CaError::new(kind, "told to refuse"));
        }
        Ok(newer(&self.0.bundle, request.seen).await)
    }
}
