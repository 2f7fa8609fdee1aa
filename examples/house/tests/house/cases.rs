//! The tests that the table of security cases names are there.

use std::collections::HashSet;
use std::path::Path;

use crate::{quoted, read, root};

const PAGE: &str = "docs/security-cases.md";

/// The functions of every file of Rust in a folder, and the names of the files.
fn functions(folder: &Path, found: &mut HashSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("target") {
                functions(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let names = text
                .split("fn ")
                .skip(1)
                .filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
            found.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
}

#[test]
fn every_test_that_a_security_case_names_exists() {
    let mut known = HashSet::new();
    for folder in ["mesh-tls", "mesh-core", "examples"] {
        functions(&root().join(folder), &mut known);
    }
    let page = read(PAGE);
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let mut missing = Vec::new();
    let mut named = 0;
    for row in rows {
        let tests = row.rsplit(" | ").next().unwrap_or_default();
        for test in quoted(tests) {
            named += 1;
            let name = test.rsplit("::").next().unwrap_or_default();
            let is_there = match test.contains('/') {
                true => root().join(test).exists(),
                false => known.contains(name),
            };
            if !is_there {
                missing.push(test.to_owned());
            }
        }
    }
    assert!(named > 20, "only {named} tests are named in {PAGE}");
    assert_eq!(missing, Vec::<String>::new(), "named in {PAGE}, and not there");
}
