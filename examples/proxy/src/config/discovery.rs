//! `services[].discovery`: where endpoints come from that are not listed.

use std::path::PathBuf;
use std::time::Duration;

use mesh_core::{ServiceName, Version};

use super::context::Wrong;
use super::defaults;
use super::grammar::{self, SERVICE};
use super::identity;
use super::identity::DnsName;
use super::shape::{Fields, duration, map_of, object, parsed, path, text};

/// Where endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// EndpointSlices of Kubernetes.
    Kubernetes {
        /// How an endpoint's version is known.
        versions: VersionsFrom,
    },
    /// A DNS name.
    Dns {
        /// The name; `None`: the service's own.
        name: Option<DnsName>,
        /// How often it is looked up; `None`: as long as the answer says it is good for.
        interval: Option<Duration>,
    },
    /// A file that is watched.
    File {
        /// The file.
        path: PathBuf,
    },
}

/// How an endpoint's version is known in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionsFrom {
    /// The value of this label of its pod. Default `version`.
    Label(Box<str>),
    /// The Kubernetes service it belongs to.
    Services(Vec<(Version, ServiceName)>),
}

/// One of the kinds.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Discovery> {
    const KINDS: [&str; 3] = ["kubernetes", "dns", "file"];
    let kubernetes = fields.optional("kubernetes", object(read_kubernetes));
    let dns = fields.optional("dns", object(read_dns));
    let file = fields.optional("file", object(read_file));
    let written: Vec<&'static str> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
    match *written.as_slice() {
        [] => fields.refuse_whole(
            "no kind of discovery",
            Wrong::expected("one of kubernetes, dns, file"),
        ),
        [_] => {}
        [_, second, ..] => {
            let found = format!("{} kinds of discovery: {}", written.len(), written.join(", "));
            fields.refuse(second, found, Wrong::expected("one kind of discovery"));
        }
    }
    kubernetes.or(dns).or(file)
}

fn read_kubernetes(fields: &mut Fields<'_>) -> Option<Discovery> {
    let label = fields.optional("versionLabel", text("the name of a label"));
    let services = map_of(grammar::version, parsed(SERVICE, grammar::service_name));
    let services = fields.optional("versions", services);
    if fields.has("versionLabel") && fields.has("versions") {
        let wrong = Wrong::expected("one way to know a version");
        fields.refuse("versions", "both versionLabel and versions", wrong);
    }
    let versions = match services {
        Some(services) => VersionsFrom::Services(services),
        None => VersionsFrom::Label(label.unwrap_or_else(|| defaults::VERSION_LABEL.into())),
    };
    Some(Discovery::Kubernetes { versions })
}

fn read_dns(fields: &mut Fields<'_>) -> Option<Discovery> {
    let name = fields.optional("name", parsed(identity::DNS_NAME, identity::dns_name));
    let interval = fields.optional("interval", duration());
    Some(Discovery::Dns { name, interval })
}

fn read_file(fields: &mut Fields<'_>) -> Option<Discovery> {
    let path = fields.required("path", path("the path of a file"))?;
    Some(Discovery::File { path })
}
