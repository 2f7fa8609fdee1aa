//! Finds secrets where they do not belong, however they are written.

use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;

/// Secrets, in every form in which a program may print them.
#[derive(Default)]
pub(crate) struct Secrets {
    forms: Vec<(String, String)>,
    keys: usize,
}

impl Secrets {
    /// All private keys in the files of a directory and of those in it, also where the text is in JSON.
    pub(crate) fn collect(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.collect(&path);
                continue;
            }
            let content = std::fs::read(&path).expect("readable");
            let text = String::from_utf8_lossy(&content).replace("\\n", "\n");
            for block in text.split("-----BEGIN ").skip(1) {
                let whole = format!("-----BEGIN {block}");
                let Ok(block) = pem::parse(&whole) else { continue };
                if block.tag().ends_with("PRIVATE KEY") {
                    self.add_key(&path.display().to_string(), block.contents());
                }
            }
        }
    }

    /// How many keys there are.
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    /// A private key in PKCS #8, of P-256.
    pub(crate) fn add_key(&mut self, name: &str, der: &[u8]) {
        // ECPrivateKey ::= SEQUENCE { version 1, privateKey OCTET STRING (32 bytes), … }
        let start = der
            .windows(5)
            .position(|window| window == [2, 1, 1, 4, 32])
            .expect("a key of P-256")
            + 5;
        let scalar = &der[start..start + 32];
        self.keys += 1;
        let text = pem::encode(&pem::Pem::new("PRIVATE KEY", der));
        // 48 bytes a line: the key stands at the end of the first and at the begin of the second. Behind it is what is public.
        let mut lines = text.lines().skip(1);
        let [first, second] = [lines.next(), lines.next()].map(|line| line.expect("two lines"));
        assert!(start >= 30 && start + 16 <= 66, "where the key stands: {start}");
        self.add(name, "the first line of its PEM", &first[first.len() - 24..]);
        self.add(name, "the second line of its PEM", &second[..24]);
        for (half, bytes) in [("begin", &scalar[..16]), ("end", &scalar[16..])] {
            let what = |form: &str| format!("the {half} of the key, {form}");
            let mut hex = String::new();
            bytes
                .iter()
                .for_each(|byte| write!(hex, "{byte:02x}").expect("a text"));
            self.add(name, &what("in hexadecimal"), &hex);
            self.add(name, &what("in upper-case hexadecimal"), &hex.to_uppercase());
            let list = format!("{bytes:?}");
            self.add(
                name,
                &what("as a list"),
                &list.trim_matches(['[', ']']).replace(' ', ""),
            );
            let escaped = format!("{:?}", Bytes::copy_from_slice(bytes));
            self.add(
                name,
                &what("as a byte string"),
                escaped.trim_start_matches("b\"").trim_end_matches('"'),
            );
            self.add(
                name,
                &what("as a byte string of std"),
                &bytes.escape_ascii().to_string(),
            );
            // Wherever it begins in what was encoded.
            for skipped in 0..3 {
                let coded = base64(&bytes[skipped..]);
                self.add(name, &what("in base64"), &coded[..coded.len() - 4]);
            }
        }
    }

    /// A password or a token.
    pub(crate) fn add_text(&mut self, name: &str, text: &str) {
        self.add(name, "as it is", text);
        self.add(name, "in base64", base64(text.as_bytes()).trim_end_matches('='));
        let list = format!("{:?}", text.as_bytes());
        self.add(name, "as a list", &list.trim_matches(['[', ']']).replace(' ', ""));
    }

    fn add(&mut self, name: &str, form: &str, text: &str) {
        self.forms.push((format!("{name}: {form}"), text.to_owned()));
    }

    /// Those that are in a text: what is between digits is looked over, as colons and the spaces of lists.
    pub(crate) fn found_in(&self, text: &str) -> Vec<&str> {
        let dense: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
        let is_there = |form: &String| text.contains(form) || dense.contains(form);
        self.forms
            .iter()
            .filter(|(_, form)| is_there(form))
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

fn base64(bytes: &[u8]) -> String {
    let block = pem::encode(&pem::Pem::new("X", bytes));
    block.lines().filter(|line| !line.starts_with('-')).collect()
}
