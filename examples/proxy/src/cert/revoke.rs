//! `cert revoke`

use std::io::Write;

use clap::{Args, ValueEnum};
use mesh_core::BoxError;
use mesh_tls::SerialNumber;
use mesh_tls::authority::{ManagedAuthority, RevocationReason, RevokeRequest};

use super::{StateDir, block_on, told};

/// `cert revoke`
#[derive(Debug, Args)]
pub struct Revoke {
    /// The certificate's serial number in hex, as cert list and cert inspect show it
    #[arg(long, value_name = "HEX")]
    serial: SerialNumber,
    /// Why
    #[arg(long, value_enum, default_value_t)]
    reason: Reason,
    #[command(flatten)]
    at: StateDir,
}

/// Why, as the shell writes it.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Reason {
    /// Nobody says why
    #[default]
    Unspecified,
    /// Its private key may be known to others
    KeyCompromise,
    /// The key of its CA may be known to others
    CaCompromise,
    /// Its holder's name or place changed
    AffiliationChanged,
    /// Another one replaced it
    Superseded,
    /// It is not needed any more
    CessationOfOperation,
    /// Its holder may not have it any more
    PrivilegeWithdrawn,
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unspecified => Self::Unspecified,
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::CaCompromise => Self::CaCompromise,
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}

impl Revoke {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let ca = self.at.ca()?;
        let request = RevokeRequest::new(self.serial).because(self.reason.into());
        let revoked = block_on(ca.revoke(request))??;
        writeln!(out, "revoked {}", revoked.serial)?;
        writeln!(out, "  since   {}", told(revoked.revoked_at))?;
        writeln!(out, "  reason  {}", revoked.reason)?;
        writeln!(
            out,
            "  list    {}, which running proxies of this directory take within seconds",
            revoked.crl_number
        )?;
        Ok(())
    }
}
