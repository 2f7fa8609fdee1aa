//! What deny.toml allows and bans, checked without cargo-deny, so that it holds on every machine.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::Package;

use crate::{metadata, read, root};

/// The lines of an array in deny.toml.
fn array(document: &str, table: &str, key: &str) -> Vec<String> {
    let table = document
        .split_once(&format!("[{table}]\n"))
        .unwrap_or_else(|| panic!("deny.toml has no table {table}"))
        .1;
    let array = table
        .split_once(&format!("{key} = [\n"))
        .unwrap_or_else(|| panic!("deny.toml has no array {key}"))
        .1;
    let lines = array.lines().take_while(|line| *line != "]").map(str::trim);
    lines
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// The value after `key = "`.
fn text<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.split_once(&format!("{key} = \""))?.1.split('"').next()
}

/// Whether one may choose only allowed licences: `A OR B AND (C OR D)`, and the old `A/B`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let fine = any_of(&mut rest, allowed);
    assert!(rest.is_empty(), "{expression:?} is no licence expression");
    fine
}

fn any_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut fine = all_of(rest, allowed);
    while take(rest, "OR") {
        fine |= all_of(rest, allowed);
    }
    fine
}

fn all_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut fine = one(rest, allowed);
    while take(rest, "AND") {
        fine &= one(rest, allowed);
    }
    fine
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    if take(rest, "(") {
        let fine = any_of(rest, allowed);
        assert!(take(rest, ")"), "a parenthesis is not closed");
        return fine;
    }
    let Some((name, after)) = rest.split_first() else {
        panic!("a licence is missing")
    };
    *rest = after;
    let mut name = (*name).to_owned();
    if take(rest, "WITH") {
        let Some((exception, after)) = rest.split_first() else {
            panic!("an exception is missing")
        };
        *rest = after;
        name = format!("{name} WITH {exception}");
    }
    allowed.contains(&name)
}

fn take(rest: &mut &[&str], token: &str) -> bool {
    let found = rest.first() == Some(&token);
    if found {
        *rest = &rest[1..];
    }
    found
}

fn allowed() -> BTreeSet<String> {
    let lines = array(&read("deny.toml"), "licenses", "allow");
    lines
        .iter()
        .map(|line| line.trim_matches(['"', ',']).to_owned())
        .collect()
}

fn name(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

#[test]
fn an_expression_is_allowed_if_a_choice_of_it_is() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned));
    for (expression, fine) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("MIT AND ISC", true),
        ("(GPL-3.0-only OR MIT) AND ISC", true),
        ("(GPL-3.0-only OR MIT) AND OpenSSL", false),
        ("Apache-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("GPL-3.0-only OR MIT AND OpenSSL", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), fine, "{expression}");
    }
}

#[test]
fn every_licence_in_the_tree_is_allowed() {
    let (metadata, allowed) = (metadata(), allowed());
    assert!(
        allowed.contains("MIT") && metadata.packages.len() > 50,
        "nothing was looked at"
    );
    let refused: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| {
            !package
                .license
                .as_deref()
                .is_some_and(|license| is_allowed(license, &allowed))
        })
        .map(|package| format!("{}: {:?}", name(package), package.license))
        .collect();
    assert!(
        refused.is_empty(),
        "deny.toml does not allow the licence of {refused:#?}"
    );
}

#[test]
fn nothing_banned_is_in_the_tree_and_what_must_be_one_is_one() {
    let (metadata, document) = (metadata(), read("deny.toml"));
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in &metadata.packages {
        versions.entry(package.name.as_str()).or_default().push(package);
    }
    let bans = array(&document, "bans", "deny");
    assert!(bans.len() > 10, "not the whole list: {bans:?}");
    for ban in &bans {
        let banned = text(ban, "crate").unwrap_or_else(|| panic!("{ban} names no crate"));
        let found = versions.get(banned).map_or(&[][..], Vec::as_slice);
        if ban.contains("deny-multiple-versions = true") {
            let names: Vec<_> = found.iter().map(|package| name(package)).collect();
            assert!(names.len() <= 1, "there must be one {banned}, not {names:?}");
        } else if !found.is_empty() {
            let users: BTreeSet<_> = metadata
                .packages
                .iter()
                .filter(|package| {
                    package
                        .dependencies
                        .iter()
                        .any(|dependency| dependency.name == banned)
                })
                .filter(|package| is_used(&metadata, package, banned))
                .map(|package| package.name.as_str())
                .collect();
            let wrappers = ban.split_once("wrappers = [").map_or("", |(_, list)| list);
            let strangers: Vec<_> = users
                .into_iter()
                .filter(|user| !wrappers.contains(&format!("\"{user}\"")))
                .collect();
            let reason = text(ban, "reason").unwrap_or_else(|| panic!("{ban} has no reason"));
            assert!(strangers.is_empty(), "{strangers:?} bring {banned}: {reason}");
        }
    }
}

/// Whether the package really comes with the other one here, and does not only know it as an option.
fn is_used(metadata: &cargo_metadata::Metadata, package: &Package, other: &str) -> bool {
    let resolve = metadata.resolve.as_ref().expect("a resolved tree");
    let node = resolve
        .nodes
        .iter()
        .find(|node| node.id == package.id)
        .expect("a node a package");
    let is_resolved = node.dependencies.iter().any(|id| metadata[id].name == other);
    let is_optional = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.name == other)
        .all(|dependency| dependency.optional);
    // cargo's answer holds what a feature would only touch if it were there (`other?/feature`) as if it were there.
    let asks_for = |wanted: &String| {
        [format!("dep:{other}"), other.to_owned()].contains(wanted)
            || wanted.starts_with(&format!("{other}/"))
    };
    let is_asked_for = node
        .features
        .iter()
        .filter_map(|feature| package.features.get(feature.as_str()))
        .any(|wants| wants.iter().any(asks_for));
    is_resolved && (!is_optional || is_asked_for)
}

#[test]
fn everything_comes_from_the_default_registry_or_from_here() {
    for package in &metadata().packages {
        match &package.source {
            None => assert!(
                package.manifest_path.starts_with(root()),
                "{} is from elsewhere",
                name(package)
            ),
            Some(source) => assert!(source.is_crates_io(), "{} comes from {source}", name(package)),
        }
    }
}
