//! No text makes the loader panic, and no report of a text is empty or beyond bounds.

use std::fs;
use std::path::Path;

use mesh_proxy::config::parse;
use proptest::prelude::*;

/// Loads, and prints what comes of it.
fn survives(text: &str) {
    match parse("mesh.yaml", text) {
        Ok(loaded) => {
            let shown = format!("{:?}", loaded.config);
            assert!(!shown.is_empty());
            for warning in loaded.warnings {
                assert!(warning.origin().line() >= 1 && !warning.to_string().is_empty());
            }
        }
        Err(report) => {
            assert!((1..=1000).contains(&report.problems().len()));
            let shown = report.to_string();
            assert!(shown.lines().count() >= 3);
            assert!(
                !shown.contains(|c: char| c.is_control() && c != '\n'),
                "{shown:?}"
            );
        }
    }
}

fn sources() -> Vec<String> {
    let at = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(at.join(path)).expect(path);
    let mut sources: Vec<String> = [
        "tests/documents/every-key.yaml",
        "tests/documents/service-mesh.yaml",
        "../golden/b.yaml",
        "../golden/c.yaml",
    ]
    .map(read)
    .into();
    for file in fs::read_dir(at.join("tests/broken")).expect("the directory") {
        sources.push(fs::read_to_string(file.expect("an entry").path()).expect("text"));
    }
    sources
}

/// What breaks documents: structure, quotes, signs, numbers at their ends, letters of more than a byte.
const PIECES: [&str; 24] = [
    "",
    " ",
    "\n",
    "\t",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "&a ",
    "*a",
    "!!str ",
    "|",
    "#",
    "---\n",
    "-1",
    "1e999",
    "99999999999999999999",
    "ä",
    "\u{feff}",
    "null",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,200}|[-:{}\\[\\]'\"&*!|>#%@, \na-z0-9.~é]{0,300}") {
        survives(&text);
    }

    #[test]
    fn no_bytes_that_are_text_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_change_of_a_file_is_too_strange(
        source in 0..25_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..12_usize, 0..PIECES.len()), 1..6),
    ) {
        let sources = sources();
        let mut text: Vec<char> = sources[source % sources.len()].chars().collect();
        for (at, removed, piece) in changes {
            let at = at.index(text.len() + 1);
            let end = text.len().min(at + removed);
            text.splice(at..end, PIECES[piece].chars());
        }
        survives(&text.into_iter().collect::<String>());
    }

    /// Any value in the place of any other.
    #[test]
    fn no_value_is_too_strange(line in any::<prop::sample::Index>(), value in "\\PC{0,40}|[0-9.e+-]{1,30}(ms|s|d|KiB)?") {
        let text = sources().swap_remove(0);
        let lines: Vec<&str> = text.lines().collect();
        let place = line.index(lines.len());
        let changed: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(n, line)| match line.split_once(": ") {
                Some((key, _)) if n == place => format!("{key}: {value}"),
                _ => (*line).to_owned(),
            })
            .collect();
        survives(&changed.join("\n"));
    }
}
