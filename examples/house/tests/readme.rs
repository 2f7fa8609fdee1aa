//! What the README shows is what is compiled and tested.

use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The part of an example between its two marks, as it is shown: without what it stands in.
fn mesh_part(example: &str) -> String {
    let text = read(&format!("examples/{example}/src/main.rs"));
    let (_, rest) = text.split_once("    // mesh: begin\n").expect("a beginning");
    let (part, _) = rest.split_once("    // mesh: end").expect("an end");
    part.lines()
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
        .collect()
}

#[test]
fn the_examples_of_the_readme_are_the_ones_that_run() {
    let readme = read("README.md");
    for example in ["wrap-axum", "client"] {
        let part = mesh_part(example);
        assert!(
            readme.contains(&format!("```rust\n{part}```")),
            "{example}: the README should show\n{part}"
        );
    }
}

#[test]
fn joining_the_mesh_takes_at_most_25_lines() {
    for example in ["wrap-axum", "client"] {
        let lines = mesh_part(example).lines().count();
        assert!((5..=25).contains(&lines), "{example}: {lines} lines");
    }
}
