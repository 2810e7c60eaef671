//! Hashes of whole files, in lower-case hexadecimal.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::FileError;

/// The sha256 of a file's bytes.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_of(path: &Path) -> Result<String, FileError> {
    hash_of::<Sha256>(path)
}

/// The hash `D` of a file's bytes.
///
/// # Errors
/// When the file cannot be read.
pub fn hash_of<D: Digest>(path: &Path) -> Result<String, FileError> {
    let mut file = File::open(path).map_err(FileError::new("open", path))?;
    let mut digest = D::new();
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece).map_err(FileError::new("read", path))? {
            0 => return Ok(hex::encode(digest.finalize())),
            count => digest.update(&piece[..count]),
        }
    }
}
