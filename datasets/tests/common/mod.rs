//! What the integration tests of this crate share: where the golden files lie.

use std::path::{Path, PathBuf};

/// A file or folder of the golden data of the Python reference.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/datasets").join(name)
}
