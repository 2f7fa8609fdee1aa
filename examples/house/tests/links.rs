//! The links of the documents lead somewhere.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the package lies two levels below the workspace")
        .to_owned()
}

/// The Markdown files of a folder and the folders in it.
fn documents(folder: &Path, deep: bool, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() && deep {
            documents(&path, deep, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// What links and pictures lead to within the repository, without the place in the page.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let links = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    links
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .filter_map(|link| link.split('#').next())
        .filter(|path| !path.is_empty())
}

#[test]
fn only_links_within_the_repository_are_followed() {
    let text = "[a](docs/a.md) [b](b.md#part) [c](#here) [d](https://example.org/d.md) ![e](e.svg \"title\")";
    assert_eq!(targets(text).collect::<Vec<_>>(), ["docs/a.md", "b.md", "e.svg"]);
}

#[test]
fn every_relative_link_leads_to_a_file_that_exists() {
    let mut pages = Vec::new();
    documents(&root(), false, &mut pages);
    documents(&root().join("docs"), true, &mut pages);
    let (mut followed, mut dead) = (0, Vec::new());
    for page in &pages {
        let text =
            std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let folder = page.parent().expect("a file lies in a folder");
        for target in targets(&text) {
            followed += 1;
            if !folder.join(target).exists() {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(followed > 5, "only {followed} links were found in {pages:?}");
    assert!(dead.is_empty(), "these links lead nowhere:\n{}", dead.join("\n"));
}
