//! docs/architecture.md names every room there is, and none that there is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::{CRATES, metadata, quoted, read, root, section};

/// The modules of a crate as paths below `src`, tests left out: `breaker`, `breaker/window`.
fn modules(name: &str) -> BTreeSet<String> {
    fn walk(folder: &Path, below: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.expect("an entry").path();
            let stem = path
                .file_stem()
                .expect("a name")
                .to_str()
                .expect("UTF-8")
                .to_owned();
            let module = if below.is_empty() {
                stem.clone()
            } else {
                format!("{below}/{stem}")
            };
            if path.is_dir() && stem != "tests" {
                walk(&path, &module, found);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !["lib", "main", "tests"].contains(&stem.as_str())
            {
                found.insert(module);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&root().join(name).join("src"), "", &mut found);
    found
}

/// The rooms that the document gives a crate: each with all that its paragraph names, and those only planned.
fn documented<'d>(
    document: &'d str,
    name: &str,
) -> (BTreeMap<&'d str, BTreeSet<&'d str>>, BTreeSet<&'d str>) {
    let (mut rooms, mut planned) = (BTreeMap::new(), BTreeSet::new());
    let section = section(document, &format!("### {name}"));
    for item in section.split("\n- ").skip(1) {
        let paragraph = item.split("\n\n").next().unwrap_or(item);
        if let Some(list) = paragraph.strip_prefix("planned: ") {
            planned.extend(quoted(list));
        } else {
            let mut names = quoted(paragraph);
            let room = names
                .next()
                .unwrap_or_else(|| panic!("{name}: {paragraph:?} names no room"));
            assert!(
                rooms.insert(room, names.collect()).is_none(),
                "{name}: `{room}` has two paragraphs"
            );
        }
    }
    (rooms, planned)
}

#[test]
fn every_module_has_its_place_in_the_document() {
    let document = read("docs/architecture.md");
    let mut missing = Vec::new();
    for name in CRATES {
        let (rooms, _) = documented(&document, name);
        for module in modules(name) {
            let mut steps = module.split('/');
            let room = steps.next().unwrap_or_default();
            let told = rooms
                .get(room)
                .is_some_and(|inside| steps.clone().all(|step| inside.contains(step)));
            if !told {
                missing.push(format!("{name}: {module}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "docs/architecture.md does not tell of these modules:\n{}\n\
         A room is a list item below its crate that begins with its name in backticks; what is inside it is \
         named in the same item.",
        missing.join("\n")
    );
}

#[test]
fn every_room_in_the_document_exists_unless_it_is_planned() {
    let document = read("docs/architecture.md");
    for name in CRATES {
        let modules = modules(name);
        let (rooms, planned) = documented(&document, name);
        assert!(!rooms.is_empty(), "{name} has no rooms");
        for room in rooms.keys() {
            assert!(
                modules.contains(*room),
                "{name} has no room `{room}`: build it, or call it planned"
            );
        }
        for room in planned {
            assert!(
                !modules.contains(room),
                "{name} has the room `{room}`: it is not planned any more"
            );
        }
    }
}

#[test]
fn every_package_is_in_the_document() {
    let document = read("docs/architecture.md");
    let named: BTreeSet<_> = quoted(&document).collect();
    for package in metadata().workspace_packages() {
        let name = package.name.as_str();
        let told = if CRATES.contains(&name) {
            let introduction = section(&document, &format!("### {name}"));
            introduction.trim_start().starts_with(char::is_alphabetic)
        } else {
            named.contains(name)
        };
        assert!(told, "docs/architecture.md does not tell what {name} is for");
    }
}

#[test]
fn every_decision_has_a_number_of_its_own_and_is_in_the_document() {
    let document = read("docs/architecture.md");
    let mut numbers = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("docs/adr")).expect("a folder of decisions") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let number = name.split('-').next().expect("a number").to_owned();
        assert!(
            number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()),
            "{name}"
        );
        assert!(
            document.contains(&format!("(adr/{name})")),
            "docs/architecture.md has no link to {name}"
        );
        assert!(numbers.insert(number), "{name}: the number is taken");
    }
    assert!(!numbers.is_empty());
}
