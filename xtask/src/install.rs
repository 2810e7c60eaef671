//! Laying a native library out below `.native`, or data below `data`: once, whole or not at all, with room on the disk
//! checked beforehand.
//! Which files make it up stands in `recipe`; how wheels arrive is `fetch`.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use files::StagedFolder;
use files::progress::{Unit, progress_bar};

use crate::fetch::Store;
use crate::recipe::{Pick, Recipe};
use crate::unpack::unpack;

/// Written last: its presence says that the folder is whole, its content which recipe and files it is made of.
const STAMP: &str = "installed-by-xtask";
/// Room beyond what is written, so that the disk is not filled to the last block.
const SPARE_BYTES: u64 = 64 << 20;

/// Makes sure that the library stands in `native/<folder>`; returns whether it had to be laid out.
pub(crate) fn ensure_installed(recipe: &Recipe, native: &Path, store: &Store) -> Result<bool> {
    let folder = native.join(recipe.folder);
    if is_installed(recipe, &folder) {
        return Ok(false);
    }
    fs::create_dir_all(native).with_context(|| format!("cannot create {}", native.display()))?;
    let _lock = lock(native)?;
    if is_installed(recipe, &folder) {
        return Ok(false);
    }
    check_room(recipe, native, store)?;

    let staged = StagedFolder::create(&folder)?;
    let mut disposable = Vec::new();
    let mut wheels = Vec::new();
    for (wheel, picks) in recipe.parts {
        let fetched = store.fetch(wheel)?;
        wheels.push((fetched.path.clone(), *picks));
        if fetched.disposable {
            disposable.push(fetched.path);
        }
    }
    lay_out(recipe, &wheels, staged.path())?;
    staged.publish(true)?;
    for wheel in disposable {
        fs::remove_file(&wheel).with_context(|| format!("cannot remove {}", wheel.display()))?;
    }
    store.tidy();
    eprintln!("{} {} is in {}", recipe.name, recipe.version, folder.display());
    Ok(true)
}

/// Whether the folder holds all of this recipe, as far as its stamp and the sizes of its libraries tell.
pub(crate) fn is_installed(recipe: &Recipe, folder: &Path) -> bool {
    let Ok(found) = fs::read_to_string(folder.join(STAMP)) else { return false };
    let Ok(expected) = stamp(recipe, folder) else { return false };
    found == expected
}

/// Where there is no libtorch yet, leaves a version file on which torch-sys's build script stops with this advice; it
/// would otherwise let the C++ compiler fail on a missing header.
pub(crate) fn advise_torch_sys(native: &Path) -> Result<()> {
    let folder = native.join("libtorch");
    if folder.exists() {
        return Ok(());
    }
    fs::create_dir_all(native).with_context(|| format!("cannot create {}", native.display()))?;
    let lock = File::create(native.join("lock")).with_context(|| format!("cannot write to {}", native.display()))?;
    if lock.try_lock().is_err() {
        // A set-up is under way, which may be about to put the library there.
        return Ok(());
    }
    let staged = StagedFolder::create(&folder)?;
    files::write(&staged.path().join("build-version"), "none (run `cargo xtask setup --torch` once)")?;
    Ok(staged.publish(false)?)
}

/// Bytes that may be written where `path` is.
pub(crate) fn free_bytes(path: &Path) -> Result<u64> {
    let status =
        rustix::fs::statvfs(path).with_context(|| format!("cannot ask for the free room at {}", path.display()))?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

/// Held while the guard lives, so that two set-ups in two terminals do not meet.
pub(crate) fn lock(native: &Path) -> Result<File> {
    let path = native.join("lock");
    let locking = || format!("cannot lock {}", path.display());
    let file = File::create(&path).with_context(locking)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("another set-up is under way; waiting for it");
            file.lock().with_context(locking)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(locking),
    }
    Ok(file)
}

