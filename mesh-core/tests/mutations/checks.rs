//! What has to be true of each parser, whatever it is given. Each check tells whether the input was accepted; the
//! fuzzers in `fuzz/` call the same ones.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use mesh_core::context::{Direction, MeshContext};
use mesh_core::edge::{EdgePolicy, Facts, canonical_path};
use mesh_core::forwarded::{PeerMarks, TargetMarks, Trust, inherit, mark_request};
use mesh_core::{PeerInfo, SpiffeId};

/// A SPIFFE ID is accepted if the specification says so, and says the same when it is read again.
pub(crate) fn spiffe_id(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let read = text.parse::<SpiffeId>();
    assert_eq!(
        read.is_ok(),
        is_spiffe_id(input),
        "the specification says otherwise"
    );
    let Ok(id) = read else { return false };
    let shown = id.to_string();
    assert_eq!(shown, text);
    assert_eq!(shown.parse::<SpiffeId>().as_ref(), Ok(&id));
    assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
    if let (Some(namespace), Some(service)) = (id.namespace(), id.service()) {
        assert_eq!(id.path(), format!("/ns/{namespace}/sa/{service}"));
        assert!(
            ![namespace, service]
                .iter()
                .any(|part| part.is_empty() || part.contains('/'))
        );
    }
    true
}

/// The SPIFFE ID specification §2, byte by byte, written without a look at the parser.
fn is_spiffe_id(input: &[u8]) -> bool {
    let common = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'_' | b'a'..=b'z');
    let Some(rest) = input.strip_prefix(b"spiffe://") else {
        return false;
    };
    let mut parts = rest.split(|byte| *byte == b'/');
    let domain = parts.next().unwrap_or_default();
    input.len() <= 2048
        && (1..=255).contains(&domain.len())
        && domain.iter().all(common)
        && parts.all(|segment| {
            !matches!(segment, b"" | b"." | b"..")
                && segment
                    .iter()
                    .all(|byte| common(byte) || byte.is_ascii_uppercase())
        })
}

/// A canonical path is its own canonical form, and nobody finds another path in it.
pub(crate) fn path(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let mut accepted = false;
    for (slashes, parameters) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut policy = EdgePolicy::default();
        policy.keep_encoded_slashes = slashes;
        policy.keep_path_parameters = parameters;
        let Ok(changed) = canonical_path(text, &policy) else {
            continue;
        };
        accepted = true;
        assert_ne!(
            changed.as_deref(),
            Some(text),
            "what does not change is told as nothing"
        );
        let canonical = changed.as_deref().unwrap_or(text);
        let again = canonical_path(canonical, &policy);
        assert!(matches!(again, Ok(None)), "{canonical:?} once more: {again:?}");
        assert!(
            canonical.starts_with('/') && !canonical.contains("//"),
            "{canonical:?}"
        );
        // Each byte escaped at most, so at most three times as long.
        assert!(canonical.len() <= 3 * text.len(), "{canonical:?}");
        let lower = canonical.to_ascii_lowercase();
        let forbidden = |what: &str| assert!(!lower.contains(what), "{canonical:?} holds {what:?}");
        ["%00", "%2e", "%2d", "%5f", "%7e", "%41", "\\", "?", "#"]
            .iter()
            .for_each(|what| forbidden(what));
        if !slashes {
            ["%2f", "%5c"].iter().for_each(|what| forbidden(what));
        }
        if !parameters {
            [";", "%3b"].iter().for_each(|what| forbidden(what));
        }
        assert!(
            canonical.bytes().all(|byte| byte.is_ascii_graphic()),
            "{canonical:?}"
        );
        // However an application splits it.
        let segments = lower.replace("%2f", "/").replace("%5c", "/").replace("%3b", ";");
        for segment in segments.split('/') {
            let cut = segment.split(';').next().unwrap_or_default();
            assert!(
                !matches!(segment, "." | "..") && !matches!(cut, "." | ".."),
                "{canonical:?}"
            );
        }
    }
    accepted
}

