//! Asks the name servers, through hickory's resolver.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use mesh_core::discovery::DiscoverError;
use tokio::time::Instant;

use super::memory::Memory;
use super::name::DnsName;
use super::question::{Answer, Question};

pub(super) struct Resolve {
    /// All servers, the fastest first.
    resolver: TokioResolver,
    /// Each server by itself, if there are several.
    one_by_one: Vec<TokioResolver>,
    pub(super) search: Vec<Name>,
    pub(super) ndots: usize,
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
        let question = Question::new(self, memory, Instant::now() + limit);
        let answer = question.first(name, &mut found).await;
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

    /// The records of one kind; nothing if there are none.
    pub(super) async fn records(&self, name: &Name, kind: RecordType) -> Result<Option<Lookup>, Failure> {
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
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

impl Failure {
    pub(super) fn new(message: &str) -> Self {
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
