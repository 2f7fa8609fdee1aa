//! What is spoken to a service's endpoints.

use std::path::PathBuf;

use super::context::Wrong;
use super::identity;
use super::identity::DnsName;
use super::shape::{Fields, object, parsed, path};

/// What is spoken to a service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamTls {
    /// Plaintext.
    Off,
    /// Mutual TLS: `enableMutualTLS: true`.
    Mutual {
        /// The DNS name an endpoint proves; `None`: the service's identity in the mesh.
        server_name: Option<DnsName>,
        /// A file of further roots, PEM.
        ca: Option<PathBuf>,
    },
    /// TLS to an outside service: `external: true` with `tls`.
    External {
        /// The DNS name an endpoint proves.
        server_name: DnsName,
        /// A file of further roots, PEM.
        ca: Option<PathBuf>,
    },
}

/// What a service's `tls` says.
#[derive(Debug, Default)]
struct Names {
    server_name: Option<DnsName>,
    ca: Option<PathBuf>,
}

/// What a service's `enableMutualTLS`, `external` and `tls` say together; these keys are the service's own.
pub(super) fn read(
    fields: &mut Fields<'_>,
    mutual: bool,
    external: bool,
    has_certificates: bool,
) -> Option<UpstreamTls> {
    let names = fields.optional("tls", object(read_names));
    if mutual && external {
        let wrong = Wrong::expected("one of both: a service outside of the mesh has no identity in it");
        fields.refuse("enableMutualTLS", "enableMutualTLS beside external", wrong);
    } else if mutual && !has_certificates {
        let wrong =
            Wrong::expected("false, or mutualTLS with enabled: true, which gives this proxy its certificate");
        fields.refuse("enableMutualTLS", "mutual TLS without certificates", wrong);
    }
    if !fields.has("tls") {
        let mutual_tls = UpstreamTls::Mutual {
            server_name: None,
            ca: None,
        };
        return Some(if mutual { mutual_tls } else { UpstreamTls::Off });
    }
    let Names { server_name, ca } = names?;
    if mutual {
        return Some(UpstreamTls::Mutual { server_name, ca });
    }
    if !external {
        fields.advise(
            "tls",
            "it has no effect while enableMutualTLS and external are false",
        );
        return Some(UpstreamTls::Off);
    }
    match server_name {
        Some(server_name) => Some(UpstreamTls::External { server_name, ca }),
        None => {
            let wrong = Wrong::expected("serverName: the DNS name that the outside service proves");
            fields.refuse("tls", "no \"serverName\"", wrong);
            None
        }
    }
}

fn read_names(fields: &mut Fields<'_>) -> Option<Names> {
    let server_name = fields.optional("serverName", parsed(identity::DNS_NAME, identity::dns_name));
    let ca = fields.optional("ca", path("the path of a file of further roots, PEM"));
    Some(Names { server_name, ca })
}
