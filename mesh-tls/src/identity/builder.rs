//! Puts an identity together.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::clock::{SystemClock, WallClock};
use mesh_core::{EventBus, SpiffeId, live};

use super::driver::Keeper;
use super::epoch::Compiler;
use super::peers::LivePeers;
use super::renewal::{First, Renewal};
use super::{Identity, IdentityError};
use crate::authority::{AnyAuthority, CertAuthority, DnsName, Follower};
use crate::key::KeyType;
use crate::policy::TlsPolicy;
use crate::rotation;
use crate::store::{AnyStore, CertStore, MemoryStore};

/// How long a certificate is asked to be good for. From the document.
const TTL: Duration = Duration::from_secs(90 * 86_400);

/// Puts an [`Identity`] together. Everything but the authority has a default.
#[must_use = "there is no identity before `start`"]
#[derive(Debug)]
pub struct IdentityBuilder {
    id: SpiffeId,
    authority: Option<AnyAuthority>,
    store: AnyStore,
    policy: TlsPolicy,
    key_type: KeyType,
    dns_names: Vec<DnsName>,
    ttl: Duration,
    renew_before: Option<Duration>,
    clock: Arc<dyn WallClock>,
    events: Option<EventBus>,
}

impl IdentityBuilder {
    pub(super) fn new(id: SpiffeId) -> Self {
        Self {
            id,
            authority: None,
            store: AnyStore::new(MemoryStore::new()),
            policy: TlsPolicy::default(),
            key_type: KeyType::default(),
            dns_names: Vec::new(),
            ttl: TTL,
            renew_before: None,
            clock: Arc::new(SystemClock),
            events: None,
        }
    }

    /// Who signs, and says whom to trust.
    pub fn authority(mut self, authority: impl CertAuthority) -> Self {
        self.authority = Some(AnyAuthority::new(authority));
        self
    }

    /// Where key and certificate are kept over a restart. Default: nowhere; a restart asks for a new certificate.
    pub fn store(mut self, store: impl CertStore) -> Self {
        self.store = AnyStore::new(store);
        self
    }

    /// What of TLS is spoken.
    pub fn policy(mut self, policy: TlsPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The kind of key. Default: ECDSA on P-256.
    pub fn key_type(mut self, key_type: KeyType) -> Self {
        self.key_type = key_type;
        self
    }

    /// A DNS name that the certificate holds too: for clients that know no SPIFFE IDs.
    pub fn dns_name(mut self, name: DnsName) -> Self {
        self.dns_names.push(name);
        self
    }

    /// How long a certificate is asked to be good for. Default: 90 days. The authority may give less.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long before its end a certificate is renewed; it begins a twentieth to a tenth earlier. Default: 7
    /// days, or a third of a lifetime under 14 days.
    pub fn renew_before(mut self, before: Duration) -> Self {
        self.renew_before = Some(before);
        self
    }

    /// What time it is.
    pub fn clock(mut self, clock: impl WallClock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Who is told of new certificates, of such that end and are not renewed, and of peers whose connections end.
    pub fn events(mut self, events: EventBus) -> Self {
        self.events = Some(events);
        self
    }

    /// Gets the certificate, from the store or from the authority, and keeps it fresh from then on. Must be called
    /// within a tokio runtime, which has to live as long as the identity is to be renewed.
    ///
    /// # Errors
    /// There is no authority, it signs nothing, or what it signed cannot be used.
    pub async fn start(self) -> Result<Identity, IdentityError> {
        let Some(authority) = self.authority else {
            return Err(IdentityError::new(format!(
                "nobody signs for {}: name an authority, as Identity::builder(id).authority(LocalCa::open_or_init(…)?)",
                self.id
            )));
        };
        let compiler = Compiler::new(self.id.clone(), &self.policy, self.clock)?;
        let mut renewal = Renewal {
            compiler,
            authority,
            follower: Follower::drawn(self.id.clone()),
            store: self.store,
            key_type: self.key_type,
            dns_names: self.dns_names,
            ttl: self.ttl,
            before: self
                .renew_before
                .unwrap_or_else(|| rotation::renew_before(self.ttl)),
            events: self.events.clone(),
        };
        let First { state, epoch, saved } = renewal.first().await?;
        let mut keeper = Keeper::new(renewal, state, &epoch);
        keeper.take_saved(saved);
        let (tell_status, status) = live(keeper.first_status(&epoch));
        let peers = LivePeers::new(epoch.trust_number, self.events);
        let (publisher, epoch) = live(epoch);
        Ok(Identity::new(
            self.id,
            (epoch, status, peers),
            keeper.run(publisher, tell_status),
        ))
    }
}
