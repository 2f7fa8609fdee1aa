//! Every dependency has its line in docs/dependencies.md.

use std::collections::BTreeSet;

use crate::{CRATES, read, section};

/// The keys of `[workspace.dependencies]`, our own crates left out.
fn declared(manifest: &str) -> BTreeSet<&str> {
    let after = manifest
        .split_once("[workspace.dependencies]\n")
        .expect("the workspace has dependencies")
        .1;
    let table = after.lines().take_while(|line| !line.starts_with('['));
    table
        .filter(|line| !line.starts_with([' ', '#', ']', '}']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, _)| key.trim())
        .filter(|key| !CRATES.contains(key))
        .collect()
}

/// The first cells of the tables in the document, with what stands in the rest of the row.
fn described(document: &str) -> Vec<(&str, Vec<&str>)> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once("` |"))
        .map(|(name, rest)| {
            (
                name,
                rest.trim_end_matches('|').split('|').map(str::trim).collect(),
            )
        })
        .collect()
}

#[test]
fn every_dependency_says_what_it_is_for_and_why_it_was_chosen() {
    let (manifest, document) = (read("Cargo.toml"), read("docs/dependencies.md"));
    let declared = declared(&manifest);
    assert!(
        declared.len() > 30 && declared.contains("tokio"),
        "not the whole table: {declared:?}"
    );

    let rows = described(&document);
    let described: BTreeSet<_> = rows.iter().map(|(name, _)| *name).collect();
    let missing: Vec<_> = declared.difference(&described).collect();
    assert!(
        missing.is_empty(),
        "docs/dependencies.md has no line for {missing:?}"
    );
    let gone: Vec<_> = described.difference(&declared).collect();
    assert!(
        gone.is_empty(),
        "docs/dependencies.md has a line for {gone:?}, which nobody depends on"
    );
    assert_eq!(rows.len(), described.len(), "a dependency has two lines");
    for (name, cells) in rows {
        let filled = cells.len() == 2 && cells.iter().all(|cell| !cell.is_empty());
        assert!(
            filled,
            "{name}: expected what it is for and why this one, found {cells:?}"
        );
    }
}

#[test]
fn what_is_only_for_tests_stands_under_its_own_heading() {
    let (manifest, document) = (read("Cargo.toml"), read("docs/dependencies.md"));
    let below = manifest
        .split_once("# Development only\n")
        .expect("a line that says so")
        .1
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "));
    let for_tests: BTreeSet<_> = below.map(|(key, _)| key).collect();
    let documented = described(section(&document, "## Development only"));
    let documented: BTreeSet<_> = documented.iter().map(|(name, _)| *name).collect();
    assert_eq!(documented, for_tests);
}
