//! `mutualTLS.certificateApi`: others ask the CA of this process for certificates.

use std::net::{SocketAddr, TcpListener as StdListener};

use mesh_core::serve::ServeLimits;
use mesh_tls::remote::{ApiLimits, Attestors, CertificateApi, JoinTokens, ProofKind, Renewals};
use mesh_tls::{ClientCerts, Identity, LocalCa};

use crate::config::MutualTls;
use crate::identity::InUse;
use crate::side_port::{Ready, SidePort, Wanted};

/// What becomes of the API.
pub enum Next {
    /// It stays as it is.
    Stays,
    /// There is none any more.
    Ends,
    /// It is served anew.
    Begins(Box<(Ready, CertificateApi)>),
}

/// Makes ready what the configuration asks for; nothing changes yet.
///
/// # Errors
/// The address cannot be bound, or what the CA keeps cannot be used.
pub fn prepare(
    mutual_tls: Option<&MutualTls>,
    in_use: Option<&InUse>,
    serving: Option<&SidePort>,
    bind: impl FnOnce(SocketAddr) -> Result<StdListener, String>,
) -> Result<Next, String> {
    let wanted = mutual_tls.and_then(|mutual_tls| Some((mutual_tls, mutual_tls.certificate_api?)));
    let own = in_use.and_then(|in_use| Some((in_use.identity(), in_use.ca()?)));
    let (Some((mutual_tls, bind_to)), Some((identity, ca))) = (wanted, own) else {
        return Ok(Next::Ends);
    };
    // Who joins has no certificate yet.
    let tls = Some((ClientCerts::Optional, identity.clone()));
    let wanted = Wanted { bind: bind_to, tls };
    match wanted.prepare(serving, bind)? {
        None => Ok(Next::Stays),
        Some(ready) => Ok(Next::Begins(Box::new((ready, api(mutual_tls, ca, identity)?)))),
    }
}

impl Next {
    /// Does it.
    pub fn adopt(self, serving: &mut Option<SidePort>) {
        match self {
            Self::Stays => {}
            Self::Ends => *serving = None,
            Self::Begins(begins) => {
                let (ready, api) = *begins;
                *serving = Some(ready.serve("certificates", ServeLimits::default(), api));
            }
        }
    }
}

fn api(mutual_tls: &MutualTls, ca: &LocalCa, identity: &Identity) -> Result<CertificateApi, String> {
    let told = |error: mesh_tls::CaError| error.to_string();
    let tokens = JoinTokens::open(&mutual_tls.state_dir).map_err(told)?;
    // So that a token made from the shell says who is to be shown it.
    tokens.set_server(identity.id()).map_err(told)?;
    let renewals = Renewals::open(&mutual_tls.state_dir, ca.clone()).map_err(told)?;
    let attestors = Attestors::new().with(ProofKind::JOIN_TOKEN, tokens);
    let mut limits = ApiLimits::default();
    limits.lifetime = mutual_tls.lifetime;
    Ok(CertificateApi::with_limits(
        ca.clone(),
        attestors,
        renewals,
        limits,
    ))
}
