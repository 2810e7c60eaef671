//! The cache's layout, that of Python's `huggingface_hub`: `{models,datasets}--owner--name/{blobs,refs,snapshots}`.
//! A blob is named after its `ETag` and complete from the moment on in which it has that name.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::{FileReference, HubError};

/// Paths of one repository in the cache.
pub(crate) struct RepositoryCache {
    root: PathBuf,
    folder: PathBuf,
}

impl RepositoryCache {
    pub(crate) fn new(root: &Path, reference: &FileReference) -> Self {
        let name = format!("{}--{}", reference.kind().plural(), reference.repository().replace('/', "--"));
        Self { root: root.to_owned(), folder: root.join(name) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file, if the commit that the revision stood for when it was last asked has it here.
    pub(crate) fn lookup(&self, reference: &FileReference) -> Option<PathBuf> {
        let commit = if is_commit(reference.revision()) {
            reference.revision().to_owned()
        } else {
            let mut commit = String::new();
            let reference = self.folder.join("refs").join(reference.revision());
            File::open(reference).ok()?.take(128).read_to_string(&mut commit).ok()?;
            commit.trim().to_owned()
        };
        let path = self.snapshot(&commit, reference).filter(|_| is_commit(&commit))?;
        path.is_file().then_some(path)
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Held while a blob is written, so that two programs do not write the same one.
    pub(crate) fn lock(&self, etag: &str) -> Result<File, HubError> {
        let folder = self.root.join(".locks").join(self.folder.file_name().unwrap_or_default());
        fs::create_dir_all(&folder).map_err(HubError::io("create", &folder))?;
        let path = folder.join(format!("{etag}.lock"));
        let file = File::options().create(true).write(true).truncate(false).open(&path);
        let file = file.map_err(HubError::io("create", &path))?;
        match file.lock() {
            // A file system without locks only loses the protection.
            Err(error) if error.kind() != std::io::ErrorKind::Unsupported => Err(HubError::io("lock", &path)(error)),
            _ => Ok(file),
        }
    }

    /// Makes the blob `etag` visible as the file at `commit`, and `commit` what the revision stands for.
    pub(crate) fn publish(&self, reference: &FileReference, commit: &str, etag: &str) -> Result<PathBuf, HubError> {
        let path = self.folder.join("snapshots").join(commit).join(reference.file());
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(HubError::io("create", parent))?;
        if !path.is_file() {
            // What a link pointed to may be gone.
            let _ = fs::remove_file(&path);
            // From snapshots/commit/folder/ back to the repository's folder.
            let up = "../".repeat(2 + reference.file().matches('/').count());
            link(&self.blob(etag), Path::new(&format!("{up}blobs/{etag}")), &path)?;
        }
        if !is_commit(reference.revision()) {
            write_whole(&self.folder.join("refs").join(reference.revision()), commit.as_bytes())?;
        }
        Ok(path)
    }

    fn snapshot(&self, commit: &str, reference: &FileReference) -> Option<PathBuf> {
        is_commit(commit).then(|| self.folder.join("snapshots").join(commit).join(reference.file()))
    }
}

/// A git commit; nothing else may name a folder.
pub(crate) fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(unix)]
fn link(_blob: &Path, relative: &Path, path: &Path) -> Result<(), HubError> {
    match std::os::unix::fs::symlink(relative, path) {
        // Another process was quicker.
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(HubError::io("link", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn link(blob: &Path, _relative: &Path, path: &Path) -> Result<(), HubError> {
    fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(drop)).map_err(HubError::io("link", path))
}

fn write_whole(path: &Path, content: &[u8]) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(HubError::io("create", parent))?;
    let mut file = tempfile::NamedTempFile::new_in(parent).map_err(HubError::io("create a file in", parent))?;
    file.write_all(content).and_then(|()| file.as_file().sync_all()).map_err(HubError::io("write", path))?;
    file.persist(path).map(drop).map_err(|error| HubError::io("write", path)(error.error))
}
