use std::collections::HashSet;

use super::*;
use crate::authority::{BundleRequest, CertAuthority, LocalCa};

async fn bundle() -> TrustBundle {
    let ca = LocalCa::in_memory("cluster.local").expect("a CA");
    ca.next_bundle(BundleRequest::any()).await.expect("a bundle")
}

fn id(service: &str) -> SpiffeId {
    SpiffeId::of_service("cluster.local", "dept-barc", service).expect("valid parts")
}

#[tokio::test]
async fn no_token_is_made_that_nobody_could_use() {
    let (tokens, bundle) = (JoinTokens::in_memory(), bundle().await);
    let mint = |request: TokenRequest| {
        tokens
            .mint(&request, &bundle)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let error = mint(TokenRequest::new(id("orders"))).expect_err("nobody serves");
    assert!(error.contains("certificateApi"), "{error}");
    tokens.set_server(&id("ca")).expect("kept");
    assert!(mint(TokenRequest::new(id("orders"))).is_ok());
    let domain = "spiffe://cluster.local".parse().expect("an ID");
    assert!(mint(TokenRequest::new(domain)).is_err());
    let other = "spiffe://other.example/ns/a/sa/b".parse().expect("an ID");
    assert!(mint(TokenRequest::new(other)).is_err());
    for ttl in [Duration::ZERO, Duration::from_secs(8 * 86_400)] {
        assert!(mint(TokenRequest::new(id("orders")).with_ttl(ttl)).is_err());
    }
}

#[tokio::test]
async fn no_two_tokens_are_alike_and_what_is_kept_tells_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    SecureDir::create(&path).expect("made");
    let tokens = JoinTokens::open(&path).expect("tokens");
    tokens.set_server(&id("ca")).expect("kept");
    let bundle = bundle().await;
    let secrets: HashSet<String> = (0..50)
        .map(|_| {
            tokens
                .mint(&TokenRequest::new(id("orders")), &bundle)
                .expect("a token")
                .secret()
                .to_string()
        })
        .collect();
    assert_eq!(secrets.len(), 50);
    let kept = std::fs::read_to_string(path.join(FILE)).expect("a file");
    assert!(secrets.iter().all(|secret| !kept.contains(secret.as_str())));
    std::fs::write(path.join(FILE), kept.replace("orders", "admins")).expect("written");
    let error = JoinTokens::open(&path).expect_err("it was changed").to_string();
    assert!(error.contains("join-tokens"), "{error}");
}
