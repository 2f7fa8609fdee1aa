//! Identities that prove themselves: a CA, certificates that renew themselves, and mutual TLS.
//!
//! - [`identity`]: what a process is to its peers. An [`Identity`] has a key, a certificate and a trust bundle, keeps
//!   them fresh, and makes what serves ([`Identity::accept`]) and what calls ([`Identity::connect_to`]).
//! - [`authority`]: the trait [`CertAuthority`], which signs requests and tells whom to trust, and
//!   [`ManagedAuthority`], which can also revoke and rotate. [`LocalCa`] is the mesh's own.
//! - [`store`]: the trait [`CertStore`], which carries an identity over a restart.
//! - [`verify`]: what a certificate of the mesh has to be, beyond what TLS libraries ask.
//! - [`policy`]: what of TLS is spoken.
//! - `remote`, with the feature of that name: a CA at another place, its API and its client.
//! - `authorize`, with the feature of that name: who may do what, by verified identity.
//!
//! A private key never leaves the process that made it: a certificate *request* crosses [`CertAuthority`], not a
//! key. Async traits are implemented with plain `async fn`; [`AnyAuthority`], [`AnyManagedAuthority`] and
//! [`AnyStore`] hold any implementation.

pub mod accept;
pub mod authority;
#[cfg(feature = "authorize")]
pub mod authorize;
#[cfg(feature = "axum")]
pub mod axum;
pub mod certificate;
pub mod client;
mod erase;
mod fault_point;
mod hash;
pub mod identity;
pub mod key;
mod peer;
pub mod pem;
pub mod policy;
mod printable;
#[cfg(feature = "remote")]
pub mod remote;
pub mod rotation;
mod sealed;
mod secure_dir;
mod seldom;
pub mod server;
pub mod store;
pub mod stream;
pub mod suite;
mod system;
pub mod verify;

pub use accept::TlsAccept;
pub use authority::{
    AnyAuthority, AnyManagedAuthority, CaError, CaErrorKind, CertAuthority, CertRequest, IssuedCert, LocalCa,
    ManagedAuthority, SerialNumber, TrustBundle, TrustRoot,
};
pub use certificate::Certificate;
pub use client::TlsConnect;
pub use identity::{Identity, IdentityBuilder, IdentityError, IdentityFiles};
pub use key::{KeyType, PrivateKey};
pub use policy::{Peers, TlsPolicy};
pub use rustls_pki_types::{CertificateDer, ServerName};
pub use server::ClientCerts;
pub use store::{AnyStore, CertStore, FileStore, MemoryStore, StoreError, StoreErrorKind, StoredCert};
pub use stream::MeshStream;
pub use suite::{CipherSuite, TlsVersion};
pub use system::system_roots;
pub use verify::{StaleCrl, Verifier};
