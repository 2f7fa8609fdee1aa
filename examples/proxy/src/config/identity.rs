//! Who is who: namespace, trust domain, this process, and names and addresses of others.

use std::fmt;

use super::context::Wrong;
use super::defaults;
use super::grammar::{self, SERVICE};
use super::shape::{Fields, parsed};
use mesh_core::{ServiceName, SpiffeId};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

text! {
    /// A namespace of Kubernetes: 1 to 63 lower-case letters, digits and `-`.
    Namespace
}

text! {
    /// The trust domain of SPIFFE IDs: 1 to 255 lower-case letters, digits, `.`, `-` and `_`.
    TrustDomain
}

text! {
    /// A DNS name in lower case.
    DnsName
}

text! {
    /// An `http` or `https` URL.
    HttpUrl
}

/// What this process is to its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Its service. Default `service-mesh-proxy`.
    pub service: ServiceName,
    /// Its SPIFFE ID: `spiffe://<trustDomain>/ns/<namespace>/sa/<service>`.
    pub id: SpiffeId,
}

pub(super) const NAMESPACE: &str =
    "a namespace: 1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit";
pub(super) const TRUST_DOMAIN: &str = "a trust domain: 1 to 255 lower-case letters, digits, '.', '-' and '_'";
pub(super) const DNS_NAME: &str = "a DNS name, as api.example.org";
pub(super) const URL: &str = "a URL, as http://127.0.0.1:4318";

pub(super) fn namespace(text: &str) -> Result<Namespace, Wrong> {
    // A namespace is named as a service is.
    match ServiceName::new(text) {
        Ok(_) => Ok(Namespace(text.into())),
        Err(_) => Err(Wrong::expected(NAMESPACE)),
    }
}

pub(super) fn trust_domain(text: &str) -> Result<TrustDomain, Wrong> {
    let wrong = || Wrong::expected(TRUST_DOMAIN);
    if let Some(rest) = text.strip_prefix("spiffe://") {
        return Err(wrong().meant(rest.split('/').next()));
    }
    match format!("spiffe://{text}").parse::<SpiffeId>() {
        Ok(id) if id.path().is_empty() => Ok(TrustDomain(text.into())),
        _ => Err(wrong()),
    }
}

pub(super) fn dns_name(text: &str) -> Result<DnsName, Wrong> {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let edge = |c: char| c != '-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inner)
            && label.starts_with(edge)
            && label.ends_with(edge)
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let numeric = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let wrong = Wrong::expected(DNS_NAME);
    match name.len() <= 253 && !numeric && name.split('.').all(label) {
        true => Ok(DnsName(name.to_ascii_lowercase().into())),
        false if text.contains(':') => Err(wrong.because("a name has neither scheme nor port")),
        false => Err(wrong),
    }
}

pub(super) fn http_url(text: &str) -> Result<HttpUrl, Wrong> {
    let wrong = || Wrong::expected(URL);
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let with_host = uri.host().is_some_and(|host| !host.is_empty());
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(wrong().because("it holds a name or password, which would be written to logs"));
    }
    match uri.scheme_str() {
        Some("http" | "https") if with_host => Ok(HttpUrl(text.into())),
        Some("http" | "https") => Err(wrong().because("it has no host")),
        _ => Err(wrong().because("it does not begin with http:// or https://")),
    }
}

/// What `identity.service` says; the ID follows from it.
pub(super) fn read_service(fields: &mut Fields<'_>) -> Option<ServiceName> {
    let default = ServiceName::new(defaults::IDENTITY).ok()?;
    Some(fields.or("service", parsed(SERVICE, grammar::service_name), default))
}
