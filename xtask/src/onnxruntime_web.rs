//! ONNX Runtime for browsers, out of its npm package: fetched through the user's own npm (registry, proxy and credentials
//! are its configuration), verified, laid out in `.native/onnxruntime-web`. What becomes of it is `site`'s business.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use files::hash_of;
use flate2::read::GzDecoder;
use sha2::Sha512;
use tar::Archive;

use crate::fetch::CACHE_VARIABLE;
use crate::install;

/// An npm package in one version.
struct Package {
    name: &'static str,
    version: &'static str,
    /// Of the archive, in hexadecimal; npm writes the same in base64 as `integrity`.
    sha512: &'static str,
    /// Members of the archive, which are laid out under their own file names.
    picks: &'static [&'static str],
}

const PACKAGE: Package = Package {
    name: "onnxruntime-web",
    version: "1.30.0",
    sha512: "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca\
             590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61",
    picks: &["package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"],
};

/// Written last: says which version is whole in the folder. `server site` names it.
const VERSION_FILE: &str = "version";

/// Makes sure that the files lie in `native/onnxruntime-web`, and returns that folder.
pub(crate) fn ensure_installed(native: &Path) -> Result<PathBuf> {
    let cache = std::env::var_os(CACHE_VARIABLE).filter(|cache| !cache.is_empty()).map(PathBuf::from);
    PACKAGE.ensure_installed(native, cache.as_deref())
}

impl Package {
    fn ensure_installed(&self, native: &Path, cache: Option<&Path>) -> Result<PathBuf> {
        let folder = native.join(self.name);
        if self.is_installed(&folder) {
            return Ok(folder);
        }
        fs::create_dir_all(native).with_context(|| format!("cannot create {}", native.display()))?;
        let _lock = install::lock(native)?;
        if self.is_installed(&folder) {
            return Ok(folder);
        }
        let downloads = cache.map_or_else(|| native.join("downloads"), Path::to_path_buf);
        let archive = self.fetch(&downloads)?;
        files::write_folder(&folder, |staged| {
            self.unpack(&archive, staged)?;
            anyhow::Ok(files::write(&staged.join(VERSION_FILE), self.version)?)
        })?;
        if cache.is_none() {
            fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
            // Not empty if something else is half fetched, which is worth keeping.
            let _ = fs::remove_dir(&downloads);
        }
        eprintln!("{} {} is in {}", self.name, self.version, folder.display());
        Ok(folder)
    }

    fn is_installed(&self, folder: &Path) -> bool {
        let has = |pick: &&str| folder.join(file_name(pick)).is_file();
        let version = fs::read_to_string(folder.join(VERSION_FILE));
        version.is_ok_and(|version| version == self.version) && self.picks.iter().all(has)
    }

    /// What `npm pack` calls the archive.
    fn archive_name(&self) -> String {
        format!("{}-{}.tgz", self.name, self.version)
    }

    /// The verified archive in `folder`.
    fn fetch(&self, folder: &Path) -> Result<PathBuf> {
        let archive = folder.join(self.archive_name());
        if !archive.is_file() {
            self.pack(folder)?;
        }
        let found = hash_of::<Sha512>(&archive)?;
        if found != self.sha512 {
            let _ = fs::remove_file(&archive);
            bail!(
                "{} is not the file that was pinned: expected sha512 {}, found {found}; check the registry that \
                 `npm config get registry` shows",
                archive.display(),
                self.sha512
            );
        }
        Ok(archive)
    }

