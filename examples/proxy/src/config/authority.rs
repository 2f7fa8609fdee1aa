//! `mutualTLS.authority`: who signs certificates.

use std::fmt;
use std::path::PathBuf;

use super::context::Wrong;
use super::identity;
use super::identity::HttpUrl;
use super::shape::{Fields, object, parsed, path, text};

/// Who signs certificates. Default: [`Authority::Local`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A CA of the mesh's own, kept in `stateDir`.
    Local,
    /// Certificates someone else puts into files. They are watched.
    Files {
        /// The certificate chain, PEM.
        cert: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
        /// The roots, PEM.
        ca: PathBuf,
        /// The revocation list, PEM or DER.
        crl: Option<PathBuf>,
    },
    /// A CA at another place.
    Remote {
        /// Its address.
        url: HttpUrl,
        /// What proves that this proxy may join.
        join_token: Secret,
    },
    /// A secret of Kubernetes.
    Kubernetes {
        /// Its name.
        secret: Box<str>,
    },
    /// A SPIRE agent.
    Spire {
        /// Its socket.
        socket: PathBuf,
    },
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One of the kinds; local if none is written.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Authority> {
    const KINDS: [&str; 5] = ["local", "files", "remote", "kubernetes", "spire"];
    let local = fields.optional("local", object(|_| Some(Authority::Local)));
    let files = fields.optional("files", object(read_files));
    let remote = fields.optional("remote", object(read_remote));
    let kubernetes = fields.optional("kubernetes", object(read_kubernetes));
    let spire = fields.optional("spire", object(read_spire));
    let written: Vec<&'static str> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
    if let [_, second, ..] = *written.as_slice() {
        let found = format!("{} authorities: {}", written.len(), written.join(", "));
        fields.refuse(second, found, Wrong::expected("one authority"));
    }
    if written.is_empty() {
        return Some(Authority::Local);
    }
    local.or(files).or(remote).or(kubernetes).or(spire)
}

fn read_files(fields: &mut Fields<'_>) -> Option<Authority> {
    let cert = fields.required("cert", path("the path of a certificate chain, PEM"));
    let key = fields.required("key", path("the path of a private key, PEM"));
    let ca = fields.required("ca", path("the path of the roots, PEM"));
    let crl = fields.optional("crl", path("the path of a revocation list"));
    Some(Authority::Files {
        cert: cert?,
        key: key?,
        ca: ca?,
        crl,
    })
}

fn read_remote(fields: &mut Fields<'_>) -> Option<Authority> {
    let url = fields.required("url", parsed(identity::URL, identity::http_url));
    let join_token = fields.required("joinToken", text("a token"));
    Some(Authority::Remote {
        url: url?,
        join_token: Secret::new(&join_token?),
    })
}

fn read_kubernetes(fields: &mut Fields<'_>) -> Option<Authority> {
    let secret = fields.required("secret", text("the name of a secret"))?;
    Some(Authority::Kubernetes { secret })
}

fn read_spire(fields: &mut Fields<'_>) -> Option<Authority> {
    let socket = fields.required("socket", path("the path of the agent's socket"))?;
    Some(Authority::Spire { socket })
}
