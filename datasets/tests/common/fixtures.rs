//! Golden data of the Python reference: small files lie as they are, larger ones gzipped, tests see both unpacked.
//! Owns where they lie and their unpacking; leaves what they mean to the tests.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// The packed fixtures in the repository.
pub(crate) fn packed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/datasets")
}

/// Copies a file, or a folder with its subfolders; a file `x.gz` arrives unpacked as `x`.
pub(crate) fn unpack(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("the target can be created");
        for entry in fs::read_dir(from).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            let name = path.file_name().expect("a child has a name");
            let unpacked = Path::new(name).file_stem().filter(|_| path.extension().is_some_and(|kind| kind == "gz"));
            unpack(&path, &to.join(unpacked.unwrap_or(name)));
        }
    } else if from.extension().is_some_and(|kind| kind == "gz") {
        let mut packed = GzDecoder::new(File::open(from).expect("the fixture can be opened"));
        io::copy(&mut packed, &mut File::create(to).expect("the target can be created")).expect("an intact fixture");
    } else {
        fs::copy(from, to).expect("the file can be copied");
    }
}
