//! What the integration tests of this crate share: where the golden files lie, copies to spoil, comparing folders.

#![allow(dead_code, reason = "each test program uses a part of this module")]

mod fixtures;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A file or folder of the golden data of the Python reference, unpacked and to be read only.
///
/// The unpacked copy lies in cargo's folder for the files of tests, once for all test programs, under a name that
/// follows its content.
pub(crate) fn fixture(name: &str) -> PathBuf {
    static UNPACKED: OnceLock<PathBuf> = OnceLock::new();
    let unpacked = UNPACKED.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        contents(&fixtures::packed()).hash(&mut hasher);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let target = folder.join(format!("fixtures-{:016x}", hasher.finish()));
        if !target.exists() {
            fs::create_dir_all(folder).expect("cargo's folder can be created");
            let fresh = tempfile::tempdir_in(folder).expect("a temporary folder");
            fixtures::unpack(&fixtures::packed(), &fresh.path().join("unpacked"));
            // Another test program may have been faster with the same files.
            let _ = fs::rename(fresh.path().join("unpacked"), &target);
        }
        target
    });
    let path = unpacked.join(name);
    assert!(path.exists(), "{name} is not among the fixtures");
    path
}

/// Copies a folder with its subfolders.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the target can be created");
    for path in children(from) {
        let target = to.join(path.file_name().expect("a child has a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).expect("the file can be copied");
        }
    }
}

/// Paths of all files below a folder, relative to it, with their bytes.
pub(crate) fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for path in children(folder) {
        let name = PathBuf::from(path.file_name().expect("a child has a name"));
        if path.is_dir() {
            files.extend(contents(&path).into_iter().map(|(inner, bytes)| (name.join(inner), bytes)));
        } else {
            files.push((name, fs::read(&path).expect("the file can be read")));
        }
    }
    files
}

/// Panics with the name of the first file that differs.
pub(crate) fn assert_same_folder(found: &Path, expected: &Path) {
    let (found, expected) = (contents(found), contents(expected));
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        assert!(found == expected, "{} differs from the reference", name.display());
    }
}

/// Names in a folder, hidden ones included, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().expect("a child has a name").to_string_lossy().into_owned();
    children(folder).into_iter().map(name).collect()
}

/// The program under test.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_datasets"))
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program starts")
}

/// What the program printed on standard error.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the entry can be read").path()).collect();
    paths.sort();
    paths
}
