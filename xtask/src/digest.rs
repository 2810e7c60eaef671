//! Digests of files, against the sums pinned in `recipe` and `onnxruntime_web`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest, Sha256};

/// Whether the file has this size and this sha256 (lower-case hexadecimal); a file that is not there has not.
pub(crate) fn matches(path: &Path, bytes: u64, sha256: &str) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == bytes => Ok(sha256_of(path)? == sha256),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

/// The sha256 of a file's bytes, in lower-case hexadecimal.
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    digest_of::<Sha256>(path)
}

/// The digest `D` of a file's bytes, in lower-case hexadecimal.
pub(crate) fn digest_of<D: Digest>(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hasher = D::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hex::encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_abc_is_the_standard_s_example() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_of(&path).unwrap(), expected);
        assert!(matches(&path, 3, expected).unwrap());
        assert!(!matches(&path, 4, expected).unwrap());
        assert!(!matches(&path, 3, &expected.replace("ba78", "ba79")).unwrap());
        assert!(!matches(&folder.path().join("absent"), 3, expected).unwrap());
    }
}
