//! Valid input, and who made it.

use std::time::{Duration, SystemTime};

use mesh_tls::authority::LocalCaOptions;
use mesh_tls::verify::VerifyPolicy;
use mesh_tls::{
    CertAuthority, CertRequest, CertStore, FileStore, KeyType, LocalCa, PrivateKey, StoredCert, TrustBundle,
    TrustRoot, Verifier, pem,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevokedCertParams, SanType, SerialNumber, SigningKey,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio::runtime::Runtime;

use super::der;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const ORDERS: &str = "spiffe://cluster.local/ns/dept-barc/sa/orders";
pub(crate) const BILLING: &str = "spiffe://cluster.local/ns/dept-barc/sa/billing";
/// The serial number of the leaf that was taken back.
pub(crate) const REVOKED: u64 = 0x5e5e;

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) now: SystemTime,
    /// Signs CSRs.
    pub(crate) ca: LocalCa,
    pub(crate) csrs: Vec<Vec<u8>>,
    signer: KeyPair,
    pub(crate) root: Ca,
    /// Believed, each under the root of the verifier.
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) revoked: CertificateDer<'static>,
    /// Named as one of the mesh, and signed by nobody whom the verifier knows.
    pub(crate) stranger: CertificateDer<'static>,
    pub(crate) stranger_root: CertificateDer<'static>,
    pub(crate) lists: Vec<CertificateRevocationListDer<'static>>,
    pub(crate) verifier: Verifier,
    pub(crate) kept: Kept,
}

/// A leaf, with what belongs below the root.
pub(crate) struct Leaf {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) id: &'static str,
}

/// What is kept in files.
pub(crate) struct Kept {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) root: CertificateDer<'static>,
    pub(crate) record: Vec<u8>,
    pub(crate) issued: Vec<u8>,
    pub(crate) store: FileStore,
    /// The files of an identity: the newest, and the one before.
    pub(crate) identities: Vec<(std::path::PathBuf, Vec<u8>)>,
    pub(crate) saved: Vec<StoredCert>,
}

pub(crate) struct Ca {
    pub(crate) cert: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key")
}

impl Ca {
    fn new(name: &str, now: SystemTime, above: Option<&Self>) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = (now - 100 * DAY).into();
        params.not_after = (now + 100 * DAY).into();
        let key = key();
        let cert = match above {
            Some(above) => params.signed_by(&key, &above.issuer),
            None => params.self_signed(&key),
        };
        Self {
            cert: cert.expect("signed").der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn leaf(&self, id: &str, serial: u64, now: SystemTime) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "a leaf");
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = (now - DAY).into();
        params.not_after = (now + DAY).into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = vec![
            SanType::URI(id.try_into().expect("ASCII")),
            SanType::DnsName("a.example".try_into().expect("a name")),
        ];
        params
            .signed_by(&key(), &self.issuer)
            .expect("signed")
            .der()
            .clone()
    }

    fn list(&self, number: u64, revoked: &[u64], now: SystemTime) -> CertificateRevocationListDer<'static> {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: (now - DAY).into(),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: (now - DAY).into(),
            next_update: (now + 7 * DAY).into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("signed").into()
    }

    /// Signs whatever it is given.
    pub(crate) fn sign(&self, content: &[u8]) -> Vec<u8> {
        sign(self.issuer.key(), content)
    }
}

/// ECDSA with SHA-256: the algorithm as certificates write it.
const ALGORITHM: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];

fn sign(key: &KeyPair, content: &[u8]) -> Vec<u8> {
    let signature = [&[0][..], &key.sign(content).expect("signed")].concat();
    der::value(0x30, &[content, ALGORITHM, &der::value(3, &signature)].concat())
}

impl World {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let now = SystemTime::now();
        let ca = LocalCa::in_memory("cluster.local").expect("a CA");
        let keys = [
            KeyType::EcdsaP256,
            KeyType::EcdsaP256,
            KeyType::EcdsaP384,
            KeyType::Rsa2048,
        ];
        let mut csrs: Vec<_> = keys
            .map(|kind| {
                PrivateKey::generate_blocking(kind)
                    .expect("a key")
                    .certificate_request()
                    .expect("a CSR")
                    .to_vec()
            })
            .into();
        csrs.push(ambitious_csr());

