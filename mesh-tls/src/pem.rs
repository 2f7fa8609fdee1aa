//! Certificates, keys and revocation lists as text.

use std::fmt;

use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, CertificateSigningRequestDer, PrivateKeyDer,
};
use zeroize::Zeroizing;

use crate::key::PrivateKey;

/// Why a text is not what was expected. It never shows a part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemError {
    line: Option<usize>,
    message: String,
}

impl PemError {
    fn whole(message: impl Into<String>) -> Self {
        Self {
            line: None,
            message: message.into(),
        }
    }

    fn at(line: usize, message: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            message: message.into(),
        }
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for PemError {}

const PASSPHRASE: &str = "the key has a passphrase: expected one without (openssl pkcs8 -topk8 -nocrypt)";

/// One block, decoded.
struct Block {
    line: usize,
    label: String,
    der: Zeroizing<Vec<u8>>,
}

/// The blocks of a text. Between them may stand empty lines and lines that begin with `#`, nothing else: what is
/// neither a block nor a comment is a block that was damaged.
fn blocks(text: &[u8]) -> Result<Vec<Block>, PemError> {
    let text = std::str::from_utf8(text).map_err(|_| PemError::whole("it is not text: expected PEM"))?;
    // Editors on Windows put one before the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Zeroizing<String>)> = None;
    for (number, line) in text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
    {
        match &mut open {
            Some((began, block)) => {
                block.push_str(line);
                block.push('\n');
                if line.starts_with("-----END ") {
                    blocks.push(decode(*began, block)?);
                    open = None;
                } else if line.starts_with("-----BEGIN ") {
                    return Err(PemError::at(
                        number,
                        "a block begins within a block: the end of the one before is missing",
                    ));
                }
            }
            None if line.starts_with("-----BEGIN ") => {
                open = Some((number, Zeroizing::new(format!("{line}\n"))))
            }
            None if line.is_empty() || line.starts_with('#') => {}
            None => {
                return Err(PemError::at(
                    number,
                    "expected -----BEGIN …-----, an empty line, or a comment that begins with #",
                ));
            }
        }
    }
    match open {
        Some((began, _)) => Err(PemError::at(began, "the block that begins here has no end")),
        None => Ok(blocks),
    }
}

fn decode(line: usize, block: &str) -> Result<Block, PemError> {
    // The parser's own message may quote what it read, and that may be a key.
    let parsed =
        pem::parse(block).map_err(|_| PemError::at(line, "the block that begins here is damaged"))?;
    if parsed.headers().get("DEK-Info").is_some() {
        return Err(PemError::at(line, PASSPHRASE));
    }
    Ok(Block {
        line,
        label: parsed.tag().to_owned(),
        der: Zeroizing::new(parsed.into_contents()),
    })
}

fn unexpected(block: &Block, expected: &str) -> PemError {
    PemError::at(
        block.line,
        format!("found {:?}: expected {expected}", block.label),
    )
}

/// The certificates of a text, at least one, each once, in the order of the text.
///
/// # Errors
/// Something else is in it, a block is damaged, or there is no certificate.
///
/// ```
/// let error = mesh_tls::pem::certificates(b"# roots\n\nhello\n").expect_err("no PEM");
/// assert!(error.to_string().starts_with("line 3: expected -----BEGIN"));
/// ```
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut certificates: Vec<CertificateDer<'static>> = Vec::new();
    for block in blocks(text)? {
        if block.label != "CERTIFICATE" {
            return Err(unexpected(&block, "CERTIFICATE"));
        }
        let certificate = CertificateDer::from(block.der.to_vec());
        if !certificates.contains(&certificate) {
            certificates.push(certificate);
        }
    }
    match certificates.is_empty() {
        true => Err(PemError::whole(
            "there is no certificate in it: expected -----BEGIN CERTIFICATE-----",
        )),
        false => Ok(certificates),
    }
}