fn check_room(recipe: &Recipe, native: &Path, store: &Store) -> Result<()> {
    let missing: u64 = recipe.parts.iter().map(|(wheel, _)| store.missing_bytes(wheel)).sum();
    let needed = missing + recipe.unpacked_bytes + SPARE_BYTES;
    let free = free_bytes(native)?;
    ensure!(
        free >= needed,
        "{} needs {} MiB of disk at {}, and {} MiB are free: make room, or {}",
        recipe.name,
        needed >> 20,
        native.display(),
        free >> 20,
        recipe.instead
    );
    Ok(())
}

fn lay_out(recipe: &Recipe, wheels: &[(PathBuf, &[Pick])], folder: &Path) -> Result<()> {
    let writing = || format!("cannot write {}", folder.display());
    let progress = progress_bar("  unpacking", Some(recipe.unpacked_bytes), Unit::Bytes);
    let mut written = 0;
    for (wheel, picks) in wheels {
        written += unpack(wheel, picks, folder, recipe.unpacked_bytes - written, &progress)?;
    }
    progress.finish_and_clear();
    for (link, target) in recipe.links {
        std::os::unix::fs::symlink(target, folder.join(link)).with_context(writing)?;
    }
    for (path, content) in recipe.texts {
        fs::write(folder.join(path), content).with_context(writing)?;
    }
    fs::write(folder.join(STAMP), stamp(recipe, folder)?).with_context(writing)?;
    flush(folder).with_context(writing)
}

/// What the stamp of this recipe says: versions, wheels, and the size of every library and text as it is on disk.
fn stamp(recipe: &Recipe, folder: &Path) -> io::Result<String> {
    let mut text = format!("{} {}\n", recipe.name, recipe.version);
    for (wheel, picks) in recipe.parts {
        let _ = writeln!(text, "wheel {} {}", wheel.sha256, wheel.file_name);
        for pick in *picks {
            let (path, bytes) = match pick {
                Pick::File { to, .. } => (to, fs::metadata(folder.join(to))?.len()),
                Pick::Folder { to, .. } => (to, fs::read_dir(folder.join(to))?.count() as u64),
            };
            let _ = writeln!(text, "{bytes} {path}");
        }
    }
    for (path, target) in recipe.links {
        let _ = writeln!(text, "link {path} {}", if folder.join(path).exists() { target } else { "missing" });
    }
    Ok(text)
}

