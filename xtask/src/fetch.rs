//! Getting a verified wheel onto this disk: from the cache folder, from an earlier run, from where pip points, or through
//! pip itself, in this order. What becomes of the wheel is `install`'s business.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use files::download::{Download, DownloadError, Patience, client, download, get, partial_path};
use files::progress::{Unit, progress_bar};

use crate::digest;
use crate::pip::Pip;
use crate::recipe::Wheel;

/// The environment variable that names a folder in which wheels are looked for and kept.
pub(crate) const CACHE_VARIABLE: &str = "TRM_NATIVE_CACHE";

/// Where wheels may lie and where they are put.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
    keep: bool,
}

/// A wheel whose sha256 has been verified.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The file.
    pub(crate) path: PathBuf,
    /// Whether it is ours to remove after unpacking.
    pub(crate) disposable: bool,
}

impl Store {
    /// The user's cache folder if the environment names one, else a folder of passage below `native`.
    pub(crate) fn from_environment(native: &Path) -> Self {
        match std::env::var_os(CACHE_VARIABLE).filter(|value| !value.is_empty()) {
            Some(cache) => Self { folder: cache.into(), keep: true },
            None => Self { folder: native.join("downloads"), keep: false },
        }
    }

    /// A cache folder.
    #[cfg(test)]
    pub(crate) fn cache(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), keep: true }
    }

    /// Bytes of the wheel that are not here yet.
    pub(crate) fn missing_bytes(&self, wheel: &Wheel) -> u64 {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let target = self.folder.join(wheel.file_name);
        wheel.bytes.saturating_sub(length(&target).max(length(&partial_path(&target))))
    }

    /// The wheel, fetched if it is not here yet. pip is needed only then.
    pub(crate) fn fetch(&self, wheel: &Wheel) -> Result<Fetched> {
        let target = self.folder.join(wheel.file_name);
        let fetched = Fetched { path: target.clone(), disposable: !self.keep };
        if digest::matches(&target, wheel.bytes, wheel.sha256)? {
            return Ok(fetched);
        }
        std::fs::create_dir_all(&self.folder).with_context(|| {
            format!("cannot create {}: correct {CACHE_VARIABLE} or unset it", self.folder.display())
        })?;
        let pip = Pip::find()?;
        match pip.locate(wheel) {
            Some(url) if url.starts_with("file://") => {
                let path = PathBuf::from(url.trim_start_matches("file://"));
                if digest::matches(&path, wheel.bytes, wheel.sha256)? {
                    return Ok(Fetched { path, disposable: false });
                }
                self.fetch_through_pip(&pip, wheel, &target)?;
            }
            Some(url) => match fetch_from(&url, wheel, &target) {
                Ok(()) => {}
                // Another way to fetch would fail too.
                Err(DownloadError::Disk(error)) => return Err(error.into()),
                Err(error) => {
                    eprintln!("{url}: {error}; asking pip, which knows your proxies and credentials");
                    self.fetch_through_pip(&pip, wheel, &target)?;
                }
            },
            None => self.fetch_through_pip(&pip, wheel, &target)?,
        }
        Ok(fetched)
    }

    /// Removes what passage leaves behind; a cache stays.
    pub(crate) fn tidy(&self) {
        if !self.keep {
            // Not empty if another wheel is half fetched, which is worth keeping.
            let _ = std::fs::remove_dir(&self.folder);
        }
    }

    fn fetch_through_pip(&self, pip: &Pip, wheel: &Wheel, target: &Path) -> Result<()> {
        pip.download(wheel, &self.folder)?;
        if !digest::matches(target, wheel.bytes, wheel.sha256)? {
            let found = if target.exists() { files::sha256_of(target)? } else { "no such file".to_owned() };
            let _ = std::fs::remove_file(target);
            bail!(
                "pip's {} is not the file that was pinned: expected sha256 {}, found {found}; \
                 check the index and the mirrors that `pip config list` shows",
                wheel.file_name,
                wheel.sha256
            );
        }
        Ok(())
    }
}

fn fetch_from(url: &str, wheel: &Wheel, target: &Path) -> Result<(), DownloadError<String>> {
    eprintln!("fetching {} ({} MiB)", wheel.file_name, wheel.bytes >> 20);
    let progress = progress_bar("  fetching", Some(wheel.bytes), Unit::Bytes);
    let wanted =
        Download { target, size: Some(wheel.bytes), sha256: Some(wheel.sha256), patience: Patience::default() };
    let result = download(&wanted, get(&client().build().new_agent(), url), &mut |here, _| progress.set_position(here));
    progress.finish_and_clear();
    result
}
