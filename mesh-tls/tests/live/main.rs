//! What becomes of identities and of open connections over time: renewals, rotations, revocations.

mod authority;
mod clock;
mod closing;
mod connections;
mod lifecycle;
mod rotation;