/// The private key of a text: PKCS #8, or what older tools write for RSA (PKCS #1) and elliptic curves (SEC 1).
///
/// # Errors
/// There is none, more than one, one that is encrypted, or something else.
pub fn private_key(text: &[u8]) -> Result<PrivateKey, PemError> {
    // Each is taken over at once, so that it is overwritten whatever follows.
    let mut key: Option<PrivateKey> = None;
    for block in blocks(text)? {
        let der = || block.der.to_vec();
        let found = match block.label.as_str() {
            "PRIVATE KEY" => PrivateKeyDer::Pkcs8(der().into()),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(der().into()),
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(der().into()),
            // What `openssl ecparam -genkey` writes before a key.
            "EC PARAMETERS" => continue,
            "ENCRYPTED PRIVATE KEY" => return Err(PemError::at(block.line, PASSPHRASE)),
            _ => return Err(unexpected(&block, "PRIVATE KEY")),
        };
        if key.replace(PrivateKey::from(found)).is_some() {
            return Err(PemError::at(
                block.line,
                "there is a second private key: expected one",
            ));
        }
    }
    key.ok_or_else(|| PemError::whole("there is no private key in it: expected -----BEGIN PRIVATE KEY-----"))
}

/// The revocation lists of a text, or the one in DER.
///
/// # Errors
/// Something else is in it, a block is damaged, or there is no list.
pub fn crls(content: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    // A list in DER is a SEQUENCE; no text begins with that byte.
    if content.first() == Some(&0x30) {
        return Ok(vec![content.to_vec().into()]);
    }
    let mut crls = Vec::new();
    for block in blocks(content)? {
        if block.label != "X509 CRL" {
            return Err(unexpected(&block, "X509 CRL"));
        }
        crls.push(CertificateRevocationListDer::from(block.der.to_vec()));
    }
    match crls.is_empty() {
        true => Err(PemError::whole(
            "there is no revocation list in it: expected -----BEGIN X509 CRL-----",
        )),
        false => Ok(crls),
    }
}

/// The one certificate signing request of a text.
///
/// # Errors
/// There is none, more than one, or something else.
pub fn certificate_request(text: &[u8]) -> Result<CertificateSigningRequestDer<'static>, PemError> {
    let mut request = None;
    for block in blocks(text)? {
        // The second is what older tools write.
        if !["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"].contains(&block.label.as_str()) {
            return Err(unexpected(&block, "CERTIFICATE REQUEST"));
        }
        let der = CertificateSigningRequestDer::from(block.der.to_vec());
        if request.replace(der).is_some() {
            return Err(PemError::at(
                block.line,
                "there is a second request: expected one",
            ));
        }
    }
    request.ok_or_else(|| {
        PemError::whole("there is no request in it: expected -----BEGIN CERTIFICATE REQUEST-----")
    })
}

/// A certificate signing request as text.
pub fn encode_certificate_request(request: &CertificateSigningRequestDer<'_>) -> String {
    pem::encode_config(&pem::Pem::new("CERTIFICATE REQUEST", request.to_vec()), unix())
}

/// Certificates as text.
pub fn encode_certificates<'c>(
    certificates: impl IntoIterator<Item = &'c CertificateDer<'static>>,
) -> String {
    let pem = |certificate: &CertificateDer<'static>| pem::Pem::new("CERTIFICATE", certificate.to_vec());
    pem::encode_many_config(&certificates.into_iter().map(pem).collect::<Vec<_>>(), unix())
}

/// A revocation list as text.
pub fn encode_crl(crl: &CertificateRevocationListDer<'static>) -> String {
    pem::encode_config(&pem::Pem::new("X509 CRL", crl.to_vec()), unix())
}

