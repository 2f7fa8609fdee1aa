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
        /// Its address: `https`, without a path.
        url: HttpUrl,
        /// What this proxy joins with while it has no certificate that counts.
        join: Join,
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

/// What a proxy joins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Join {
    /// This token: it is one, and may be over.
    Token(Secret),
    /// The token in this file, read whenever it is needed.
    File(PathBuf),
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
    let url = fields.required("url", parsed(CA_URL, ca_url));
    let token = fields.optional("joinToken", text(TOKEN));
    let file = fields.optional(
        "joinTokenFile",
        path("the path of a file that holds a join token"),
    );
    if fields.has("joinToken") && fields.has("joinTokenFile") {
        let wrong = Wrong::expected("one of both");
        fields.refuse("joinTokenFile", "joinTokenFile beside joinToken", wrong);
    } else if !fields.has("joinToken") && !fields.has("joinTokenFile") {
        let wrong = Wrong::expected("joinToken, or joinTokenFile with a file that may be written later");
        fields.missing("joinToken", wrong);
    }
    // What it says is looked at when it is used: a problem here would be told with the line, and the token in it.
    let join = match (token, file) {
        (Some(token), _) => Join::Token(Secret::new(&token)),
        (None, Some(file)) => Join::File(file),
        (None, None) => return None,
    };
    Some(Authority::Remote { url: url?, join })
}

const TOKEN: &str = "a join token, as mesh-proxy cert token prints it";
const CA_URL: &str = "the URL of a CA, as https://ca.example:9443";

fn ca_url(text: &str) -> Result<HttpUrl, Wrong> {
    let wrong = || Wrong::expected(CA_URL);
    let url = identity::http_url(text).map_err(|_| wrong())?;
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("https") {
        return Err(wrong().because("certificates are asked for over https only"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong().because("it has a path, which the API brings itself"));
    }
    Ok(url)
}

fn read_kubernetes(fields: &mut Fields<'_>) -> Option<Authority> {
    let secret = fields.required("secret", text("the name of a secret"))?;
    Some(Authority::Kubernetes { secret })
}

fn read_spire(fields: &mut Fields<'_>) -> Option<Authority> {
    let socket = fields.required("socket", path("the path of the agent's socket"))?;
    Some(Authority::Spire { socket })
}
