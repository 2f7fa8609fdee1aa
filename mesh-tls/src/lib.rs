//! Who signs the mesh's certificates, and where they are kept.
//!
//! - [`authority`]: the trait [`CertAuthority`], which signs requests and tells whom to trust, and
//!   [`ManagedAuthority`], which can also revoke and rotate.
//! - [`store`]: the trait [`CertStore`], which carries an identity over a restart.
//! - [`key`]: a private key that is overwritten when it is dropped and never prints itself.
//!
//! A private key never leaves the process that made it: a certificate *request* crosses [`CertAuthority`], not a
//! key. Both async traits are implemented with plain `async fn`; [`AnyAuthority`], [`AnyManagedAuthority`] and
//! [`AnyStore`] hold any implementation.

pub mod authority;
mod erase;
pub mod key;
pub mod store;

pub use authority::{
    AnyAuthority, AnyManagedAuthority, CaError, CaErrorKind, CertAuthority, CertRequest, IssuedCert,
    ManagedAuthority, SerialNumber, TrustBundle, TrustRoot,
};
pub use key::PrivateKey;
pub use store::{AnyStore, CertStore, MemoryStore, StoreError, StoreErrorKind, StoredCert};
