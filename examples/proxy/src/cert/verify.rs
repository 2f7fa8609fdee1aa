//! `cert verify`

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use mesh_core::{BoxError, SpiffeId};
use mesh_tls::verify::{Expected, Usage, Verifier, VerifyPolicy};
use mesh_tls::{TrustBundle, TrustRoot, pem};

use super::{read, told};

/// `cert verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// The certificate, followed by those that lead to a root, PEM
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The roots, PEM
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The revocation lists, PEM or DER
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    /// Who it has to be; by default any member of a mesh
    #[arg(long, value_name = "SPIFFE-ID")]
    spiffe: Option<SpiffeId>,
}

impl Verify {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let chain = pem::certificates(&read(&self.cert)?).map_err(|error| told_of(&self.cert, &error))?;
        let roots = pem::certificates(&read(&self.ca)?).map_err(|error| told_of(&self.ca, &error))?;
        let crls = match &self.crl {
            Some(path) => pem::crls(&read(path)?).map_err(|error| told_of(path, &error))?,
            None => Vec::new(),
        };
        let bundle = TrustBundle::new(1, roots.into_iter().map(TrustRoot::new)).with_crls(crls);
        let verifier =
            Verifier::new(&bundle, VerifyPolicy::new()).map_err(|error| told_of(&self.ca, &error))?;
        let expected = self.spiffe.clone().map_or(Expected::Member, Expected::Identity);
        let now = SystemTime::now();
        let mut leaf = None;
        for usage in [Usage::Server, Usage::Client] {
            let verified = verifier.verify(&chain, usage, &expected, now);
            leaf = Some(verified.map_err(|error| told_of(&self.cert, &error))?);
        }
        if let Some(leaf) = leaf {
            let id = leaf.spiffe_id()?;
            writeln!(
                out,
                "good: {id}, serial {}, until {}",
                leaf.serial(),
                told(leaf.not_after())
            )?;
        }
        Ok(())
    }
}

fn told_of(path: &std::path::Path, error: &dyn std::fmt::Display) -> BoxError {
    format!("{}: {error}", path.display()).into()
}
