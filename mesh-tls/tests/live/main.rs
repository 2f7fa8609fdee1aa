//! What becomes of identities and of open connections over time: renewals, rotations, revocations.

mod authority;
mod closing;
mod clock;
mod connections;
mod lifecycle;
mod rotation;
