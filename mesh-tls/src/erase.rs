//! What makes async traits storable: a future behind a box.

use std::future::Future;
use std::pin::Pin;

/// Certificates are rare: a box a call costs nothing that matters.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
