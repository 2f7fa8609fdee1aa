//! `cert crl`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use mesh_core::BoxError;
use mesh_tls::authority::BundleRequest;
use mesh_tls::{CertAuthority, pem};

use super::{StateDir, block_on, write_file};

/// `cert crl`
#[derive(Debug, Args)]
pub struct Crl {
    /// Where the lists are written, PEM; - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    at: StateDir,
}

impl Crl {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        // Asking for the bundle renews lists that are older than an hour.
        let bundle = block_on(self.at.ca()?.next_bundle(BundleRequest::any()))??;
        let lists: String = bundle.crls.iter().map(pem::encode_crl).collect();
        if self.out.as_os_str() == "-" {
            out.write_all(lists.as_bytes())?;
            return Ok(());
        }
        write_file(&self.out, lists.as_bytes(), 0o644)?;
        writeln!(
            out,
            "wrote {} revocation lists of number {} to {}",
            bundle.crls.len(),
            bundle.sequence,
            self.out.display()
        )?;
        Ok(())
    }
}
