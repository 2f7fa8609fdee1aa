//! Compresses responses for clients that take it: less to transfer, for some time of this processor's.
//!
//! A [`CompressionRule`] says which responses gain from it, a [`CompressionLayer`] asks it in front of any service. The
//! encoding is gzip, which every client reads; the encoder is that of [`tower_http`]. What a service streams goes on piece
//! by piece: whenever it pauses, what there is is sent.
//!
//! A client that reads slowly keeps an encoder for as long: one of gzip takes some 0.6 MiB. That is why it is not Brotli,
//! which gains a little more and takes 9 MiB.
//!
//! Nothing is compressed twice, and nothing of which somebody said that it must stay as it is: see
//! [`CompressionRule::applies_to`].
//!
//! A page that shows a secret beside something the client sent gives the secret away by its compressed size (BREACH):
//! leave compression off for services that do.

mod accepted;
mod body;
mod future;
mod layer;
mod media_type;
mod rule;
mod service;

pub use accepted::Accepted;
pub use body::CompressedBody;
pub use future::CompressionFuture;
pub use layer::CompressionLayer;
pub use rule::CompressionRule;
pub use service::CompressionService;
