//! The text with which a process joins the mesh.

use std::fmt;
use std::str::FromStr;

use mesh_core::SpiffeId;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::hash::{hex, sha256_bytes};

/// SHA-256 of a root certificate in DER: what `openssl x509 -fingerprint -sha256` prints.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootHash([u8; 32]);

impl RootHash {
    /// That of this certificate.
    pub fn of(root: &CertificateDer<'_>) -> Self {
        Self(sha256_bytes(root))
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

/// What a process joins the mesh with: a secret that counts once, and what tells the CA from anyone else, so that the
/// secret is shown to no other.
///
/// As text, `mesh-join-v1.<secret>.<roots>.<server>`:
///
/// - `secret`: 256 random bits, as 64 hexadecimal digits.
/// - `roots`: the SHA-256 of each root certificate that may vouch for the CA's server, 64 hexadecimal digits each,
///   with `-` between them; 1 to 8.
/// - `server`: the SPIFFE ID that the CA's server proves.
///
/// ```
/// use mesh_tls::remote::JoinToken;
///
/// let text = format!("mesh-join-v1.{}.{}.spiffe://cluster.local/ns/mesh/sa/ca", "5e".repeat(32), "a1".repeat(32));
/// let token: JoinToken = text.parse()?;
/// assert_eq!(token.server().service(), Some("ca"));
/// assert_eq!(token.roots().len(), 1);
/// assert!(!format!("{token:?}").contains("5e5e"));
/// assert_eq!(*token.expose_secret(), text);
/// # Ok::<(), mesh_tls::remote::JoinTokenError>(())
/// ```
#[derive(Clone)]
pub struct JoinToken {
    secret: Zeroizing<[u8; Self::SECRET_LEN]>,
    roots: Vec<RootHash>,
    server: SpiffeId,
}

const PREFIX: &str = "mesh-join-v1";
const MAX_ROOTS: usize = 8;

impl JoinToken {
    const SECRET_LEN: usize = 32;

    pub(super) fn new(
        secret: Zeroizing<[u8; Self::SECRET_LEN]>,
        roots: impl IntoIterator<Item = RootHash>,
        server: SpiffeId,
    ) -> Self {
        Self {
            secret,
            roots: roots.into_iter().take(MAX_ROOTS).collect(),
            server,
        }
    }

    /// Who the CA's server is: no other member of the mesh is shown the secret.
    pub fn server(&self) -> &SpiffeId {
        &self.server
    }

    /// The roots that may vouch for the CA's server.
    pub fn roots(&self) -> &[RootHash] {
        &self.roots
    }

    /// The token as text. Who has it may join once in the name it is bound to.
    pub fn expose_secret(&self) -> Zeroizing<String> {
        let roots: Vec<_> = self.roots.iter().map(ToString::to_string).collect();
        let (secret, roots) = (self.secret(), roots.join("-"));
        Zeroizing::new(format!("{PREFIX}.{}.{roots}.{}", *secret, self.server))
    }

    /// The part that is shown to the CA.
    pub(super) fn secret(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&*self.secret))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("roots", &self.roots)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// A text is no join token. It is not said what the text is: it may be one with a slip in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinTokenError(&'static str);

impl fmt::Display for JoinTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a join token: {}; expected what mesh-proxy cert token prints, as a whole",
            self.0
        )
    }
}

impl std::error::Error for JoinTokenError {}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let mut parts = text.trim_ascii().splitn(4, '.');
        if parts.next() != Some(PREFIX) {
            return Err(JoinTokenError("it does not begin with mesh-join-v1."));
        }
        let mut part = || parts.next().ok_or(JoinTokenError("it was cut short"));
        let (secret, roots, server) = (part()?, part()?, part()?);
        let secret = unhex(secret).ok_or(JoinTokenError("its secret is not of 64 hexadecimal digits"))?;
        let roots = roots.split('-').map(|root| unhex(root).map(RootHash));
        let roots = roots
            .collect::<Option<Vec<_>>>()
            .filter(|roots| roots.len() <= MAX_ROOTS);
        let roots = roots.ok_or(JoinTokenError("its roots are not 1 to 8 SHA-256 hashes"))?;
        let server = server.parse::<SpiffeId>().ok().filter(|id| !id.path().is_empty());
        let server = server.ok_or(JoinTokenError(
            "it does not end with the SPIFFE ID of the CA's server",
        ))?;
        Ok(Self {
            secret: Zeroizing::new(secret),
            roots,
            server,
        })
    }
}

/// 64 hexadecimal digits, in lower case, since there is one way to write a secret.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(text.as_chunks().0) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVER: &str = "spiffe://cluster.local/ns/mesh/sa/ca";

    fn text(secret: &str, roots: &str, server: &str) -> String {
        format!("mesh-join-v1.{secret}.{roots}.{server}")
    }

    #[test]
    fn what_is_no_token_is_refused_without_a_part_of_it_in_the_message() {
        let (secret, root) = ("5e".repeat(32), "a1".repeat(32));
        let many = [root.as_str(); 9].join("-");
        for bad in [
            String::new(),
            "mesh-join-v2.x".into(),
            format!("mesh-join-v1.{secret}"),
            text(&secret[1..], &root, SERVER),
            text(&secret.to_uppercase(), &root, SERVER),
            text(&secret, "", SERVER),
            text(&secret, &many, SERVER),
            text(&secret, &root, "spiffe://cluster.local"),
            text(&secret, &root, "https://cluster.local/ca"),
        ] {
            let error = bad.parse::<JoinToken>().expect_err(&bad).to_string();
            assert!(!error.contains("5e5e") && !error.contains("a1a1"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_token_reads_as_it_was_written(secret: [u8; 32], roots in proptest::collection::vec(any::<[u8; 32]>(), 1..=8)) {
            let server = SERVER.parse().expect("an ID");
            let token = JoinToken::new(Zeroizing::new(secret), roots.into_iter().map(RootHash), server);
            let written = token.expose_secret();
            let read: JoinToken = format!(" {}\n", *written).parse().expect("read");
            prop_assert_eq!(read.expose_secret(), written);
        }

        #[test]
        fn no_text_breaks_the_reader(text in "(mesh-join-v1\\.)?.{0,300}") {
            let _ = text.parse::<JoinToken>();
        }
    }
}
