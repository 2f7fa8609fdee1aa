//! `cert list`

use std::io::Write;
use std::time::SystemTime;

use clap::Args;
use mesh_core::BoxError;
use serde_json::json;

use super::{StateDir, told};

/// `cert list`
#[derive(Debug, Args)]
pub struct List {
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: StateDir,
}

impl List {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let (issued, now) = (self.at.ca()?.issued()?, SystemTime::now());
        if !self.json {
            writeln!(
                out,
                "{:32}  {:8}  {:20}  IDENTITY",
                "SERIAL", "STATE", "GOOD UNTIL"
            )?;
        }
        for record in issued {
            let state = if record.not_after < now { "expired" } else { "good" };
            if self.json {
                let line = json!({
                    "serial": record.serial.to_string(),
                    "identity": record.spiffe_id.as_str(),
                    "state": state,
                    "not_before": told(record.not_before),
                    "not_after": told(record.not_after),
                    "issued_at": told(record.issued_at),
                    "key_sha256": record.key_hash,
                });
                writeln!(out, "{line}")?;
            } else {
                let (serial, until) = (record.serial.to_string(), told(record.not_after));
                writeln!(out, "{serial:32}  {state:8}  {until:20}  {}", record.spiffe_id)?;
            }
        }
        Ok(())
    }
}
