//! `mesh-proxy cert`: the life of certificates, from the shell.

mod crl;
mod inspect;
mod issue;
mod list;
mod revoke;
mod rotate;
mod status;
mod token;
mod verify;

use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use mesh_core::BoxError;
use mesh_tls::authority::LocalCaOptions;
use mesh_tls::{KeyType, LocalCa};

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Cert {
    /// Make a CA
    #[command(
        after_help = "Example:\n  mesh-proxy cert init --trust-domain cluster.local --state-dir mesh-state/ca"
    )]
    Init(Init),
    /// Issue a certificate to a service
    ///
    /// Writes cert.pem, key.pem (mode 0600) and ca.pem. It works beside a running proxy that uses the same CA.
    #[command(
        after_help = "Example:\n  mesh-proxy cert issue --service orders --namespace dept-barc --out certs --state-dir mesh-state/ca"
    )]
    Issue(issue::Issue),
    /// Take a certificate back
    ///
    /// It stands in the CA's revocation list from then on, which proxies of the same directory take within seconds. It
    /// works beside a running proxy. To revoke a certificate twice changes nothing.
    #[command(
        after_help = "Example:\n  mesh-proxy cert revoke --serial 4f029b --reason key-compromise --state-dir mesh-state/ca"
    )]
    Revoke(revoke::Revoke),
    /// Write the revocation lists
    ///
    /// One file holds those of all CAs: each generation's root, and its issuing CA if it has one. openssl verify reads all
    /// of them, openssl crl the first.
    #[command(
        after_help = "Example:\n  mesh-proxy cert crl --out crl.pem --state-dir mesh-state/ca\n  openssl verify -crl_check -CAfile certs/ca.pem -CRLfile crl.pem certs/cert.pem"
    )]
    Crl(crl::Crl),
    /// Replace the CA by its next generation, a step at a time
    ///
    /// Where a proxy runs, all of it happens by itself before a root ends. A step by hand begins earlier, or hurries:
    /// prepare, activate, and, when the last certificate of the old generation has ended, remove. It works beside a
    /// running proxy.
    #[command(
        after_help = "Example:\n  mesh-proxy cert rotate --state-dir mesh-state/ca\n  mesh-proxy cert rotate --step taint --state-dir mesh-state/ca"
    )]
    Rotate(rotate::Rotate),
    /// Show the generations of the CA, who follows it, and what it does next
    #[command(after_help = "Example:\n  mesh-proxy cert status --state-dir mesh-state/ca")]
    Status(status::Status),
    /// Make a token with which a service may join the mesh, once, from another machine
    ///
    /// Prints the token alone: it is a secret until it was used. The proxy of this state directory has to serve
    /// mutualTLS.certificateApi, and to have been started with it once.
    #[command(
        after_help = "Example:\n  mesh-proxy cert token --service orders --namespace dept-barc --ttl 10m --state-dir mesh-state/ca\n\nWhere orders runs: mutualTLS: { authority: { remote: { url: \"https://ca.example:9443\", joinTokenFile: token } } }"
    )]
    Token(token::Token),
    /// List what the CA issued
    #[command(after_help = "Example:\n  mesh-proxy cert list --state-dir mesh-state/ca")]
    List(list::List),
    /// Show what certificates say
    #[command(after_help = "Example:\n  mesh-proxy cert inspect certs/cert.pem")]
    Inspect(inspect::Inspect),
    /// Tell whether a peer with this certificate would be believed, and if not, why
    #[command(
        after_help = "Example:\n  mesh-proxy cert verify --cert certs/cert.pem --ca certs/ca.pem\n\nExit: 0 if it would, 1 if it would not"
    )]
    Verify(verify::Verify),
}

/// Where the CA is.
#[derive(Debug, Args)]
pub struct StateDir {
    /// The directory of the CA, as mutualTLS.stateDir names it
    #[arg(long, value_name = "DIR", default_value = "mesh-state/ca")]
    state_dir: PathBuf,
}

impl StateDir {
    fn ca(&self) -> Result<LocalCa, BoxError> {
        Ok(LocalCa::open(&self.state_dir)?)
    }

    fn path(&self) -> &std::path::Path {
        &self.state_dir
    }
}

/// `cert init`
#[derive(Debug, Args)]
pub struct Init {
    /// The trust domain, for whose members it signs
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    trust_domain: String,
    /// The kind of its key: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072 or rsa-4096
    #[arg(long, value_name = "TYPE", default_value_t)]
    key_type: KeyType,
    /// Let the root sign an issuing CA, and that one the certificates
    #[arg(long)]
    intermediate: bool,
    #[command(flatten)]
    at: StateDir,
}

impl Init {
    fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let mut options = LocalCaOptions::new(self.trust_domain.as_str()).with_key_type(self.key_type);
        options.intermediate = self.intermediate;
        let ca = LocalCa::init(&self.at.state_dir, options)?;
        let root = mesh_tls::Certificate::parse(&ca.root())?;
        writeln!(out, "made a CA for the trust domain {}", ca.trust_domain())?;
        writeln!(out, "  root         {}", root.subject())?;
        writeln!(out, "  fingerprint  {}", root.fingerprint())?;
        Ok(())
    }
}

/// Does it. Results go to standard output, what is wrong to standard error.
pub fn main(cert: &Cert) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let done = match cert {
        Cert::Init(init) => init.run(&mut out),
        Cert::Issue(issue) => issue.run(&mut out),
        Cert::Revoke(revoke) => revoke.run(&mut out),
        Cert::Crl(crl) => crl.run(&mut out),
        Cert::Rotate(rotate) => rotate.run(&mut out),
        Cert::Status(status) => status.run(&mut out),
        Cert::Token(token) => token.run(&mut out),
        Cert::List(list) => list.run(&mut out),
        Cert::Inspect(inspect) => inspect.run(&mut out),
        Cert::Verify(verify) => verify.run(&mut out),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if the reader is gone.
            let _ = writeln!(std::io::stderr(), "mesh-proxy cert: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A time as people and tools read it.
pub(crate) fn told(time: std::time::SystemTime) -> String {
    // A certificate may say any date, and those before 1970 and after 9999 have no such form.
    let last = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799);
    match time.duration_since(std::time::SystemTime::UNIX_EPOCH) {
        Ok(_) if time <= last => humantime::format_rfc3339_seconds(time).to_string(),
        Ok(_) => "after the year 9999".into(),
        Err(_) => "before the year 1970".into(),
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, BoxError> {
    std::fs::read(path).map_err(|error| format!("{}: it cannot be read: {error}", path.display()).into())
}

/// Waits for what the CA does.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    Ok(runtime.block_on(work))
}

/// Writes a file as a whole: who reads it meanwhile sees the old one or the new one.
fn write_file(path: &Path, content: &[u8], mode: u32) -> Result<(), BoxError> {
    let write = || -> io::Result<()> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let unfinished = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
        if unfinished.exists() {
            fs::remove_file(&unfinished)?;
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|error| format!("{}: it cannot be written: {error}", path.display()).into())
}
