//! The promise that imports between the packages go one way (ARCHITECTURE.md): which package may depend on which, and on
//! which bindings to native libraries; and that programs without HTTP are built without its libraries. Development dependencies are free: tests may compare any two packages.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Each package with what it may depend on, among the packages of this workspace and the bindings to native libraries.
const ALLOWED: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("hub", &["files"]),
    ("datasets", &["files", "hub"]),
    ("models", &["files", "hub"]),
    ("kernels", &[]),
    ("trainer", &["files", "hub", "datasets", "models", "tch", "torch-sys"]),
    ("exporter", &["files", "hub", "models", "kernels", "ort", "ort-sys"]),
    ("engine", &["datasets", "models", "exporter", "ort"]),
    ("evaluation", &["files", "hub", "datasets", "models", "exporter", "engine", "ort"]),
    ("server", &["files", "datasets", "models", "exporter", "engine", "evaluation"]),
    (
        "integration-tests",
        &["datasets", "models", "trainer", "exporter", "engine", "evaluation", "server", "tch", "ort"],
    ),
    ("xtask", &["files", "ort-sys"]),
];

const BINDINGS: &[&str] = &["tch", "torch-sys", "ort", "ort-sys"];

#[test]
fn imports_go_one_way() {
    let found = direct_dependencies();
    let members: Vec<_> = ALLOWED.iter().map(|(name, _)| *name).collect();
    let unknown: Vec<_> = found.keys().filter(|name| !members.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "packages that ARCHITECTURE.md does not place: {unknown:?}");
    for (name, allowed) in ALLOWED {
        let dependencies = found.get(*name).unwrap_or_else(|| panic!("the package {name} is gone"));
        for dependency in dependencies {
            let ruled = members.contains(&dependency.as_str()) || BINDINGS.contains(&dependency.as_str());
            assert!(!ruled || allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

/// What only an HTTP server needs: `speedrun-inference` is built without it.
const OF_HTTP: &[&str] = &["axum", "tower", "tower-http", "hyper", "opentelemetry", "utoipa", "prometheus-client"];

#[test]
fn evaluations_are_built_without_http() {
    for package in ["engine", "evaluation"] {
        let tree = tree(&["--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
        let found: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let unwanted: Vec<_> = OF_HTTP.iter().filter(|name| found.contains(name)).collect();
        assert!(found.contains(&"ort") && unwanted.is_empty(), "{package} is built with {unwanted:?}");
    }
}

/// Normal and build dependencies of each package of the workspace, as cargo resolves them.
fn direct_dependencies() -> BTreeMap<String, Vec<String>> {
    let edges = ["--workspace", "--edges", "normal,build", "--depth", "1"];
    let tree = tree(&[&edges[..], &["--prefix", "depth", "--no-dedupe", "--format", " {p}"]].concat());
    let mut packages = BTreeMap::<String, Vec<String>>::new();
    let mut current = String::new();
    for line in tree.lines() {
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

fn tree(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output =
        Command::new(env!("CARGO")).args(["tree", "--offline"]).args(arguments).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
