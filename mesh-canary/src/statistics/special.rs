//! Functions that the standard library has not.

/// The logarithm of the beta function.
pub(super) fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// `x · ln p`, nothing where x is nothing.
pub(super) fn times_ln(x: f64, p: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x * p.ln() }
}

/// `x · ln(1 − p)`, nothing where x is nothing.
pub(super) fn times_ln_rest(x: f64, p: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x * (-p).ln_1p() }
}

/// So many times a stretch of numbers is halved: about as often as a float can tell.
pub(super) const HALVINGS: usize = 60;

/// Where a function that is false first and true then turns, between two numbers.
pub(super) fn turn(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}
