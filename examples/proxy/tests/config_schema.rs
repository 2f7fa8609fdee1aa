//! The JSON Schema and the reference in docs/configuration.md are what the loader says of itself.
//!
//! After a change: `MESH_BLESS=1 cargo test -p mesh-proxy --test config_schema` writes both.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_proxy::config::schema::{json_schema, paths, reference, undescribed};

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(file)
}

const BEGIN: &str = "<!-- What follows is written by the test config_schema. -->\n";

fn is_blessed(path: &Path, expected: &str) {
    if std::env::var_os("MESH_BLESS").is_some() {
        fs::write(path, expected).expect("written");
    }
    let found = fs::read_to_string(path).expect("the file");
    assert!(
        found == expected,
        "{} is not up to date; see the top of this test",
        path.display()
    );
}

#[test]
fn the_json_schema_is_up_to_date() {
    let schema = serde_json::to_string_pretty(&json_schema()).expect("JSON") + "\n";
    is_blessed(&docs("configuration.schema.json"), &schema);
}

#[test]
fn the_reference_is_up_to_date() {
    let path = docs("configuration.md");
    let text = fs::read_to_string(&path).expect("the file");
    let (before, _) = text.split_once(BEGIN).expect("the mark");
    is_blessed(&path, &format!("{before}{BEGIN}\n{}", reference()));
}

#[test]
fn the_documentation_mentions_every_key() {
    let text = fs::read_to_string(docs("configuration.md")).expect("the file");
    let paths = paths();
    assert!(paths.len() > 150, "only {} keys", paths.len());
    for path in paths {
        assert!(text.contains(&format!("`{path}`")), "{path} is not mentioned");
    }
}

#[test]
fn every_key_is_described_and_every_description_has_its_key() {
    let (without, unused) = undescribed();
    assert_eq!(without, Vec::<String>::new(), "keys without a description");
    assert_eq!(unused, Vec::<String>::new(), "descriptions without a key");
}

#[test]
fn every_object_of_the_schema_knows_its_keys() {
    fn walk(value: &serde_json::Value, objects: &mut usize) {
        if let Some(object) = value.as_object() {
            if object.contains_key("properties") {
                *objects += 1;
                assert_eq!(object["additionalProperties"], false);
            }
            object.values().for_each(|value| walk(value, objects));
        }
        value
            .as_array()
            .into_iter()
            .flatten()
            .for_each(|value| walk(value, objects));
    }
    let mut objects = 0;
    walk(&json_schema(), &mut objects);
    assert!(objects > 40, "only {objects}");
}
