//! Asks the name servers, through hickory's resolver.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join;
use futures_util::{StreamExt as _, stream};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use mesh_core::discovery::DiscoverError;
use tokio::time::timeout;

use super::answer::Target;
use super::memory::Memory;
use super::name::{DnsName, Records};
use super::records;

/// How many targets of SRV records are asked for at the same time.
const AT_ONCE: usize = 16;

/// How many SRV records of an answer are looked at.
const MAX_SERVICES: usize = 1024;

/// What a lookup found: at least one address.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) targets: Vec<Target>,
    pub(super) ttl: Duration,
    /// Which part of it was not answered now, and why.
    pub(super) doubt: Option<String>,
}

pub(super) struct Resolve {
    /// All servers, the fastest first.
    resolver: TokioResolver,
    /// Each server by itself, if there are several.
    one_by_one: Vec<TokioResolver>,
    search: Vec<Name>,
    ndots: usize,
}

/// What one name has.
struct Host {
    addresses: Vec<IpAddr>,
    ttl: u32,
    doubt: Option<String>,
}

impl Resolve {
    pub(super) fn system() -> Result<Self, DiscoverError> {
        let (config, options) = read_system_conf().map_err(|error| {
            DiscoverError::new("the system's configuration of DNS cannot be read").with_source(error)
        })?;
        Self::new(config, options)
    }

