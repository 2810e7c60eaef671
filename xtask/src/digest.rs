//! Digests of files, against the sums pinned in `recipe` and `onnxruntime_web`.

use std::path::Path;

use anyhow::{Context as _, Result};
use files::sha256_of;

/// Whether the file has this size and this sha256 (lower-case hexadecimal); a file that is not there has not.
pub(crate) fn matches(path: &Path, bytes: u64, sha256: &str) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == bytes => Ok(sha256_of(path)? == sha256),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
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
