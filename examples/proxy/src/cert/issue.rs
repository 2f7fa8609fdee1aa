//! `cert issue`

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mesh_core::{BoxError, SpiffeId};
use mesh_tls::authority::DnsName;
use mesh_tls::{CertAuthority, CertRequest, KeyType, PrivateKey, pem};

use super::{StateDir, block_on, told, write_file};

/// `cert issue`
#[derive(Debug, Args)]
pub struct Issue {
    /// The service it is for
    #[arg(long, value_name = "NAME")]
    service: String,
    /// The service's namespace
    #[arg(long, value_name = "NAME", default_value = "dept-barc")]
    namespace: String,
    /// A DNS name that it holds too, for clients that know no SPIFFE IDs; repeat it for more
    #[arg(long, value_name = "NAME", value_parser = dns_name)]
    dns: Vec<DnsName>,
    /// How long it is good for
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = lifetime)]
    ttl: Duration,
    /// The kind of its key: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072 or rsa-4096
    #[arg(long, value_name = "TYPE", default_value_t)]
    key_type: KeyType,
    /// Where cert.pem, key.pem and ca.pem are written
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at: StateDir,
}

pub(super) fn dns_name(text: &str) -> Result<DnsName, String> {
    let name = DnsName::try_from(text.to_owned());
    name.map_err(|_| "it is no DNS name: expected one as orders.example.org".into())
}

pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    mesh_core::duration::parse(text).map_err(|error| error.to_string())
}

const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";
const CA: &str = "ca.pem";

impl Issue {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let ca = self.at.ca()?;
        let id = SpiffeId::of_service(ca.trust_domain(), &self.namespace, &self.service)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.out)
            .map_err(|error| format!("{}: the directory cannot be made: {error}", self.out.display()))?;
        let taken = [CERT, KEY, CA]
            .map(|name| self.out.join(name))
            .into_iter()
            .find(|path| path.exists());
        if let Some(path) = taken.filter(|_| !self.force) {
            return Err(format!("{}: it is there already: --force writes over it", path.display()).into());
        }
        let key = PrivateKey::generate_blocking(self.key_type)?;
        let mut request = CertRequest::new(key.certificate_request()?, id.clone(), self.ttl)?;
        request.dns_names.clone_from(&self.dns);
        let issued = block_on(ca.issue(request))??;
        // While one root replaces another, both are to be trusted.
        let bundle = ca.bundle();
        let roots = bundle.roots.iter().map(|root| &root.cert);
        let write = |name, content: &[u8], mode| write_file(&self.out.join(name), content, mode);
        write(KEY, pem::encode_private_key(&key).as_bytes(), 0o600)?;
        write(CERT, pem::encode_certificates(issued.chain()).as_bytes(), 0o644)?;
        write(CA, pem::encode_certificates(roots).as_bytes(), 0o644)?;
        writeln!(out, "issued {} to {id}", issued.serial())?;
        writeln!(out, "  good until {}", told(issued.not_after()))?;
        writeln!(out, "  files      {CERT} {KEY} {CA} in {}", self.out.display())?;
        Ok(())
    }
}
