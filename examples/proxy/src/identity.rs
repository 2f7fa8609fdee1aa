//! What this process is to its peers, as the configuration says.

mod figures;

use std::path::Path;

use mesh_core::{EventBus, SpiffeId};
use mesh_tls::authority::LocalCaOptions;
use mesh_tls::remote::{JoinToken, RemoteCa, TokenFile};
use mesh_tls::{AnyAuthority, AnyStore, FileStore, Identity, IdentityFiles, LocalCa, Peers, TlsPolicy};

use crate::config::{Authority, HttpUrl, Join, Mesh, MutualTls};

pub use figures::{days_until, figures, troubles};

/// The identity that is in use, and what it was made from.
#[derive(Clone)]
pub struct InUse {
    made_from: (MutualTls, SpiffeId),
    identity: Identity,
    ca: Option<LocalCa>,
}

impl InUse {
    /// The identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The CA, if it is this process's own.
    pub fn ca(&self) -> Option<&LocalCa> {
        self.ca.as_ref()
    }
}

/// The identity that the configuration asks for; the one in use, if it asks for the same.
///
/// # Errors
/// Files cannot be read or do not fit, the CA cannot be opened, or nobody signs.
pub async fn identity(
    mesh: &Mesh,
    in_use: Option<&InUse>,
    events: &EventBus,
) -> Result<Option<InUse>, String> {
    let Some(mutual_tls) = &mesh.mutual_tls else {
        return Ok(None);
    };
    let id = SpiffeId::of_service(
        mesh.trust_domain.as_str(),
        mesh.namespace.as_str(),
        mesh.identity.service.as_str(),
    )
    .map_err(|error| error.to_string())?;
    // Where others ask for certificates says nothing of this one.
    let mut made_from = (mutual_tls.clone(), id.clone());
    made_from.0.certificate_api = None;
    if let Some(in_use) = in_use.filter(|in_use| in_use.made_from == made_from) {
        return Ok(Some(in_use.clone()));
    }
    let (identity, ca) = make(mutual_tls, id, events).await?;
    let certificate = identity.certificate();
    tracing::info!(id = %identity.id(), serial = %certificate.serial(), "this process has an identity");
    Ok(Some(InUse {
        made_from,
        identity,
        ca,
    }))
}

async fn make(
    mutual_tls: &MutualTls,
    id: SpiffeId,
    events: &EventBus,
) -> Result<(Identity, Option<LocalCa>), String> {
    let policy = policy(mutual_tls);
    if policy.peers == Peers::Anyone {
        tracing::error!(
            "verifyPeerCertificate is false: anyone can pose as a peer, and whoever is on the way reads and changes \
             what is sent"
        );
    }
    let directory: &Path = &mutual_tls.state_dir;
    let mut own = None;
    let authority = match &mutual_tls.authority {
        Authority::Files { cert, key, ca, crl } => {
            let mut files = IdentityFiles::new(cert, key, ca)
                .policy(policy)
                .events(events.clone());
            if let Some(crl) = crl {
                files = files.crl(crl);
            }
            let made = files.start(id).await.map_err(|error| error.to_string())?;
            return Ok((made, None));
        }
        Authority::Local => {
            let options = LocalCaOptions::new(id.trust_domain()).with_key_type(mutual_tls.key_type);
            let ca = LocalCa::open_or_init(directory, options).map_err(|error| error.to_string())?;
            AnyAuthority::new(own.insert(ca).clone())
        }
        Authority::Remote { url, join } => AnyAuthority::new(remote(mutual_tls, &id, url, join)?),
        Authority::Kubernetes { .. } | Authority::Spire { .. } => {
            return Err("this authority is not there yet".into());
        }
    };
    let made = Identity::builder(id)
        .authority(authority)
        .store(store(directory)?)
        .policy(policy)
        .events(events.clone())
        .key_type(mutual_tls.key_type)
        .ttl(mutual_tls.lifetime)
        .renew_before(mutual_tls.renew_before)
        .start()
        .await;
    Ok((made.map_err(|error| error.to_string())?, own))
}

/// The CA at another place, which is shown the certificate that the store holds.
fn remote(mutual_tls: &MutualTls, id: &SpiffeId, url: &HttpUrl, join: &Join) -> Result<RemoteCa, String> {
    let directory: &Path = &mutual_tls.state_dir;
    let builder = RemoteCa::builder(id.clone(), url.as_str()).map_err(|error| error.to_string())?;
    let builder = builder.state_dir(directory).policy(policy(mutual_tls));
    let builder = match join {
        Join::Token(token) => {
            let token: JoinToken = token
                .reveal()
                .parse()
                .map_err(|error| format!("joinToken: {error}"))?;
            builder.join(token)
        }
        Join::File(path) => builder.join(TokenFile::new(path)),
    };
    builder
        .store(store(directory)?)
        .build()
        .map_err(|error| error.to_string())
}

/// Where the certificate of this process is kept.
fn store(directory: &Path) -> Result<AnyStore, String> {
    let store = FileStore::open(directory.join("identities")).map_err(|error| error.to_string())?;
    Ok(AnyStore::new(store))
}

/// What of TLS is spoken.
pub fn policy(mutual_tls: &MutualTls) -> TlsPolicy {
    let mut policy = TlsPolicy::default().with_versions(mutual_tls.protocols.iter().copied());
    policy.suites.clone_from(&mutual_tls.cipher_suites);
    policy.stale_crl = mutual_tls.crl_stale_policy;
    policy.peers = match mutual_tls.verify_peer_certificate {
        true => Peers::Verified,
        false => Peers::Anyone,
    };
    policy
}
