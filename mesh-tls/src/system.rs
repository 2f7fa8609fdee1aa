//! The roots that this machine trusts.

use rustls_pki_types::CertificateDer;

/// The roots that this machine trusts, as its administrator set them up; `SSL_CERT_FILE` and `SSL_CERT_DIR` name
/// others. For servers outside of the mesh.
///
/// What of them cannot be read is told in the log and left out.
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(%error, "a root of this machine cannot be read");
    }
    loaded.certs
}
