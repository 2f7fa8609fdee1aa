//! Files that are refused, and what is said about them. A report is read by someone who is in a hurry: each snapshot
//! is to be judged as a text.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_proxy::config::{Report, parse};

fn broken() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

fn report_of(name: &str) -> Report {
    let file = format!("{name}.yaml");
    let text = fs::read_to_string(broken().join(&file)).expect(name);
    parse(&file, &text).expect_err(name)
}

macro_rules! broken {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                insta::assert_snapshot!($name, report_of($name).to_string());
            }
        )*

        const ALL: &[&str] = &[$($name),*];
    };
}

broken! {
    wrong_types_are_told: "types",
    numbers_out_of_range_are_told: "ranges",
    what_is_nearly_right_is_told_with_what_was_meant: "misspelt",
    what_occurs_twice_is_told_with_the_first_place: "duplicates",
    rules_that_cannot_be_are_told: "rules",
    conditions_that_cannot_be_are_told: "conditions",
    addresses_networks_identities_and_urls_are_checked: "addresses",
    certificates_are_checked: "tls",
    tls_needs_certificates: "tls-without-certificates",
    an_admin_interface_for_everyone_is_refused: "admin",
    an_open_admin_interface_is_refused_though_a_key_is_misspelt: "admin-open",
    several_versions_need_a_stable_one: "versions",
    a_rollout_that_leads_nowhere_is_refused: "canary",
    limits_and_access_are_checked: "limits",
    a_syntax_error_is_told_with_its_place: "syntax",
    an_open_quote_is_told: "syntax-quote",
    a_tab_is_told: "tabs",
    what_is_no_mapping_is_told: "not-a-mapping",
    an_empty_file_is_told: "empty",
    two_documents_with_one_key_are_told: "documents",
    what_an_alias_stands_for_is_told_where_it_is_written: "aliases",
}

#[test]
fn every_broken_file_has_its_test() {
    let files = fs::read_dir(broken()).expect("the directory");
    for file in files {
        let path = file.expect("an entry").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert!(ALL.contains(&name), "{name} has no test");
    }
}

/// Whoever reads a problem out aloud has where, what, and what instead.
#[test]
fn every_problem_says_where_what_and_what_instead() {
    for name in ALL {
        let report = report_of(name);
        assert_eq!(report.file(), format!("{name}.yaml"));
        for problem in report.problems() {
            assert!(problem.line() >= 1 && problem.column() >= 1, "{name}");
            assert!(
                !problem.found().is_empty() && !problem.expected().is_empty(),
                "{name}"
            );
            let place = format!("{}:{}:{}:", report.file(), problem.line(), problem.column());
            assert!(report.to_string().contains(&place), "{name}: {place}");
        }
    }
}
