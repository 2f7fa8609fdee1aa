//! A CA at another place: an API that asks for certificates over HTTPS, and the [`CertAuthority`](crate::CertAuthority)
//! that is its client.
//!
//! On the side of the CA, [`CertificateApi`] is a tower service over any authority, for [`mesh_core::serve::Server`] with
//! [`Identity::accept`](crate::Identity::accept) and client certificates
//! [optional](crate::ClientCerts::Optional). On the other, [`RemoteCa`] asks it.
//!
//! | request | who may | answer |
//! |---|---|---|
//! | `POST /v1/certificates` | who has a proof: a certificate of the mesh, or what an [`Attestor`] believes | 201: the chain, and the trust bundle |
//! | `GET /v1/bundle?seen=&in_force=&instance=` | who shows a certificate of the mesh | 200: a bundle newer than `seen`; 204 if there is none for 25 s |
//! | `GET /v1/roots` | anyone | 200: the roots alone, which who joins compares with the hashes it was told |
//!
//! A request for a certificate is JSON of at most 40 KiB. A field that is not known is refused:
//!
//! ```json
//! { "csr": "-----BEGIN CERTIFICATE REQUEST-----…", "proof": { "kind": "join-token", "value": "…" }, "ttlSeconds": 7776000 }
//! ```
//!
//! Only the public key is taken from the CSR. Whom the certificate names, its DNS names and how long it is good for at
//! most follow from the proof: who shows a certificate (`"proof": { "kind": "certificate" }`, and no value) gets one
//! of the same identity and the same names. The lifetime that is asked for can only shorten it.
//!
//! A refusal is a problem document (RFC 9457). Who is denied learns no more than that; why stands in the CA's log.

mod admission;
mod api;
mod attest;
mod bootstrap;
mod channel;
mod client;
mod flight;
mod join_token;
mod join_tokens;
mod known;
mod line;
mod problem;
mod proof;
mod renewals;
mod source;
mod wire;

pub use api::{ApiLimits, CertificateApi};
pub use attest::{AnyAttestor, Attested, Attestor, Attestors};
pub use client::{RemoteCa, RemoteCaBuilder};
pub use join_token::{JoinToken, JoinTokenError, RootHash};
pub use join_tokens::{JoinTokens, TokenRequest};
pub use known::{KnownCert, KnownCerts};
pub use proof::{Proof, ProofKind};
pub use renewals::Renewals;
pub use source::{AnyProofSource, Introduction, ProofSource, TokenFile};
