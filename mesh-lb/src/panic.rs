//! shim
pub(crate) fn is_panic(available: usize, total: usize, threshold: u8) -> bool {
    available * 100 < total * usize::from(threshold)
}