const XFCC: &str = "x-forwarded-client-cert";

/// Who sends a request does not choose what is told of its certificate. The input is lines: the identity and the
/// fingerprint of the peer, and then fields that it sends, a name and a value each.
pub(crate) fn client_cert(input: &[u8]) -> bool {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (identity, fingerprint) = (String::from_utf8_lossy(line()), String::from_utf8_lossy(line()));
    let address = ([203, 0, 113, 9], 4000).into();
    let peer = match identity.parse::<SpiffeId>() {
        Ok(identity) => PeerInfo::mtls(address, identity, &*fingerprint, "01"),
        Err(_) => PeerInfo::anonymous_tls(address),
    };
    let mut headers = HeaderMap::new();
    while let (name @ [_, ..], value) = (line(), line()) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            && headers.len() < 100
        {
            headers.append(name, value);
        }
    }
    let peer = Arc::new(peer);
    for trust in [
        Trust::nobody(),
        Trust::proxies(["203.0.113.0/24".parse().expect("a network")], []),
    ] {
        let marks = PeerMarks::new(&peer, &trust, Direction::Inbound, None);
        let mut headers = headers.clone();
        let mut context = MeshContext::new(tokio::time::Instant::now());
        let facts = Facts::of(&headers);
        let believed = inherit(&mut headers, facts, &marks, &mut context);
        assert!(!headers.contains_key(XFCC), "rules see only what is proved");
        mark_request(
            &mut headers,
            believed,
            &context,
            &marks,
            &TargetMarks::new(&"orders".parse().expect("a name")),
        );

        let told: Vec<_> = headers.get_all(XFCC).iter().collect();
        match (&peer.identity, &*told) {
            (None, []) => {}
            (Some(_), []) => assert!(!is_hash(&fingerprint), "nothing is told of {peer:?}"),
            (Some(identity), [told]) => {
                let told = envoy(told.to_str().expect("ASCII"));
                let expected = [("Hash", &*fingerprint), ("URI", identity.as_str())];
                assert_eq!(
                    told,
                    expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
                );
            }
            (_, told) => panic!("{told:?} of {peer:?}"),
        }
        for name in [
            "x-source-service",
            "x-mesh-mtls",
            "x-request-id",
            "traceparent",
            "x-forwarded-for",
            "x-forwarded-proto",
        ] {
            assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
        }
        assert_eq!(headers["x-source-service"], peer.service().unwrap_or("unknown"));
    }
    peer.identity.is_some()
}

fn is_hash(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One element of the field, as Envoy's documentation writes it: pairs `key=value` behind `;`; a value that holds
/// `,`, `;` or `=` stands in quotes, in which `\` goes before a quote.
fn envoy(element: &str) -> Vec<(String, String)> {
    let (mut pairs, mut rest) = (Vec::new(), element);
    loop {
        let (key, value) = rest.split_once('=').expect("a pair");
        assert!(
            matches!(key, "By" | "Hash" | "Cert" | "Chain" | "Subject" | "URI" | "DNS"),
            "{element:?}"
        );
        let (value, behind) = match value.strip_prefix('"') {
            None => {
                let (value, behind) = value.split_at(value.find(';').unwrap_or(value.len()));
                assert!(!value.contains([',', '=', '"']), "{element:?} needs quotes");
                (value.to_owned(), behind)
            }
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.char_indices();
                let end = loop {
                    match characters.next().expect("the end of the quotes") {
                        (at, '"') => break at,
                        (_, '\\') => value.push(characters.next().expect("an escaped character").1),
                        (_, character) => value.push(character),
                    }
                };
                (value, &quoted[end + 1..])
            }
        };
        assert!(
            !pairs.iter().any(|(known, _)| *known == key),
            "{element:?} says {key} twice"
        );
        pairs.push((key.to_owned(), value));
        match behind.strip_prefix(';') {
            Some(behind) => rest = behind,
            None => {
                assert!(behind.is_empty(), "{element:?}");
                return pairs;
            }
        }
    }
}
