//! `mutualTLS.certificateApi`: others ask the CA of this process for certificates.

use std::net::{SocketAddr, TcpListener as StdListener};

use mesh_core::drain::{DrainTrigger, drain};
use mesh_core::serve::Server;
use mesh_tls::remote::{ApiLimits, Attestors, CertificateApi, JoinTokens, ProofKind, Renewals};
use mesh_tls::{ClientCerts, Identity, LocalCa};
use tokio::net::TcpListener;

use crate::config::MutualTls;
use crate::identity::InUse;

/// The API that is being served.
pub struct Serving {
    wanted: Wanted,
    socket: StdListener,
    drain: DrainTrigger,
}

/// What is to be served, ready to begin.
pub struct Ready {
    wanted: Wanted,
    api: CertificateApi,
    listener: TcpListener,
    socket: StdListener,
}

#[derive(Clone, PartialEq, Eq)]
struct Wanted {
    bind: SocketAddr,
    identity: Identity,
}

/// What becomes of the API.
pub enum Next {
    /// It stays as it is.
    Same,
    /// It is served anew, or no more.
    Changed(Option<Box<Ready>>),
}

/// Makes ready what the configuration asks for; nothing changes yet.
///
/// # Errors
/// The address cannot be bound, or what the CA keeps cannot be used.
pub fn prepare(
    mutual_tls: Option<&MutualTls>,
    in_use: Option<&InUse>,
    serving: Option<&Serving>,
    bind: impl FnOnce(SocketAddr) -> Result<StdListener, String>,
) -> Result<Next, String> {
    let wanted = mutual_tls.and_then(|mutual_tls| Some((mutual_tls, mutual_tls.certificate_api?)));
    let (Some((mutual_tls, address)), Some(in_use)) = (wanted, in_use) else {
        return Ok(Next::Changed(None));
    };
    let Some(ca) = in_use.ca() else {
        return Ok(Next::Changed(None));
    };
    let wanted = Wanted {
        bind: address,
        identity: in_use.identity().clone(),
    };
    if serving.is_some_and(|serving| serving.wanted == wanted) {
        return Ok(Next::Same);
    }
    let socket = match serving.filter(|serving| serving.wanted.bind == address) {
        Some(serving) => serving.socket.try_clone().map_err(|error| error.to_string())?,
        None => bind(address)?,
    };
    let failed = |error: std::io::Error| format!("certificates cannot be served on {address}: {error}");
    let listener = TcpListener::from_std(socket.try_clone().map_err(failed)?).map_err(failed)?;
    let ready = Ready {
        api: api(mutual_tls, ca, &wanted.identity)?,
        wanted,
        listener,
        socket,
    };
    Ok(Next::Changed(Some(Box::new(ready))))
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

impl Ready {
    /// Begins. It ends when what this returns is dropped.
    pub fn serve(self) -> Serving {
        let (trigger, watcher) = drain();
        let accept = self.wanted.identity.accept().client_certs(ClientCerts::Optional);
        let address = self.listener.local_addr().unwrap_or(self.wanted.bind);
        tracing::info!(%address, id = %self.wanted.identity.id(), "serving certificates");
        tokio::spawn(
            Server::accepting(accept)
                .drain(watcher)
                .serve(self.listener, self.api),
        );
        Serving {
            wanted: self.wanted,
            socket: self.socket,
            drain: trigger,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.drain.start();
    }
}
