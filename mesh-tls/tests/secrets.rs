//! What holds a private key prints none of it.

use std::time::Duration;

use mesh_core::SpiffeId;
use mesh_tls::authority::CertAuthority;
use mesh_tls::{
    AnyAuthority, AnyStore, CertRequest, CertStore, FileStore, Identity, KeyType, LocalCa, MemoryStore,
    PrivateKey, StoredCert, TrustBundle, TrustRoot, pem,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Every way in which a part of a key may be printed: its text, its bytes as a list, as hexadecimal, as a byte string.
struct Key(Vec<String>);

impl Key {
    fn of(key: &PrivateKey) -> Self {
        let text = pem::encode_private_key(key);
        let der = key.expose_secret().secret_der();
        // The part of PKCS #8 that is the same for every key of its kind says nothing.
        let secret = &der[36..52];
        let list = format!("{secret:?}");
        let mut forms: Vec<String> = text
            .lines()
            .skip(2)
            .filter(|line| line.len() > 20)
            .map(str::to_owned)
            .collect();
        forms.push(list.trim_matches(['[', ']']).replace(' ', ""));
        forms.push(secret.iter().map(|byte| format!("{byte:02x}")).collect());
        forms.push(secret.escape_ascii().to_string());
        forms.push(
            format!("{:?}", bytes::Bytes::copy_from_slice(secret))
                .trim_matches(['b', '"'])
                .to_owned(),
        );
        Self(forms)
    }

    fn is_in(&self, text: &str) -> bool {
        let dense: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let lower = dense.to_lowercase();
        self.0
            .iter()
            .any(|form| text.contains(form) || dense.contains(form) || lower.contains(form))
    }
}

/// Case 90.
#[tokio::test]
async fn nothing_that_holds_a_key_prints_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let ca = LocalCa::open_or_init(dir.path().join("ca"), "cluster.local").expect("a CA");
    let id: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/orders"
        .parse()
        .expect("an ID");
    let key = PrivateKey::generate(KeyType::EcdsaP256).await.expect("a key");
    let request =
        CertRequest::new(key.certificate_request().expect("a CSR"), id.clone(), DAY).expect("a request");
    let cert = ca.issue(request.clone()).await.expect("issued");
    let stored = StoredCert::new(
        id.clone(),
        key.clone(),
        cert.clone(),
        TrustBundle::new(1, [TrustRoot::new(ca.root())]),
    );
    let files = FileStore::open(dir.path().join("identities")).expect("a store");
    files.save(&stored).await.expect("saved");
    let memory = MemoryStore::new();
    let kept = AnyStore::new(MemoryStore::new());
    memory.save(&stored).await.expect("saved");
    let builder = Identity::builder(id.clone())
        .authority(ca.clone())
        .store(kept.clone());
    let shown_builder = format!("{builder:?} {builder:#?}");
    let identity = builder.start().await.expect("an identity");
    let in_use = kept.load(&id).await.expect("loaded").expect("it is there");

    let mut shown = vec![
        ("PrivateKey", format!("{key:?} {key:#?}")),
        ("StoredCert", format!("{stored:?} {stored:#?}")),
        ("CertRequest", format!("{request:?}")),
        ("IssuedCert", format!("{cert:?}")),
        ("LocalCa", format!("{ca:?} {ca:#?}")),
        ("FileStore", format!("{files:?} {files:#?}")),
        ("MemoryStore", format!("{memory:?} {memory:#?}")),
        ("AnyStore", format!("{:?}", kept)),
        ("AnyAuthority", format!("{:?}", AnyAuthority::new(ca.clone()))),
        ("IdentityBuilder", shown_builder),
        ("Identity", format!("{identity:?} {identity:#?}")),
        ("TlsAccept", format!("{:?}", identity.accept())),
        ("TlsConnect", format!("{:?}", identity.connect_to(id.clone()))),
    ];
    let errors = [
        pem::private_key(&[pem::encode_private_key(&key).as_bytes(), b"junk"].concat())
            .map(|_| ())
            .expect_err("junk")
            .to_string(),
        pem::certificates(pem::encode_private_key(&key).as_bytes())
            .expect_err("a key")
            .to_string(),
        pem::crls(pem::encode_private_key(&key).as_bytes())
            .expect_err("a key")
            .to_string(),
    ];
    shown.extend(errors.map(|error| ("an error", error)));
    let of_ca = {
        let record = std::fs::read_to_string(dir.path().join("ca/ca.record"))
            .expect("readable")
            .replace("\\n", "\n");
        let begin = record.find("-----BEGIN PRIVATE KEY").expect("a key");
        let end = record.find("-----END PRIVATE KEY-----").expect("its end");
        pem::private_key(format!("{}-----END PRIVATE KEY-----\n", &record[begin..end]).as_bytes())
            .expect("a key")
    };
    for key in [&key, &of_ca, &in_use.key] {
        let key_is_told = |text: &str| Key::of(key).is_in(text);
        for (what, text) in &shown {
            assert!(!key_is_told(text), "{what}: {text}");
        }
        // The search finds what is there.
        let der = key.expose_secret().secret_der();
        for planted in [
            pem::encode_private_key(key).to_string(),
            format!("{der:?}"),
            format!("{der:#?}"),
            format!("{:02X?}", der).replace([' ', ','], ""),
            der.escape_ascii().to_string(),
            format!("{:?}", bytes::Bytes::copy_from_slice(der)),
        ] {
            assert!(key_is_told(&planted), "{planted}");
        }
    }
}
