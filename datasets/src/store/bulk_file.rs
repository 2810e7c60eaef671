//! A file written once from its start, past the page cache where the system can (Linux, most file systems): gigabytes
//! that are not read soon would only push out what others read, and cost more processor time than making them.
//! Owns blocks and their alignment; leaves content and the header to [`super::npy`].

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes per write.
const BLOCK_BYTES: usize = 1 << 21;
/// Alignment of buffers and offsets in direct writes; no device asks for more than a page.
const ALIGNMENT: usize = 4096;

/// A growing file. What is written is on its way only after a block is full, and on disk after
/// [`finish`](Self::finish).
#[derive(Debug)]
pub(super) struct BulkFile {
    file: File,
    /// Memory in which an aligned block lies.
    memory: Vec<u8>,
    /// Where in the memory the block starts.
    start: usize,
    /// Bytes of the block that are filled.
    filled: usize,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing has been written yet.
    Unknown,
    Direct,
    Buffered,
}

impl BulkFile {
    /// Creates a file that must not exist.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        let memory = vec![0; BLOCK_BYTES + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Ok(Self { file, memory, start, filled: 0, mode: Mode::Unknown })
    }

    /// Writes what is left and then `head` over the start of the file, and waits until the disk has everything.
    pub(super) fn finish(mut self, head: &[u8]) -> io::Result<()> {
        // The last block has any length, and the head starts nothing aligned.
        self.leave_direct()?;
        self.write_block()?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(head)?;
        self.file.sync_all()
    }

    fn write_block(&mut self) -> io::Result<()> {
        let mut rest = self.start..self.start + self.filled;
        while !rest.is_empty() {
            match self.file.write(&self.memory[rest.clone()]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest.start += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A device with another idea of alignment, or the rest of a block that was cut short.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && self.mode == Mode::Direct => {
                    self.leave_direct()?;
                }
                Err(error) => return Err(error),
            }
        }
        self.filled = 0;
        Ok(())
    }

    /// Turns to direct writes where the file system has them.
    fn try_direct(&mut self) {
        self.mode = if set_direct(&self.file, true).is_ok() { Mode::Direct } else { Mode::Buffered };
    }

    fn leave_direct(&mut self) -> io::Result<()> {
        if self.mode == Mode::Direct {
            set_direct(&self.file, false)?;
        }
        self.mode = Mode::Buffered;
        Ok(())
    }
}

impl Write for BulkFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filled == BLOCK_BYTES {
            if self.mode == Mode::Unknown {
                self.try_direct();
            }
            self.write_block()?;
        }
        let taken = bytes.len().min(BLOCK_BYTES - self.filled);
        let free = self.start + self.filled;
        self.memory[free..free + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        Ok(taken)
    }

    /// Does nothing: an incomplete block waits for its rest.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(not(target_os = "linux"))]
fn set_direct(_: &File, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths around whole blocks, written in pieces that fit nowhere.
    #[test]
    fn every_length_arrives_whole_under_its_head() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for length in
            [0, 1, 4095, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 513]
        {
            let mut content: Vec<u8> = (0..length).map(|index| (index * 31 % 251) as u8).collect();
            let path = folder.path().join(length.to_string());
            let mut file = BulkFile::create(&path).expect("created");
            for piece in content.chunks(100_003) {
                file.write_all(piece).expect("written");
            }
            let head = [255; 128];
            let head = &head[..length.min(128)];
            file.finish(head).expect("finished");
            content[..head.len()].copy_from_slice(head);
            assert!(std::fs::read(&path).expect("readable") == content, "{length} bytes");
        }
    }

    /// What a device with another alignment would answer: the block goes through the page cache instead.
    #[test]
    fn refused_direct_writes_go_through_the_page_cache() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        let mut file = BulkFile::create(&path).expect("created");
        file.start += 1;
        let content: Vec<u8> = (0..2 * BLOCK_BYTES + 7).map(|index| (index % 253) as u8).collect();
        file.write_all(&content).expect("written");
        file.finish(&[]).expect("finished");
        assert!(std::fs::read(&path).expect("readable") == content);
    }
}