/// A private key as text, in PKCS #8 if it was held so.
pub fn encode_private_key(key: &PrivateKey) -> Zeroizing<String> {
    let (label, der) = match key.expose_secret() {
        PrivateKeyDer::Sec1(der) => ("EC PRIVATE KEY", der.secret_sec1_der()),
        PrivateKeyDer::Pkcs1(der) => ("RSA PRIVATE KEY", der.secret_pkcs1_der()),
        key => ("PRIVATE KEY", key.secret_der()),
    };
    Zeroizing::new(pem::encode_config(&pem::Pem::new(label, der), unix()))
}

fn unix() -> pem::EncodeConfig {
    pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(content: &[u8]) -> String {
        encode_certificates([&CertificateDer::from(content.to_vec())])
    }

    #[test]
    fn blank_lines_comments_and_line_endings_of_windows_are_fine_and_duplicates_are_one() {
        let text = format!(
            "# roots\n\n{0}\n\n{1}\n{0}\n\n",
            certificate(b"one"),
            certificate(b"two")
        );
        for text in [
            text.clone(),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{text}"),
        ] {
            let read = certificates(text.as_bytes()).expect("two");
            assert_eq!(
                read.iter().map(AsRef::as_ref).collect::<Vec<_>>(),
                [b"one", b"two"]
            );
        }
    }

    #[test]
    fn what_is_no_block_is_refused_with_its_line() {
        let good = certificate(b"one");
        let lines = good.lines().count();
        for (text, line) in [
            (format!("{good}junk\n"), lines + 1),
            (format!("\n{}", good.replace("-----END CERTIFICATE-----", "")), 2),
            (
                format!("{}{good}", good.replace("-----END CERTIFICATE-----\n", "")),
                lines,
            ),
            (good.replace("b25l", "b2*l"), 1),
            (good.replace("CERTIFICATE", "PUBLIC KEY"), 1),
        ] {
            let error = certificates(text.as_bytes()).expect_err(&text);
            assert!(
                error.to_string().starts_with(&format!("line {line}: ")),
                "{error}\n{text}"
            );
        }
        assert!(certificates(b"").is_err() && certificates(b"# nothing\n").is_err());
        assert!(certificates(&[0x30, 0xff]).is_err());
    }

    #[test]
    fn one_key_is_wanted_and_no_message_shows_a_part_of_it() {
        let key = PrivateKey::from_pkcs8(b"top secret".to_vec());
        let text = encode_private_key(&key);
        assert_eq!(
            private_key(text.as_bytes())
                .expect("a key")
                .expose_secret()
                .secret_der(),
            b"top secret"
        );
        let coded = text.lines().nth(1).expect("the key").to_owned();
        for wrong in [
            text.repeat(2),
            text.replace(&coded, &format!("{coded}*")),
            text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            text.replace("-----END PRIVATE KEY-----", ""),
            String::new(),
        ] {
            let error = private_key(wrong.as_bytes()).expect_err("refused");
            assert!(!format!("{error} {error:?}").contains(&coded), "{error}");
        }
    }

    #[test]
    fn a_key_with_a_passphrase_is_told_from_one_that_is_damaged() {
        let text = encode_private_key(&PrivateKey::from_pkcs8(b"top secret".to_vec()));
        let old = text
            .replacen(
                "-----BEGIN PRIVATE KEY-----\n",
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
                1,
            )
            .replace("END PRIVATE", "END RSA PRIVATE");
        for text in [old, text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")] {
            let error = private_key(text.as_bytes()).expect_err("encrypted");
            assert!(error.to_string().contains("has a passphrase"), "{error}");
        }
    }

    #[test]
    fn a_revocation_list_is_text_or_der() {
        assert_eq!(crls(&[0x30, 0]).expect("DER")[0].as_ref(), [0x30, 0]);
        let text = pem::encode(&pem::Pem::new("X509 CRL", vec![1, 2]));
        assert_eq!(crls(text.as_bytes()).expect("PEM")[0].as_ref(), [1, 2]);
        assert!(crls(b"").is_err());
    }
}