    pub(super) fn servers(servers: impl IntoIterator<Item = SocketAddr>) -> Result<Self, DiscoverError> {
        let server = |address: SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        };
        let servers: Vec<NameServerConfig> = servers.into_iter().map(server).collect();
        if servers.is_empty() {
            return Err(DiscoverError::new(
                "no name server is given; expected at least one",
            ));
        }
        let mut options = ResolverOpts::default();
        options.timeout = Duration::from_secs(2);
        options.use_hosts_file = ResolveHosts::Never;
        Self::new(ResolverConfig::from_name_servers(servers), options)
    }

    fn new(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, DiscoverError> {
        // The schedule follows the TTLs. An answer from a cache would only be an older one, most of all when
        // somebody has reason to doubt it.
        options.cache_size = 0;
        let search = config.search().to_vec();
        let ndots = options.ndots;
        let resolver = |config: ResolverConfig| {
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                .with_options(options.clone())
                .build()
                .map_err(|error| DiscoverError::new("the resolver cannot be made").with_source(error))
        };
        let one_by_one = match config.name_servers() {
            [] | [_] => Vec::new(),
            several => several
                .iter()
                .map(|server| resolver(ResolverConfig::from_name_servers(vec![server.clone()])))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            resolver: resolver(config)?,
            one_by_one,
            search,
            ndots,
        })
    }

    /// Looks a name up. What was found is remembered; after a failure, what was remembered before.
    pub(super) async fn lookup(
        &self,
        name: &DnsName,
        memory: &mut Memory,
        limit: Duration,
    ) -> Result<Answer, DiscoverError> {
        let mut found = Memory::default();
        let answer = timeout(limit, self.first(name, memory, &mut found))
            .await
            .unwrap_or_else(|_| Err(Failure(format!("no answer within {limit:?}"))));
        match answer {
            Ok(answer) => {
                *memory = found;
                Ok(answer)
            }
            Err(failure) => Err(DiscoverError::new(format!(
                "the DNS lookup of {name} failed: {failure}"
            ))),
        }
    }

    /// The answer for the first of the possible names that has one.
    ///
    /// After a name that fails, which is not one that does not exist, the search goes on, as a system's resolver
    /// does. But not if that name is the one that answered last: the next could be another service.
    async fn first(&self, name: &DnsName, before: &Memory, found: &mut Memory) -> Result<Answer, Failure> {
        let mut failed = None;
        for candidate in candidates(&name.name, &self.search, self.ndots) {
            let answer = match name.records {
                Records::Addresses { port } => self.addresses(&candidate, port, before, found).await,
                Records::Srv => self.services(&candidate, before, found).await,
            };
            match answer {
                Ok(Some(answer)) => {
                    found.answered = Some(candidate);
                    return Ok(answer);
                }
                Ok(None) => {}
                Err(failure) if before.answered.as_ref() == Some(&candidate) => return Err(failure),
                Err(failure) => failed = Some(failure),
            }
        }
        let nothing = || {
            Failure::new(match name.records {
                Records::Addresses { .. } => "there is no such name, or it has no A and no AAAA record",
                Records::Srv => "there is no such name, or it has no SRV record whose target has an address",
            })
        };
        Err(failed.unwrap_or_else(nothing))
    }

    async fn addresses(
        &self,
        name: &Name,
        port: u16,
        before: &Memory,
        found: &mut Memory,
    ) -> Result<Option<Answer>, Failure> {
        Ok(self.host(name, before, found).await?.map(|host| Answer {
            targets: vec![Target {
                priority: 0,
                weight: 0,
                port,
                addresses: host.addresses,
            }],
            ttl: Duration::from_secs(host.ttl.into()),
            doubt: host.doubt,
        }))
    }

    /// A name's addresses of both families. A family that fails answers as it did last.
    async fn host(&self, name: &Name, before: &Memory, found: &mut Memory) -> Result<Option<Host>, Failure> {
        let families = join(
            self.family(name, RecordType::A),
            self.family(name, RecordType::AAAA),
        )
        .await;
        let (mut addresses, mut ttl) = (Vec::new(), None);
        let (mut failed, mut doubt) = (None, None);
        for (family, answer) in [(RecordType::A, families.0), (RecordType::AAAA, families.1)] {
            match answer {
                Ok(Some((known, good_for))) => {
                    ttl = Some(ttl.unwrap_or(u32::MAX).min(good_for));
                    addresses.extend(&known);
                    found.keep(name, family, known);
                }
                Ok(None) => {}
                Err(failure) => {
                    if let Some(known) = before.recall(name, family) {
                        addresses.extend(known);
                        found.keep(name, family, known.clone());
                        doubt = Some(format!("{name}: {failure}"));
                    }
                    failed = Some(failure);
                }
            }
        }
        match (ttl, failed) {
            (Some(ttl), _) => Ok(Some(Host {
                addresses,
                ttl,
                doubt,
            })),
            (None, Some(failure)) => Err(failure),
            (None, None) => Ok(None),
        }
    }

    /// A name's addresses of one family and for how many seconds they are good; nothing if it has none.
    async fn family(&self, name: &Name, family: RecordType) -> Result<Option<(Vec<IpAddr>, u32)>, Failure> {
        let records = self.records(name, family).await?;
        Ok(records.and_then(|lookup| records::addresses(lookup.answers(), name, family)))
    }

    async fn records(&self, name: &Name, kind: RecordType) -> Result<Option<Lookup>, Failure> {
        let mut answer = self.resolver.lookup(name.clone(), kind).await;
        // The resolver takes a refusal for an answer, though another server may know.
        let mut others = self.one_by_one.iter();
        while let Err(NetError::Dns(DnsError::ResponseCode(_))) = answer
            && let Some(other) = others.next()
        {
            answer = other.lookup(name.clone(), kind).await;
        }
        match answer {
            Ok(lookup) => Ok(Some(lookup)),
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                Ok(None)
            }
            Err(error) => Err(Failure(format!("{kind}: {error}"))),
        }
    }

    async fn services(
        &self,
        name: &Name,
        before: &Memory,
        found: &mut Memory,
    ) -> Result<Option<Answer>, Failure> {
        let Some(lookup) = self.records(name, RecordType::SRV).await? else {
            return Ok(None);
        };
        let (mut services, mut ttl) = records::services(lookup.answers(), name);
        if services.is_empty() {
            return Ok(None);
        }
        services.retain(|service| !service.target.is_root());
        if services.is_empty() {
            return Err(Failure::new(
                "its SRV record says that the service is not offered here (the target is \".\")",
            ));
        }
        services
            .sort_unstable_by(|a, b| (a.priority, &a.target, a.port).cmp(&(b.priority, &b.target, b.port)));
        services.truncate(MAX_SERVICES);
        let additional = lookup.additionals();
        let targets = stream::iter(services)
            .map(|service| self.target(service, additional, before))
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let (mut answered, mut doubt) = (Vec::new(), None);
        for (target, good_for, part, failure) in targets {
            ttl = ttl.min(good_for);
            found.extend(part);
            answered.push(target);
            doubt = doubt.or(failure);
        }
        if answered.iter().all(|target| target.addresses.is_empty()) {
            return doubt.map_or(Ok(None), |doubt| Err(Failure(doubt)));
        }
        Ok(Some(Answer {
            targets: answered,
            ttl: Duration::from_secs(ttl.into()),
            doubt,
        }))
    }

    /// The addresses of a service's target: those that came along with the answer, or its own. A target that
    /// fails has the addresses it had last.
    async fn target(
        &self,
        service: SRV,
        additional: &[Record],
        before: &Memory,
    ) -> (Target, u32, Memory, Option<String>) {
        const FAMILIES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];
        let name = absolute(service.target.to_lowercase());
        let mut target = Target {
            priority: service.priority,
            weight: service.weight,
            port: service.port,
            addresses: Vec::new(),
        };
        let mut found = Memory::default();
        let mut ttl = u32::MAX;
        for family in FAMILIES {
            if let Some((addresses, good_for)) = records::addresses(additional, &name, family) {
                ttl = ttl.min(good_for);
                target.addresses.extend(&addresses);
                found.keep(&name, family, addresses);
            }
        }
        if !target.addresses.is_empty() {
            return (target, ttl, found, None);
        }
        match self.host(&name, before, &mut found).await {
            Ok(Some(host)) => {
                target.addresses = host.addresses;
                (target, host.ttl, found, host.doubt)
            }
            Ok(None) => (target, ttl, found, None),
            Err(failure) => {
                let known = FAMILIES.iter().filter_map(|family| found.recall(&name, *family));
                target.addresses.extend(known.flatten());
                (target, ttl, found, Some(format!("{name}: {failure}")))
            }
        }
    }
}