        let root = Ca::new("root", now, None);
        let below = Ca::new("below", now, Some(&root));
        let stranger = Ca::new("root", now, None);
        let leaves = vec![
            Leaf {
                chain: vec![root.leaf(ORDERS, 7, now)],
                id: ORDERS,
            },
            Leaf {
                chain: vec![below.leaf(BILLING, 8, now), below.cert.clone()],
                id: BILLING,
            },
        ];
        let lists = vec![root.list(5, &[REVOKED, 99], now), below.list(5, &[], now)];
        let bundle = TrustBundle::new(1, [TrustRoot::new(root.cert.clone())]).with_crls(lists.clone());
        Self {
            verifier: Verifier::new(&bundle, policy()).expect("a bundle"),
            revoked: root.leaf(ORDERS, REVOKED, now),
            stranger: stranger.leaf(ORDERS, 7, now),
            stranger_root: stranger.cert,
            kept: runtime.block_on(kept()),
            runtime,
            now,
            ca,
            csrs,
            signer: key(),
            root,
            leaves,
            lists,
        }
    }

    /// A request of this content, with the signer's key in the place of a key, signed by it.
    pub(crate) fn sign_request(&self, content: &[u8]) -> Vec<u8> {
        let parts = der::parts(content);
        let key = parts.get(2).filter(|key| key.len() == self.signer_key().len());
        match key.and_then(|key| content.windows(key.len()).position(|window| window == *key)) {
            Some(at) => {
                let mut content = content.to_vec();
                content.splice(at..at + self.signer_key().len(), self.signer_key());
                sign(&self.signer, &content)
            }
            None => sign(&self.signer, content),
        }
    }

    pub(crate) fn signer_key(&self) -> Vec<u8> {
        self.signer.subject_public_key_info()
    }

    /// Writes a file of what is kept.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.kept.dir.path().join(name), content).expect("writable");
    }

    /// The certificates that are there, in DER.
    pub(crate) fn certificates(&self) -> Vec<Vec<u8>> {
        let leaves = self.leaves.iter().flat_map(|leaf| &leaf.chain);
        let all = leaves.chain([&self.root.cert, &self.revoked, &self.stranger]);
        all.map(|der| der.to_vec())
            .chain(data().into_iter().flat_map(|text| {
                let read = pem::certificates(text).unwrap_or_default();
                read.into_iter().map(|der| der.to_vec())
            }))
            .collect()
    }

    /// Chains, one certificate behind the other.
    pub(crate) fn chains(&self) -> Vec<Vec<u8>> {
        let mut chains: Vec<_> = self
            .leaves
            .iter()
            .map(|leaf| leaf.chain.iter().flat_map(|der| der.to_vec()).collect::<Vec<_>>())
            .collect();
        // One that nobody needs, in front of it one that is.
        chains.push([&chains[1][..], &self.stranger_root].concat());
        chains.push(self.revoked.to_vec());
        chains.push([&self.stranger[..], &self.stranger_root].concat());
        chains
    }

    /// Roots as text.
    pub(crate) fn bundles(&self) -> Vec<Vec<u8>> {
        let own = pem::encode_certificates([&self.root.cert]);
        let two = format!(
            "# roots\n\n{own}\n{}",
            pem::encode_certificates([&self.ca.root()])
        );
        let mut bundles = vec![
            own.clone().into_bytes(),
            two.replace('\n', "\r\n").into_bytes(),
            own.repeat(2).into_bytes(),
        ];
        bundles.extend(data().into_iter().map(<[u8]>::to_vec));
        bundles
    }

    /// Revocation lists, as DER and as text.
    pub(crate) fn revocation_lists(&self) -> Vec<Vec<u8>> {
        let mut lists: Vec<_> = self.lists.iter().map(|list| list.to_vec()).collect();
        lists.push(pem::encode_crl(&self.lists[0]).into_bytes());
        lists.push(
            [pem::encode_crl(&self.lists[1]), pem::encode_crl(&self.lists[0])]
                .concat()
                .into_bytes(),
        );
        lists.extend(data().into_iter().map(<[u8]>::to_vec));
        lists
    }
}

pub(crate) fn policy() -> VerifyPolicy {
    let mut policy = VerifyPolicy::new();
    policy.trust_domain = Some("cluster.local".into());
    policy
}

/// One that asks to be a CA, and somebody else.
fn ambitious_csr() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        SanType::URI(BILLING.try_into().expect("ASCII")),
        SanType::DnsName("billing.example".try_into().expect("a name")),
    ];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serialize_request(&key()).expect("a CSR").der().to_vec()
}

/// The files of `tests/data`.
fn data() -> Vec<&'static [u8]> {
    macro_rules! data {
        ($($name:literal),*) => {
            vec![$(include_bytes!(concat!("../data/", $name, ".pem")).as_slice()),*]
        };
    }
    data![
        "dsa",
        "good",
        "list",
        "list-delta",
        "list-sha1",
        "list-with-critical-number",
        "list-without-number",
        "negative-serial",
        "p192",
        "root",
        "root-rsa1024",
        "rsa1024",
        "rsa2041",
        "sha1",
        "version-1"
    ]
}

async fn kept() -> Kept {
    let dir = tempfile::tempdir().expect("a directory");
    let ca = LocalCa::init(dir.path().join("ca"), LocalCaOptions::new("cluster.local")).expect("a CA");
    let store = FileStore::open(dir.path().join("identities")).expect("a store");
    let mut saved = Vec::new();
    for _ in 0..3 {
        let key = PrivateKey::generate_blocking(KeyType::EcdsaP256).expect("a key");
        let id: mesh_core::SpiffeId = ORDERS.parse().expect("an ID");
        let request =
            CertRequest::new(key.certificate_request().expect("a CSR"), id.clone(), DAY).expect("a request");
        let cert = ca.issue(request).await.expect("issued");
        let bundle = TrustBundle::new(1, [TrustRoot::new(ca.root())]);
        let stored = StoredCert::new(id, key, cert, bundle);
        store.save(&stored).await.expect("saved");
        saved.push(stored);
    }
    let read = |path: &std::path::Path| std::fs::read(path).expect("readable");
    let mut identities: Vec<_> = std::fs::read_dir(dir.path().join("identities"))
        .expect("readable")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0))
        .map(|path| (path.clone(), read(&path)))
        .collect();
    identities.sort();
    Kept {
        root: ca.root(),
        record: read(&dir.path().join("ca/ca.record")),
        issued: read(&dir.path().join("ca/issued.jsonl")),
        store,
        identities,
        saved,
        dir,
    }
}
