//! Writing beside the target, syncing, then renaming, for files and for folders.
//!
//! A file or folder under construction is a hidden neighbour of its target and locked by its owner, so that the next
//! writer of the same target can tell the leftover of a killed process from the work of a running one. File systems
//! without locks only lose that cleaning up.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::{NamedTempFile, TempDir};

use crate::FileError;

/// Ends the prefix of everything under construction.
const MARK: &str = ".building-";
/// How often a new neighbour may be taken for a leftover in the moment before it is locked.
const ATTEMPTS: u32 = 16;

/// Writes `content` to `path`, whole or not at all; missing folders are created.
///
/// # Errors
/// When the disk refuses; `path` is untouched then, as after a kill.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), FileError> {
    write_with(path, |out| out.write_all(content.as_ref()).map_err(FileError::new("write", path)))
}

/// As [`write()`], for content that `fill` writes piece by piece.
///
/// # Errors
/// When the disk refuses, or `fill` fails.
pub fn write_with<T, E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    let staged = StagedFile::create(path)?;
    let mut writer = BufWriter::with_capacity(1 << 18, staged.file());
    let result = fill(&mut writer)?;
    writer.flush().map_err(FileError::new("write", &staged.target))?;
    drop(writer);
    staged.publish()?;
    Ok(result)
}

/// As [`write()`], for writers that open a file by its path: `fill` writes the file that it is given.
///
/// # Errors
/// When the disk refuses, or `fill` fails.
pub fn write_at<T, E: From<FileError>>(path: &Path, fill: impl FnOnce(&Path) -> Result<T, E>) -> Result<T, E> {
    let staged = StagedFile::create(path)?;
    let result = fill(staged.partial.path())?;
    staged.publish()?;
    Ok(result)
}

/// Makes the folder `path`, whole or not at all; `fill` puts files and folders of any depth into the folder that it is
/// given. A folder that is there is replaced.
///
/// # Errors
/// When the disk refuses, or `fill` fails.
pub fn write_folder<T, E: From<FileError>>(path: &Path, fill: impl FnOnce(&Path) -> Result<T, E>) -> Result<T, E> {
    let staged = StagedFolder::create(path)?;
    let result = fill(staged.path())?;
    sync_files(staged.path())?;
    staged.publish(true)?;
    Ok(result)
}

/// A file under construction, hidden beside its target. Dropping it without [`publish`](Self::publish) removes it.
#[derive(Debug)]
pub struct StagedFile {
    target: PathBuf,
    partial: NamedTempFile,
}

impl StagedFile {
    /// Removes what killed writers of the same target left behind, then opens a fresh file beside the target.
    ///
    /// # Errors
    /// When `path` has no name, or the disk refuses.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let place = Place::prepare(path)?;
        let partial = place.admit(|| {
            let partial = place.builder(0o666).tempfile_in(&place.parent)?;
            let is_ours = is_locked_at(partial.as_file(), partial.path())?;
            Ok(is_ours.then_some(partial))
        })?;
        Ok(Self { target: place.target, partial })
    }

    /// What to write to.
    pub fn file(&self) -> &File {
        self.partial.as_file()
    }

    /// Where the file will appear.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Syncs the file and renames it into place.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn publish(self) -> Result<(), FileError> {
        let Self { target, partial } = self;
        partial.as_file().sync_all().map_err(FileError::new("sync", &target))?;
        partial.persist(&target).map_err(|error| FileError::new("write", &target)(error.error))?;
        sync(parent_of(&target))
    }
}

/// A folder under construction, hidden beside its target. Dropping it without [`publish`](Self::publish) removes it.
#[derive(Debug)]
pub struct StagedFolder {
    target: PathBuf,
    folder: TempDir,
    /// Lock on the folder itself.
    _alive: File,
}