/// On Linux one call for the thousands of headers; elsewhere the files are few.
fn flush(folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(folder)?)?;
    #[cfg(not(target_os = "linux"))]
    for folder in [folder.to_owned(), folder.join("lib")] {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            File::open(entry?.path())?.sync_all()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Wheel;
    use crate::unpack::tests::write_archive;
    use files::sha256_of;

    /// A recipe of one small wheel, which lies in the cache folder `cache`.
    fn small_recipe(cache: &Path) -> Recipe {
        fs::create_dir_all(cache).unwrap();
        let path = cache.join("small-1.0-py3-none-any.whl");
        write_archive(&path, &[("pkg/libx.so.1", b"library"), ("pkg/include/x.h", b"header")]);
        let wheel = Wheel {
            project: "small",
            version: "1.0",
            platform_tag: "any",
            file_name: "small-1.0-py3-none-any.whl",
            bytes: fs::metadata(&path).unwrap().len(),
            sha256: String::leak(sha256_of(&path).unwrap()),
        };
        let picks: &[Pick] = &[
            Pick::File { from: "pkg/libx.so.1", to: "lib/libx.so.1" },
            Pick::Folder { from: "pkg/include/", to: "include" },
        ];
        Recipe {
            name: "Small",
            version: "1.0",
            folder: "small",
            unpacked_bytes: 1000,
            parts: Vec::leak(vec![(wheel, picks)]),
            links: &[("lib/libx.so", "libx.so.1")],
            texts: &[("build-version", "1.0")],
            instead: "do without",
        }
    }

    fn entries(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut entries: Vec<String> = entries.collect();
        entries.sort();
        entries
    }

    #[test]
    fn the_second_run_needs_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (native, cache) = (root.path().join("native"), root.path().join("cache"));
        let recipe = small_recipe(&cache);
        let store = Store::cache(&cache);
        assert!(ensure_installed(&recipe, &native, &store).unwrap());
        assert_eq!(fs::read(native.join("small/lib/libx.so")).unwrap(), b"library");
        assert_eq!(fs::read(native.join("small/include/x.h")).unwrap(), b"header");
        assert_eq!(fs::read(native.join("small/build-version")).unwrap(), b"1.0");

        fs::remove_dir_all(&cache).unwrap();
        assert!(!ensure_installed(&recipe, &native, &store).unwrap());
        assert!(!cache.exists());
    }

    #[test]
    fn damage_and_other_versions_are_replaced() {
        let root = tempfile::tempdir().unwrap();
        let (native, cache) = (root.path().join("native"), root.path().join("cache"));
        let recipe = small_recipe(&cache);
        let store = Store::cache(&cache);
        let folder = native.join("small");
        ensure_installed(&recipe, &native, &store).unwrap();

        for damage in ["lib/libx.so.1", "lib/libx.so", "include/x.h", STAMP] {
            fs::remove_file(folder.join(damage)).unwrap();
            assert!(!is_installed(&recipe, &folder), "{damage}");
            assert!(ensure_installed(&recipe, &native, &store).unwrap(), "{damage}");
        }
        fs::write(folder.join("lib/libx.so.1"), "half").unwrap();
        assert!(ensure_installed(&recipe, &native, &store).unwrap());

        let newer = Recipe { version: "1.1", ..recipe };
        assert!(ensure_installed(&newer, &native, &store).unwrap());
        assert_eq!(entries(&native), ["lock", "small"]);
    }

    #[test]
    fn leftovers_of_a_killed_run_are_cleared() {
        let root = tempfile::tempdir().unwrap();
        let (native, cache) = (root.path().join("native"), root.path().join("cache"));
        let recipe = small_recipe(&cache);
        for leftover in ["small/lib/libx.so", ".small.building-a/lib/libx.so", ".small.building-b/lib/other"] {
            fs::create_dir_all(native.join(leftover).parent().unwrap()).unwrap();
            fs::write(native.join(leftover), "partial").unwrap();
        }
        assert!(ensure_installed(&recipe, &native, &Store::cache(&cache)).unwrap());
        assert_eq!(fs::read(native.join("small/lib/libx.so.1")).unwrap(), b"library");
        assert_eq!(entries(&native), ["lock", "small"]);
    }

    #[test]
    fn a_full_disk_is_noticed_before_anything_is_fetched() {
        let root = tempfile::tempdir().unwrap();
        let (native, cache) = (root.path().join("native"), root.path().join("cache"));
        let recipe = Recipe { unpacked_bytes: 1 << 60, ..small_recipe(&cache) };
        let message = ensure_installed(&recipe, &native, &Store::cache(&cache)).unwrap_err().to_string();
        assert!(message.contains("Small needs") && message.contains("make room, or do without"), "{message}");
        assert!(!native.join("small").exists());
    }

    #[test]
    fn the_advice_for_torch_sys_gives_way_to_the_library() {
        let root = tempfile::tempdir().unwrap();
        let (native, cache) = (root.path().join("native"), root.path().join("cache"));
        advise_torch_sys(&native).unwrap();
        let advice = fs::read_to_string(native.join("libtorch/build-version")).unwrap();
        assert!(advice.contains("cargo xtask setup --torch"), "{advice}");

        let recipe = Recipe { folder: "libtorch", ..small_recipe(&cache) };
        assert!(ensure_installed(&recipe, &native, &Store::cache(&cache)).unwrap());
        advise_torch_sys(&native).unwrap();
        assert_eq!(fs::read(native.join("libtorch/build-version")).unwrap(), b"1.0");
    }
}
