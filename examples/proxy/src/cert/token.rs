//! `cert token`

use std::io::Write;
use std::time::Duration;

use clap::Args;
use mesh_core::{BoxError, SpiffeId};
use mesh_tls::authority::DnsName;
use mesh_tls::remote::{JoinTokens, TokenRequest};

use super::StateDir;
use super::issue::{dns_name, lifetime};

/// `cert token`
#[derive(Debug, Args)]
pub struct Token {
    /// The service that may join
    #[arg(long, value_name = "NAME")]
    service: String,
    /// The service's namespace
    #[arg(long, value_name = "NAME", default_value = "dept-barc")]
    namespace: String,
    /// A DNS name that its certificates hold too, for clients that know no SPIFFE IDs; repeat it for more
    #[arg(long, value_name = "NAME", value_parser = dns_name)]
    dns: Vec<DnsName>,
    /// How long the token counts, up to 7 days
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = lifetime)]
    ttl: Duration,
    #[command(flatten)]
    at: StateDir,
}

impl Token {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let ca = self.at.ca()?;
        let id = SpiffeId::of_service(ca.trust_domain(), &self.namespace, &self.service)?;
        let bundle = ca.bundle();
        let mut request = TokenRequest::new(id).with_ttl(self.ttl);
        request.dns_names.clone_from(&self.dns);
        let token = JoinTokens::open(self.at.path())?.mint(&request, &bundle)?;
        writeln!(out, "{}", *token.expose_secret())?;
        Ok(())
    }
}