impl StagedFolder {
    /// Removes what killed writers of the same target left behind, then opens a fresh folder beside the target.
    ///
    /// # Errors
    /// When `target` has no name, or the disk refuses.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        let place = Place::prepare(target)?;
        let (folder, alive) = place.admit(|| {
            let folder = place.builder(0o777).tempdir_in(&place.parent)?;
            let alive = match File::open(folder.path()) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                alive => alive?,
            };
            Ok(is_locked_at(&alive, folder.path())?.then_some((folder, alive)))
        })?;
        Ok(Self { target: place.target, folder, _alive: alive })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Syncs the folders and moves the finished folder to its target. The files must have been synced by their writers.
    ///
    /// A non-empty target is an error of the kind [`ErrorKind::AlreadyExists`] unless it may be replaced; it is
    /// exchanged in one step where the system can (Linux, macOS), else moved aside just before.
    ///
    /// # Errors
    /// When the target exists and must stay, or the disk refuses.
    pub fn publish(self, overwrite: bool) -> Result<(), FileError> {
        let Self { target, folder, _alive } = self;
        sync_folders(folder.path())?;
        let failed = |error| FileError::new("move the finished folder to", &target)(error);
        let replaced = match fs::rename(folder.path(), &target) {
            Ok(()) => None,
            Err(error) if !matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                return Err(failed(error));
            }
            Err(_) if !overwrite => return Err(failed(ErrorKind::AlreadyExists.into())),
            Err(_) => Some(replace(folder.path(), &target).map_err(failed)?),
        };
        // What is left at the staging path is the former folder or nothing.
        drop(folder);
        sync(parent_of(&target))?;
        // The new folder is in place; should this fail, the next writer tries again.
        let _ = replaced.map(fs::remove_dir_all);
        Ok(())
    }
}

/// Deletes what killed processes left under construction in `folder`, whatever its target. What cannot be deleted does no
/// harm but to take space.
pub fn remove_leftovers(folder: &Path) {
    remove_unowned(folder, |name| {
        name.starts_with(b".") && name.windows(MARK.len()).any(|part| part == MARK.as_bytes())
    });
}

/// The folder in which `path` lies.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Where something will appear, with links resolved, and how its neighbours under construction are called.
struct Place {
    target: PathBuf,
    parent: PathBuf,
    prefix: OsString,
}

impl Place {
    /// Creates the folder if need be and removes leftovers of this target.
    fn prepare(path: &Path) -> Result<Self, FileError> {
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let no_name = || FileError::new("write", path)(io::Error::new(ErrorKind::InvalidInput, "the path has no name"));
        let mut prefix = OsString::from(".");
        prefix.push(target.file_name().ok_or_else(no_name)?);
        prefix.push(MARK);
        let parent = parent_of(&target).to_owned();
        fs::create_dir_all(&parent).map_err(FileError::new("create", &parent))?;
        remove_unowned(&parent, |name| name.starts_with(prefix.as_encoded_bytes()));
        Ok(Self { target, parent, prefix })
    }

    fn builder(&self, mode: u32) -> tempfile::Builder<'_, 'static> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(&self.prefix).permissions(Permissions::from_mode(mode));
        builder
    }

    /// Tries `create` until what it creates is locked before another process takes it for a leftover.
    fn admit<T>(&self, create: impl Fn() -> io::Result<Option<T>>) -> Result<T, FileError> {
        let failed = |error| FileError::new("create something in", &self.parent)(error);
        for _ in 0..ATTEMPTS {
            if let Some(new) = create().map_err(failed)? {
                return Ok(new);
            }
        }
        Err(failed(io::Error::other("other processes keep deleting it")))
    }
}

/// Locks `new` for the life of its owner; whether it is still what lies at `path`.
fn is_locked_at(new: &File, path: &Path) -> io::Result<bool> {
    let _ = new.lock();
    let own = new.metadata()?;
    Ok(fs::symlink_metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino())))
}

/// Deletes the entries of `folder` with such names whose owner no longer holds their lock.
fn remove_unowned(folder: &Path, is_ours: impl Fn(&[u8]) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| is_ours(entry.file_name().as_encoded_bytes())) {
        let path = entry.path();
        // The lock is held until it is gone, so that its creator notices.
        if let Ok(leftover) = File::open(&path)
            && leftover.try_lock().is_ok()
        {
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// Puts `staged` in the place of the non-empty folder `target`; gives the path to which that has moved.
fn replace(staged: &Path, target: &Path) -> io::Result<PathBuf> {
    match renameat_with(CWD, staged, CWD, target, RenameFlags::EXCHANGE) {
        Ok(()) => return Ok(staged.to_owned()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        Err(error) => return Err(error.into()),
    }
    let mut aside = staged.as_os_str().to_owned();
    aside.push("-replaced");
    let aside = PathBuf::from(aside);
    fs::rename(target, &aside)?;
    fs::rename(staged, target).inspect_err(|_| {
        let _ = fs::rename(&aside, target);
    })?;
    Ok(aside)
}

fn sync_folders(folder: &Path) -> Result<(), FileError> {
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir() && !path.is_symlink()) {
        sync_folders(&path)?;
    }
    sync(folder)
}

fn sync_files(folder: &Path) -> Result<(), FileError> {
    entries(folder)?
        .iter()
        .filter(|path| !path.is_symlink())
        .try_for_each(|path| if path.is_dir() { sync_files(path) } else { sync(path) })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(FileError::new("read", folder))
}

fn sync(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(FileError::new("sync", path))
}
