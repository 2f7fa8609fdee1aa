//! Endpoints from DNS, looked up as often as the answers want it.

mod answer;
mod memory;
mod name;
mod question;
mod records;
mod resolve;
mod schedule;
mod search;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::EndpointSet;
use mesh_core::discovery::{Discover, DiscoverError};
use tokio::time::{Instant, sleep_until};

pub use self::name::{DnsName, DnsNameError};

use self::memory::Memory;
use self::question::Answer;
use self::resolve::Resolve;
use self::schedule::Schedule;
use super::Refresh;

/// How often a name is looked up, and what is taken of its answers.
///
/// ```
/// use std::time::Duration;
/// use mesh_lb::discovery::DnsSettings;
///
/// let mut settings = DnsSettings::default();
/// settings.interval = Some(Duration::from_secs(30));
/// assert_eq!(settings.min_interval, Duration::from_secs(1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsSettings {
    /// No two lookups of a name begin closer together, whatever the answer's TTL, failures and wishes. Default
    /// 1 s, at least 10 ms.
    pub min_interval: Duration,
    /// A TTL longer than this is not waited for. Default 5 min, at most a day.
    pub max_interval: Duration,
    /// Looks up at this interval instead of the TTL's. Default `None`.
    pub interval: Option<Duration>,
    /// How long a lookup may take, with all that belongs to it. Default 10 s.
    pub timeout: Duration,
    /// More endpoints than this are not taken. Default 1024.
    pub max_endpoints: usize,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            min_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(300),
            interval: None,
            timeout: Duration::from_secs(10),
            max_endpoints: 1024,
        }
    }
}

/// Looks up names. Clones share connections to the name servers.
///
/// ```
/// use mesh_core::discovery::Discover;
/// use mesh_lb::discovery::{Dns, DnsName};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let dns = Dns::servers(["10.96.0.10:53".parse()?])?;
/// // This name is known without asking anybody.
/// let mut local = dns.watch(DnsName::addresses("localhost.", 3001)?);
/// let found = local.next().await?;
/// assert_eq!(found.endpoints[0].address.to_string(), "127.0.0.1:3001");
/// // After a connection that could not be made: the endpoint may be gone.
/// local.refresh().ask();
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Dns {
    resolve: Arc<Resolve>,
    settings: DnsSettings,
}

impl Dns {
    /// Asks as this system is configured to: the servers, the search domains and the file of hosts. They are
    /// read now, and not again.
    ///
    /// # Errors
    /// The configuration cannot be read, or names no server.
    pub fn system() -> Result<Self, DiscoverError> {
        Ok(Self::of(Resolve::system()?))
    }

    /// Asks these servers, over UDP, and over TCP where an answer is too long. No search domains, no file of
    /// hosts.
    ///
    /// # Errors
    /// There is none.
    pub fn servers(servers: impl IntoIterator<Item = SocketAddr>) -> Result<Self, DiscoverError> {
        Ok(Self::of(Resolve::servers(servers)?))
    }

    fn of(resolve: Resolve) -> Self {
        Self {
            resolve: Arc::new(resolve),
            settings: DnsSettings::default(),
        }
    }

    /// With these settings, for what is watched from now on.
    #[must_use]
    pub fn with_settings(mut self, settings: DnsSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Follows a name.
    pub fn watch(&self, name: DnsName) -> DnsWatch {
        DnsWatch {
            name,
            schedule: Schedule::new(&self.settings, Instant::now()),
            resolve: Arc::clone(&self.resolve),
            settings: self.settings.clone(),
            refresh: Refresh::default(),
            random: fastrand::Rng::new(),
            memory: Memory::default(),
            lookup: None,
            doubt: None,
        }
    }
}

/// Follows one name.
///
/// It is looked up again when its answer's TTL ends, or a little earlier, and when it is
/// [asked for](Self::refresh); never more often than [`DnsSettings::min_interval`]. Every good answer is told,
/// changed or not, sorted, so that an unchanged answer is an equal set.
///
/// A lookup that fails and an answer without addresses are errors: whoever follows keeps the last set. An answer
/// with fewer addresses is taken. Where only a part of a lookup fails, as for one of the two address families or
/// one target of several, what that part answered last counts on.
pub struct DnsWatch {
    name: DnsName,
    schedule: Schedule,
    resolve: Arc<Resolve>,
    settings: DnsSettings,
    refresh: Refresh,
    random: fastrand::Rng,
    memory: Memory,
    /// What is in flight, and goes on in the next call if one is dropped.
    lookup: Option<Lookup>,
    /// Which part of the newest answer is not new.
    doubt: Option<String>,
}

type Lookup = Pin<Box<dyn Future<Output = (Memory, Result<Answer, DiscoverError>)> + Send>>;

impl DnsWatch {
    /// Has the name looked up before it is time, at most once in [`DnsSettings::min_interval`].
    pub fn refresh(&self) -> Refresh {
        self.refresh.clone()
    }

    /// Shares the wish for a lookup with other sources.
    #[must_use]
    pub fn with_refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }

    async fn due(&mut self) {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(self.schedule.due()) => return,
                () = self.refresh.asked() => self.schedule.wanted(Instant::now()),
            }
        }
    }

    fn start(&mut self) -> Lookup {
        self.schedule.started(Instant::now());
        let (resolve, name) = (Arc::clone(&self.resolve), self.name.clone());
        let mut memory = std::mem::take(&mut self.memory);
        let timeout = self.settings.timeout.min(schedule::LONGEST);
        Box::pin(async move {
            let answer = resolve.lookup(&name, &mut memory, timeout).await;
            (memory, answer)
        })
    }

    fn tell_doubt(&mut self, doubt: Option<String>) {
        if let Some(doubt) = &doubt
            && self.doubt.as_ref() != Some(doubt)
        {
            tracing::warn!(name = %self.name, %doubt, "a part of a DNS lookup failed; what it answered before stays in use");
        }
        self.doubt = doubt;
    }
}

impl Discover for DnsWatch {
    async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
        let lookup = match &mut self.lookup {
            Some(lookup) => lookup,
            None => {
                self.due().await;
                let lookup = self.start();
                self.lookup.insert(lookup)
            }
        };
        let (memory, answer) = lookup.await;
        self.lookup = None;
        self.memory = memory;
        let now = Instant::now();
        match answer {
            Ok(answer) => {
                let ttl = if answer.doubt.is_some() {
                    answer.ttl.min(DOUBT_AGAIN)
                } else {
                    answer.ttl
                };
                self.schedule.answered(ttl, now, &mut self.random);
                self.tell_doubt(answer.doubt);
                Ok(answer::endpoints(&answer.targets, self.settings.max_endpoints))
            }
            Err(error) => {
                self.schedule.failed();
                Err(error)
            }
        }
    }
}

/// When an answer is asked for again that is not all new.
const DOUBT_AGAIN: Duration = Duration::from_secs(5);

impl std::fmt::Debug for DnsWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsWatch")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
