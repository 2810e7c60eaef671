//! The promise that imports between the packages go one way (ARCHITECTURE.md): who may know whom, and who may link or
//! load a native library. Development dependencies are free: tests may compare any two packages.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Each package with what it may depend on, among the packages of this workspace and the bindings to native libraries.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("hub", &[]),
    ("datasets", &["hub"]),
    ("models", &[]),
    ("kernels", &[]),
    ("trainer", &["hub", "datasets", "models", "tch", "torch-sys"]),
    ("exporter", &["hub", "models", "kernels", "ort", "ort-sys"]),
    ("server", &["hub", "datasets", "models", "exporter", "ort", "ort-sys"]),
    ("integration-tests", &["hub", "datasets", "models", "trainer", "exporter", "server", "tch", "ort"]),
    ("xtask", &["ort-sys"]),
];

const BINDINGS: &[&str] = &["tch", "torch-sys", "ort", "ort-sys"];

#[test]
fn imports_go_one_way() {
    let found = direct_dependencies();
    let members: Vec<_> = MAY_KNOW.iter().map(|(name, _)| *name).collect();
    let unknown: Vec<_> = found.keys().filter(|name| !members.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "packages without a place in the house: {unknown:?}");
    for (name, may_know) in MAY_KNOW {
        let dependencies = found.get(*name).unwrap_or_else(|| panic!("the package {name} is gone"));
        for dependency in dependencies {
            let ruled = members.contains(&dependency.as_str()) || BINDINGS.contains(&dependency.as_str());
            assert!(!ruled || may_know.contains(&dependency.as_str()), "{name} must not know {dependency}");
        }
    }
}

/// Normal and build dependencies of each package of the workspace, as cargo resolves them.
fn direct_dependencies() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--workspace", "--edges", "normal,build", "--depth", "1"])
        .args(["--prefix", "depth", "--no-dedupe", "--format", " {p}"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut packages = BTreeMap::<String, Vec<String>>::new();
    let mut current = String::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("0"), Some(name)) => {
                name.clone_into(&mut current);
                packages.entry(current.clone()).or_default();
            }
            (Some("1"), Some(name)) => packages.get_mut(&current).unwrap().push(name.to_owned()),
            _ => {}
        }
    }
    packages
}
