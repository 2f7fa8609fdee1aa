//! What a table is asked.

use std::net::IpAddr;

use mesh_core::{MeshContext, RequestHead};

/// The source of a request whose caller has proven nothing.
pub(super) const NOBODY: &str = "unknown";

/// What a table is asked: a request, and what is known of it besides. The same always decides the same.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Asking<'r> {
    /// The request.
    pub head: RequestHead<'r>,
    /// The service the caller proved to be ([`MeshContext::source_service`]); `unknown` without an identity.
    pub source_service: &'r str,
    /// The client's address ([`MeshContext::client_address`]): what keeps a client without cookies to one
    /// version.
    pub client: Option<IpAddr>,
    /// A number uniform over all of `u128`: what draws, and what tells a new client from others.
    pub random: u128,
}

impl<'r> Asking<'r> {
    /// A request of this source, by nobody known, with 0 for a random number.
    pub fn new(head: &RequestHead<'r>, source_service: &'r str) -> Self {
        Self {
            head: *head,
            source_service,
            client: None,
            random: 0,
        }
    }

    /// A request that layers in front have found this out about, with a random number of this thread.
    pub fn of(head: &RequestHead<'r>, context: &'r MeshContext) -> Self {
        Self::new(head, context.source_service())
            .with_client(context.client_address())
            .with_random(fastrand::u128(..))
    }

    /// The same, from this address.
    #[must_use]
    pub fn with_client(mut self, client: Option<IpAddr>) -> Self {
        self.client = client;
        self
    }

    /// The same with this random number.
    #[must_use]
    pub fn with_random(mut self, random: u128) -> Self {
        self.random = random;
        self
    }
}