/// The names to try, as a system's resolver does: a name with a dot at its end by itself; one with enough dots
/// first by itself and then in the search domains; any other the other way around.
fn candidates(name: &Name, search: &[Name], ndots: usize) -> Vec<Name> {
    if name.is_fqdn() {
        return vec![name.clone()];
    }
    let itself = absolute(name.clone());
    // A name too long for a domain is not in it.
    let searched = search
        .iter()
        .filter_map(|domain| name.clone().append_domain(domain).ok())
        .map(absolute);
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let mut names: Vec<Name> = match dots >= ndots {
        true => std::iter::once(itself).chain(searched).collect(),
        false => searched.chain(std::iter::once(itself)).collect(),
    };
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn absolute(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}

/// Why there is no answer.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn new(message: &str) -> Self {
        Self(message.to_owned())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolve")
            .field("search", &self.search)
            .field("ndots", &self.ndots)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &str, search: &[&str], ndots: usize) -> Vec<String> {
        let name_of = |text: &str| Name::from_ascii(text).expect(text);
        let search: Vec<Name> = search.iter().map(|domain| name_of(domain)).collect();
        let names = candidates(&name_of(name), &search, ndots);
        names.iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn a_name_with_a_dot_at_its_end_is_the_only_one_tried() {
        assert_eq!(tried("orders.", &["svc.example."], 1), ["orders."]);
    }

    #[test]
    fn a_name_with_few_dots_is_tried_in_the_search_domains_first() {
        let search = ["dept-barc.svc.example", "svc.example.", "svc.example."];
        assert_eq!(
            tried("orders", &search, 1),
            ["orders.dept-barc.svc.example.", "orders.svc.example.", "orders."]
        );
        assert_eq!(
            tried("orders.example", &search[1..], 1),
            ["orders.example.", "orders.example.svc.example."]
        );
        assert_eq!(
            tried("orders.example", &search[1..], 5),
            ["orders.example.svc.example.", "orders.example."]
        );
        assert_eq!(tried("orders", &[], 1), ["orders."]);
    }

    #[test]
    fn a_search_domain_that_makes_a_name_too_long_is_not_tried() {
        let long = "x".repeat(63) + "." + &"y".repeat(63) + "." + &"z".repeat(63) + "." + &"w".repeat(40);
        assert_eq!(
            tried("some.orders", &[&(long + ".example-of-length.")], 2),
            ["some.orders."]
        );
    }
}
