//! Folders and files that appear whole or not at all: written beside their target, synced, then renamed.
//! Owns leftovers of killed processes and concurrent builds; leaves what is written to its callers.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::{NamedTempFile, TempDir};

use crate::DatasetError;

/// A folder under construction, hidden beside its target.
#[derive(Debug)]
pub(super) struct StagedFolder {
    target: PathBuf,
    folder: TempDir,
    /// Lock on the folder itself: while it is held, other builds know that the owner lives.
    _alive: File,
}

impl StagedFolder {
    /// Removes what killed builds of the same target left behind, then opens a fresh folder beside the target.
    pub(super) fn create(target: &Path) -> Result<Self, DatasetError> {
        let (target, parent, prefix) = resolve(target)?;
        let neighbours = Neighbours::lock(&parent, &prefix)?;
        let folder = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(&parent)
            .map_err(DatasetError::io("create a folder in", &parent))?;
        let alive = File::open(folder.path()).map_err(DatasetError::io("open", folder.path()))?;
        neighbours.admit(&alive, folder.path())?;
        Ok(Self { target, folder, _alive: alive })
    }

    /// Where to write.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Syncs the folders and moves the finished folder to its target.
    ///
    /// A non-empty target is an error unless it may be replaced; it is exchanged in one step where the system can
    /// (Linux, macOS), else moved aside just before. The files must have been synced by their writers.
    pub(super) fn publish(self, overwrite: bool) -> Result<(), DatasetError> {
        let Self { target, folder, _alive } = self;
        sync_folders(folder.path())?;
        let failed = |error| DatasetError::io("move the finished dataset to", &target)(error);
        let replaced = match fs::rename(folder.path(), &target) {
            Ok(()) => None,
            Err(error) if !matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                return Err(failed(error));
            }
            Err(_) if !overwrite => return Err(DatasetError::AlreadyExists { path: target }),
            Err(_) => Some(replace(folder.path(), &target).map_err(failed)?),
        };
        // What is left at the staging path is the former dataset or nothing.
        drop(folder);
        sync_folder(&parent_of(&target))?;
        // The new dataset is in place; should this fail, the next build tries again.
        let _ = replaced.map(fs::remove_dir_all);
        Ok(())
    }
}

/// Writes a file beside `path`, syncs it and renames it into place; errors and kills leave `path` untouched.
pub fn write_file<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, DatasetError>,
) -> Result<T, DatasetError> {
    let staged = StagedFile::create(path)?;
    let mut writer = BufWriter::with_capacity(1 << 18, staged.file());
    let result = write(&mut writer)?;
    writer.flush().map_err(DatasetError::io("write", &staged.target))?;
    drop(writer);
    staged.publish()?;
    Ok(result)
}

/// A file under construction, hidden beside its target. Dropping it without [`publish`](Self::publish) removes it.
#[derive(Debug)]
pub(crate) struct StagedFile {
    target: PathBuf,
    partial: NamedTempFile,
}

impl StagedFile {
    /// Removes what killed writers of the same target left behind, then opens a fresh file beside the target.
    pub(crate) fn create(path: &Path) -> Result<Self, DatasetError> {
        let (target, parent, prefix) = resolve(path)?;
        let neighbours = Neighbours::lock(&parent, &prefix)?;
        let partial = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&parent)
            .map_err(DatasetError::io("create a file in", &parent))?;
        neighbours.admit(partial.as_file(), partial.path())?;
        Ok(Self { target, partial })
    }

    /// What to write to.
    pub(crate) fn file(&self) -> &File {
        self.partial.as_file()
    }

    /// Where the file will appear.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Syncs the file and renames it into place.
    pub(crate) fn publish(self) -> Result<(), DatasetError> {
        let Self { target, partial } = self;
        partial.as_file().sync_all().map_err(DatasetError::io("sync", &target))?;
        partial.persist(&target).map_err(|error| DatasetError::io("write", &target)(error.error))?;
        sync_folder(&parent_of(&target))
    }
}

/// The right to create things in a folder, held until a new one carries its own lock, so that no other process takes
/// it for the leftover of a killed one. File systems without locks only lose the cleaning up.
struct Neighbours {
    parent: File,
    exclusive: bool,
}

impl Neighbours {
    /// Creates the folder if need be, waits for the right, and removes leftovers of this prefix.
    fn lock(parent: &Path, prefix: &OsString) -> Result<Self, DatasetError> {
        fs::create_dir_all(parent).map_err(DatasetError::io("create", parent))?;
        let folder = File::open(parent).map_err(DatasetError::io("open", parent))?;
        let exclusive = folder.lock().is_ok();
        if exclusive {
            remove_leftovers(parent, prefix);
        }
        Ok(Self { parent: folder, exclusive })
    }

    /// Locks the new neighbour for the life of its owner and lets others in.
    fn admit(self, new: &File, path: &Path) -> Result<(), DatasetError> {
        if self.exclusive {
            new.lock().map_err(DatasetError::io("lock", path))?;
            let _ = self.parent.unlock();
        }
        Ok(())
    }
}

/// Resolves links in the target and names its folder and the prefix of hidden neighbours under construction.
fn resolve(target: &Path) -> Result<(PathBuf, PathBuf, OsString), DatasetError> {
    let target = target.canonicalize().unwrap_or_else(|_| target.to_owned());
    let Some(name) = target.file_name() else {
        return Err(DatasetError::argument("output path", "a path that ends in a name", target.display()));
    };
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".building-");
    let parent = parent_of(&target);
    Ok((target, parent, prefix))
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Deletes hidden neighbours of this prefix whose owner no longer holds their lock.
fn remove_leftovers(parent: &Path, prefix: &OsString) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            continue;
        }
        let path = entry.path();
        if File::open(&path).is_ok_and(|leftover| leftover.try_lock().is_ok()) {
            // A leftover that cannot be deleted does no harm but to take space.
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// Puts `staged` in the place of the non-empty folder `target`; gives the path to which that has moved.
fn replace(staged: &Path, target: &Path) -> Result<PathBuf, std::io::Error> {
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

fn sync_folders(folder: &Path) -> Result<(), DatasetError> {
    for entry in fs::read_dir(folder).map_err(DatasetError::io("read", folder))? {
        let path = entry.map_err(DatasetError::io("read", folder))?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), DatasetError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(DatasetError::io("sync", folder))
}