    /// Lets npm put the archive into `folder`.
    fn pack(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}: correct {CACHE_VARIABLE} or unset it", folder.display()))?;
        let specification = format!("{}@{}", self.name, self.version);
        eprintln!("fetching {specification} with npm");
        let npm = Command::new("npm")
            .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
            .arg(folder)
            .arg(&specification)
            // Not that of a package whose folder this may be.
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        let status = match npm {
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "npm was not found, and ONNX Runtime for browsers comes as the npm package {specification}: install npm \
                 (Debian, Ubuntu: `apt-get install npm`; Fedora: `dnf install npm`; macOS: `brew install node`), or put \
                 {} into a folder and set {CACHE_VARIABLE} to it",
                self.archive_name()
            ),
            npm => npm.context("cannot run npm")?,
        };
        ensure!(
            status.success(),
            "`npm pack {specification}` failed ({status}): see npm's message above; without network, put {} into a folder \
             and set {CACHE_VARIABLE} to it",
            self.archive_name()
        );
        Ok(())
    }

    /// Takes the picked files out of the archive.
    fn unpack(&self, archive: &Path, folder: &Path) -> Result<()> {
        let reading = || format!("cannot read {}", archive.display());
        let file = BufReader::new(File::open(archive).with_context(reading)?);
        let mut missing = self.picks.to_vec();
        for entry in Archive::new(GzDecoder::new(file)).entries().with_context(reading)? {
            let mut entry = entry.with_context(reading)?;
            let path = entry.path().with_context(reading)?.into_owned();
            let Some(place) = missing.iter().position(|pick| Path::new(pick) == path) else { continue };
            let target = folder.join(file_name(missing.swap_remove(place)));
            let storing = || format!("cannot write {}", target.display());
            let mut output = File::create(&target).with_context(storing)?;
            io::copy(&mut entry, &mut output).with_context(storing)?;
        }
        ensure!(missing.is_empty(), "{} lacks what was expected in it: {}", archive.display(), missing.join(", "));
        Ok(())
    }
}

fn file_name(member: &str) -> &str {
    member.rsplit('/').next().unwrap_or(member)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A package whose archive lies in the cache folder.
    fn small_package(cache: &Path, members: &[(&str, &str)]) -> Package {
        fs::create_dir_all(cache).unwrap();
        let path = cache.join("small-1.0.0.tgz");
        let mut builder = tar::Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::fast()));
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        let sha512 = String::leak(hash_of::<Sha512>(&path).unwrap());
        Package { name: "small", version: "1.0.0", sha512, picks: &["package/dist/a.mjs", "package/dist/b.wasm"] }
    }

    #[test]
    fn picked_files_are_laid_out_once() {
        let root = tempfile::tempdir().unwrap();
        let (native, cache) = (root.path().join("native"), root.path().join("cache"));
        let members =
            [("package/dist/a.mjs", "script"), ("package/README.md", "words"), ("package/dist/b.wasm", "kernels")];
        let package = small_package(&cache, &members);
        let folder = package.ensure_installed(&native, Some(&cache)).unwrap();
        assert_eq!(fs::read_to_string(folder.join("a.mjs")).unwrap(), "script");
        assert_eq!(fs::read_to_string(folder.join("b.wasm")).unwrap(), "kernels");
        assert_eq!(fs::read_to_string(folder.join("version")).unwrap(), "1.0.0");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        // Not looked for again, but where another version or a damaged folder lies.
        fs::remove_dir_all(&cache).unwrap();
        assert_eq!(package.ensure_installed(&native, Some(&cache)).unwrap(), folder);
        fs::remove_file(folder.join("b.wasm")).unwrap();
        assert!(!package.is_installed(&folder));
        let newer = Package { version: "1.1.0", ..small_package(&cache, &members) };
        assert!(!newer.is_installed(&folder));
    }

    #[test]
    fn other_archives_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let (native, cache) = (root.path().join("native"), root.path().join("cache"));
        let package = Package { sha512: "00", ..small_package(&cache, &[("package/dist/a.mjs", "script")]) };
        let message = package.ensure_installed(&native, Some(&cache)).unwrap_err().to_string();
        assert!(message.contains("expected sha512 00, found"), "{message}");
        assert!(!native.join("small").exists() && !cache.join("small-1.0.0.tgz").exists());

        let package = small_package(&cache, &[("package/dist/a.mjs", "script")]);
        let message = package.ensure_installed(&native, Some(&cache)).unwrap_err().to_string();
        assert!(message.contains("lacks what was expected in it: package/dist/b.wasm"), "{message}");
    }

    #[test]
    fn the_package_is_pinned_by_a_whole_sum() {
        assert_eq!(PACKAGE.sha512.len(), 128);
        assert!(PACKAGE.sha512.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
    }
}
