//! shim
use mesh_core::EndpointId;
pub(crate) fn choose<'a>(_c: &str, ids: impl Iterator<Item = &'a EndpointId>, size: usize) -> Vec<usize> {
    (0..ids.count().min(size)).collect()
}
