//! The error of every file operation here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The operating system refused a file operation.
#[derive(Debug)]
pub struct FileError {
    /// What was attempted, as a verb ("read", "create").
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's answer. (Not a `source` of the error: the message contains it.)
    pub cause: io::Error,
}

impl FileError {
    /// Adapter for `map_err`: names the attempted action and the path.
    pub fn new(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |cause| Self { action, path, cause }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.path.display(), self.cause)
    }
}

impl std::error::Error for FileError {}
