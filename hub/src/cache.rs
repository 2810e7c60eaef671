//! The cache's layout, that of Python's `huggingface_hub`: `{models,datasets}--owner--name/{blobs,refs,snapshots}`.
//! A blob is named after its `ETag` and complete from the moment on in which it has that name. Names come from `hf-hub`; writing
//! is ours, since it must survive a kill at any time and file systems without symbolic links.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use files::FileError;
use hf_hub::{Cache, CacheRepo};

use crate::{FileReference, HubError};

/// How a blob becomes visible.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publishing {
    /// Whether symbolic links may be made.
    pub(crate) symlinks: bool,
    /// Whether the blob has just arrived, so that no other snapshot links to it.
    pub(crate) is_new: bool,
}

/// Paths of one repository in the cache.
pub(crate) struct RepositoryCache {
    root: PathBuf,
    folder: PathBuf,
    repository: CacheRepo,
}

impl RepositoryCache {
    pub(crate) fn new(root: &Path, reference: &FileReference) -> Self {
        let repo = reference.repo();
        let folder = root.join(repo.folder_name());
        Self { root: root.to_owned(), folder, repository: Cache::new(root.to_owned()).repo(repo) }
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
        fs::create_dir_all(&folder).map_err(FileError::new("create", &folder))?;
        let path = folder.join(format!("{etag}.lock"));
        let file = File::options().create(true).write(true).truncate(false).open(&path);
        let file = file.map_err(FileError::new("create", &path))?;
        match file.lock() {
            // A file system without locks only loses the protection.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                Err(FileError::new("lock", &path)(error).into())
            }
            _ => Ok(file),
        }
    }

    /// The file at `commit` if it is here, after `commit` has become what the revision stands for: the revision may have moved
    /// without a change of the file.
    pub(crate) fn adopt(&self, reference: &FileReference, commit: &str) -> Result<Option<PathBuf>, HubError> {
        let Some(path) = self.snapshot(commit, reference).filter(|path| path.is_file()) else { return Ok(None) };
        self.remember(reference, commit)?;
        Ok(Some(path))
    }

    /// Makes the blob `etag` visible as the file at `commit`, and `commit` what the revision stands for.
    ///
    /// Without symbolic links the file is the blob, moved where it has just arrived, copied where links of other snapshots may
    /// point to it, as `huggingface_hub` does.
    pub(crate) fn publish(
        &self,
        reference: &FileReference,
        commit: &str,
        etag: &str,
        how: Publishing,
    ) -> Result<PathBuf, HubError> {
        let path = self.repository.pointer_path(commit).join(reference.file());
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(FileError::new("create", parent))?;
        if !path.is_file() {
            // What a link pointed to may be gone.
            let _ = fs::remove_file(&path);
            // From snapshots/commit/folder/ back to the repository's folder.
            let up = "../".repeat(2 + reference.file().matches('/').count());
            let blob = self.blob(etag);
            if !how.symlinks || !link(Path::new(&format!("{up}blobs/{etag}")), &path) {
                if how.is_new { move_to(&blob, &path) } else { copy_to(&blob, &path) }?;
            }
        }
        self.remember(reference, commit)?;
        Ok(path)
    }

    /// Notes what a branch or tag stands for.
    fn remember(&self, reference: &FileReference, commit: &str) -> Result<(), HubError> {
        if is_commit(reference.revision()) {
            return Ok(());
        }
        Ok(files::write(&self.folder.join("refs").join(reference.revision()), commit)?)
    }

    fn snapshot(&self, commit: &str, reference: &FileReference) -> Option<PathBuf> {
        is_commit(commit).then(|| self.repository.pointer_path(commit).join(reference.file()))
    }
}

/// Digits of a commit. Tags and shortened commits may look like the beginning of one.
const COMMIT_DIGITS: usize = 40;

/// A whole git commit; nothing else may name a snapshot's folder.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == COMMIT_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether `path` is a symbolic link to `target` now. File systems without such links (exFAT, network shares) refuse with
/// different errors, so every error counts as a refusal.
#[cfg(unix)]
fn link(target: &Path, path: &Path) -> bool {
    match std::os::unix::fs::symlink(target, path) {
        // Another process was quicker.
        Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
        Ok(()) => true,
    }
}

#[cfg(not(unix))]
fn link(_target: &Path, _path: &Path) -> bool {
    false
}

fn move_to(path: &Path, target: &Path) -> Result<(), FileError> {
    match fs::rename(path, target) {
        // Another process was quicker.
        Err(_) if target.is_file() => Ok(()),
        moved => moved.map_err(FileError::new("move the finished download to", target)),
    }
}

/// Copies a file whole or not at all.
fn copy_to(path: &Path, target: &Path) -> Result<(), FileError> {
    let mut original = File::open(path).map_err(FileError::new("open", path))?;
    files::write_with(target, |copy| {
        io::copy(&mut original, copy).map_err(FileError::new("copy the download to", target))
    })?;
    Ok(())
}
