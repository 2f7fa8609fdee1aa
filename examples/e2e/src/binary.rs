//! Programs of this workspace.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The program of a package of this workspace, built if it has to be. For mesh-proxy, what `MESH_PROXY` names goes
/// first.
///
/// # Panics
/// If it does not build.
pub fn binary(package: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let named = std::env::var_os("MESH_PROXY").filter(|_| package == "mesh-proxy");
    if let Some(path) = named {
        return path.into();
    }
    // Held while it is built: once is enough, and cargo would wait for itself anyway.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(path) = built.get(package) {
        return path.clone();
    }
    let path = build(package);
    built.insert(package.to_owned(), path.clone());
    path
}

fn build(package: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("target/debug/deps");
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", package]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(
        cargo.status().expect("cargo runs").success(),
        "{package} does not build"
    );
    folder.join(package)
}
