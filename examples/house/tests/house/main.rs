//! The house as it should be: who depends on whom, what may come in, and that the documents tell the truth.

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

mod cases;
mod dependencies;
mod rooms;
mod star;
mod supply;

/// The libraries. The first is the one that all others depend on.
const CRATES: [&str; 6] = [
    "mesh-core",
    "mesh-lb",
    "mesh-tls",
    "mesh-traffic",
    "mesh-canary",
    "mesh-telemetry",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the package lies two levels below the workspace")
        .to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The workspace and everything it depends on here, with all features.
fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--filter-platform".to_owned(), host()])
        .exec()
        .expect("cargo metadata")
}

fn host() -> String {
    let version = run(Command::new("rustc").arg("-vV"));
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc tells its host").to_owned()
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What is between a heading and the next one of its level or above.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let level = heading.bytes().take_while(|byte| *byte == b'#').count();
    let start = text
        .match_indices(heading)
        .map(|(at, _)| at + heading.len())
        .find(|end| text[*end..].starts_with('\n'))
        .unwrap_or_else(|| panic!("there is no heading {heading:?}"));
    let ends = |line: &str| {
        let hashes = line.bytes().take_while(|byte| *byte == b'#').count();
        (1..=level).contains(&hashes)
    };
    let mut length = 0;
    for line in text[start..].split_inclusive('\n') {
        if ends(line) {
            break;
        }
        length += line.len();
    }
    &text[start..start + length]
}
