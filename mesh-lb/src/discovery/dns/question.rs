//! One lookup: everything that is asked to answer one question.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join;
use futures_util::{StreamExt as _, stream};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use tokio::time::{Instant, timeout};

use super::answer::Target;
use super::memory::Memory;
use super::name::{DnsName, Records};
use super::records;
use super::resolve::{Failure, Resolve};
use super::search::{absolute, candidates};

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

/// What one name has.
struct Host {
    addresses: Vec<IpAddr>,
    ttl: u32,
    doubt: Option<String>,
}

/// What is asked, and until when.
pub(super) struct Question<'a> {
    resolve: &'a Resolve,
    before: &'a Memory,
    deadline: Instant,
}

impl<'a> Question<'a> {
    pub(super) fn new(resolve: &'a Resolve, before: &'a Memory, deadline: Instant) -> Self {
        Self {
            resolve,
            before,
            deadline,
        }
    }

    /// The answer for the first of the possible names that has one.
    ///
    /// After a name that fails, which is not one that does not exist, the search goes on, as a system's resolver
    /// does. But not if that name is the one that answered last: the next could be another service.
    pub(super) async fn first(&self, name: &DnsName, found: &mut Memory) -> Result<Answer, Failure> {
        let mut failed = None;
        for candidate in candidates(&name.name, &self.resolve.search, self.resolve.ndots) {
            let answer = match name.records {
                Records::Addresses { port } => self.addresses(&candidate, port, found).await,
                Records::Srv => self.services(&candidate, found).await,
            };
            match answer {
                Ok(Some(answer)) => {
                    found.answered = Some(candidate);
                    return Ok(answer);
                }
                Ok(None) => {}
                Err(failure) if self.before.answered.as_ref() == Some(&candidate) => return Err(failure),
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

    async fn addresses(&self, name: &Name, port: u16, found: &mut Memory) -> Result<Option<Answer>, Failure> {
        Ok(self.host(name, found).await?.map(|host| Answer {
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
    async fn host(&self, name: &Name, found: &mut Memory) -> Result<Option<Host>, Failure> {
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
                    if let Some(known) = self.before.recall(name, family) {
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

    /// The records of one kind; nothing if there are none. Each wait takes half of the time that is left, so that
    /// silence in one place leaves time to ask in another.
    async fn records(&self, name: &Name, kind: RecordType) -> Result<Option<Lookup>, Failure> {
        let patience = self.deadline.saturating_duration_since(Instant::now()) / 2;
        timeout(patience, self.resolve.records(name, kind))
            .await
            .unwrap_or_else(|_| Err(Failure(format!("{kind}: no answer in time"))))
    }

    async fn services(&self, name: &Name, found: &mut Memory) -> Result<Option<Answer>, Failure> {
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
            .map(|service| self.target(service, additional))
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
    async fn target(&self, service: SRV, additional: &[Record]) -> (Target, u32, Memory, Option<String>) {
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
        match self.host(&name, &mut found).await {
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
