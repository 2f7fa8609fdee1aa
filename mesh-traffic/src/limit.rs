//! Rate limits: how many requests a second, counted by what.

mod key;

pub(crate) use key::is_token;
pub use key::{KeyBy, KeyByError, KeyExtractor, LimitKey};
