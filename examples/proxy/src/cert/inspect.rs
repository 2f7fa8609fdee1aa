//! `cert inspect`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use mesh_core::BoxError;
use mesh_tls::{Certificate, pem};
use serde_json::{Value, json};

use super::{read, told};

/// `cert inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// One or more certificates, PEM
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), BoxError> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", self.file.display());
        let certificates = pem::certificates(&read(&self.file)?).map_err(|error| wrong(&error))?;
        for (place, der) in certificates.iter().enumerate() {
            let certificate = Certificate::parse(der)
                .map_err(|error| wrong(&format!("certificate {}: {error}", place + 1)))?;
            let facts = facts(&certificate);
            if self.json {
                writeln!(
                    out,
                    "{}",
                    Value::Object(
                        facts
                            .into_iter()
                            .map(|(name, fact)| (name.replace(' ', "_"), fact))
                            .collect()
                    )
                )?;
                continue;
            }
            writeln!(out, "certificate {}", place + 1)?;
            for (name, fact) in facts {
                writeln!(out, "  {name:13} {}", text(&fact))?;
            }
        }
        Ok(())
    }
}

fn facts(certificate: &Certificate) -> Vec<(String, Value)> {
    let usage = certificate.key_usage().map(|usage| {
        let all = [
            (usage.digital_signature, "handshakes"),
            (usage.key_cert_sign, "certificates"),
            (usage.crl_sign, "revocation lists"),
        ];
        all.into_iter()
            .filter(|(may, _)| *may)
            .map(|(_, what)| what)
            .collect::<Vec<_>>()
    });
    let purposes = certificate
        .purposes()
        .map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
    let identity = match certificate.spiffe_id() {
        Ok(id) => json!(id.as_str()),
        Err(_) => Value::Null,
    };
    [
        ("identity", identity),
        ("serial", json!(certificate.serial().to_string())),
        ("subject", json!(certificate.subject())),
        ("issuer", json!(certificate.issuer())),
        ("good from", json!(told(certificate.not_before()))),
        ("good until", json!(told(certificate.not_after()))),
        ("key", json!(certificate.key().to_string())),
        ("ca", json!(certificate.is_ca())),
        ("signs", json!(usage)),
        ("shown as", json!(purposes)),
        ("uris", json!(certificate.uris())),
        ("dns names", json!(certificate.dns_names())),
        ("fingerprint", json!(certificate.fingerprint())),
    ]
    .map(|(name, fact)| (name.to_owned(), fact))
    .into()
}

fn text(fact: &Value) -> String {
    match fact {
        Value::Null => "-".into(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        Value::String(text) => printable(text),
        Value::Array(all) if all.is_empty() => "-".into(),
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Without what moves a cursor or begins a line: whoever made the certificate wrote this.
fn printable(text: &str) -> String {
    let visible = |c: char| match c.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_certificate_moves_the_cursor() {
        let names = json!(["orders.example", "a\u{1b}[2J\nserial        00"]);
        assert_eq!(
            text(&names),
            "orders.example, a\u{fffd}[2J\u{fffd}serial        00"
        );
        assert_eq!(text(&Value::Null), "-");
    }
}
