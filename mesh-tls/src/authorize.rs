//! Who may do what: decided by the identity a peer proved, never by what it says of itself.
//!
//! An [`AuthorizationPolicy`] is a set of [rules](Rule), compiled. Each says of whom ([`Source`]: a pattern of SPIFFE
//! IDs, any identity, or none), of which methods and which paths ([`PathPattern`]) it speaks, and allows or denies. What
//! is asked is a [`Question`], and the answer a [`Decision`], found in this order:
//!
//! 1. Who comes without a valid certificate, where one is demanded, was refused by the handshake.
//! 2. [`Probes`] pass: exact paths, by `GET` and `HEAD`.
//! 3. A deny rule that holds denies.
//! 4. An allow rule that holds allows.
//! 5. What no rule allows is denied.
//!
//! The order of rules changes nothing but which of them is named. In [audit mode](AuthorizationPolicy::audit) the answer
//! is the same, and nothing is refused.
//!
//! **What cannot be read counts against the request.** A deny rule with paths holds, and an allow rule with paths does
//! not, where there is no path (a connection that is not HTTP, `CONNECT`, `OPTIONS *`), or where it is not in the one form
//! that [`mesh_core::edge`] brings paths into. So a request cannot gain by another spelling, even if the edge was
//! forgotten.
//!
//! **A deny rule reads a path as careless applications do**: without regard to the case of ASCII letters, with every
//! escape decoded, and with or without a slash at the end. An allow rule takes it by the letter. An application that
//! takes its path from elsewhere, as from a header, or decodes it twice, cannot be protected by a rule about paths.
//!
//! ```
//! use http::Method;
//! use mesh_core::SpiffeId;
//! use mesh_tls::authorize::{AuthorizationPolicy, Question, Rule};
//!
//! let policy = AuthorizationPolicy::new([
//!     Rule::allow("shop").from(["spiffe://cluster.local/ns/shop/sa/*"]).methods(["GET", "HEAD"]).paths(["/api/**"]),
//!     Rule::deny("internal").paths(["/api/internal/**"]),
//! ])?;
//!
//! let frontend: SpiffeId = "spiffe://cluster.local/ns/shop/sa/frontend".parse()?;
//! let ask = |method: &Method, path: &str| policy.decide(&Question::of_request(Some(&frontend), method, path)).is_allowed();
//! assert!(ask(&Method::GET, "/api/orders"));
//! assert!(!ask(&Method::POST, "/api/orders"), "no rule allows it");
//! assert!(!ask(&Method::GET, "/api/internal/users"), "a rule denies it");
//! assert!(!ask(&Method::GET, "/api/Internal/users"), "an application might take it for the same");
//! # Ok::<(), mesh_core::BoxError>(())
//! ```

mod body;
mod decision;
mod explain;
mod future;
mod index;
mod layer;
mod pattern;
mod policy;
mod probes;
mod problem;
mod question;
mod reading;
mod rule;
mod service;
mod source;

pub use body::AuthorizeBody;
pub use decision::{Decision, Reason};
pub use explain::{Explanation, Tried, Verdict};
pub use future::AuthorizeFuture;
pub use layer::AuthorizeLayer;
pub use pattern::{IdentityPattern, PathPattern, PatternError};
pub use policy::AuthorizationPolicy;
pub use probes::Probes;
pub use problem::{PolicyError, PolicyProblem};
pub use question::Question;
pub use rule::{Action, Condition, Rule};
pub use service::AuthorizeService;
pub use source::Source;
