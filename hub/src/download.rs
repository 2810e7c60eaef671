//! One blob from the hub into its file: gone on from where it broke off, checked, and only then named as it should be.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::{Response, StatusCode};

use crate::{FetchError, HubError};

const PIECE_BYTES: usize = 1 << 18;
/// Attempts in a row that bring nothing; each that brings something starts the count anew.
const MAX_FRUITLESS_ATTEMPTS: u32 = 3;
/// Attempts altogether, for a server that gives a few bytes each time.
const MAX_ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// What shall be fetched.
pub(crate) struct Blob {
    /// Where it shall be.
    pub(crate) path: PathBuf,
    /// Its hash, if the hub gives it.
    pub(crate) sha256: Option<String>,
    /// Its length, if the hub gives it.
    pub(crate) size: Option<u64>,
}

/// Fetches `blob`; `ask` gives the answer that begins at a byte of the file, or, if the server cannot, at its start.
///
/// The outer result speaks of the disk, the inner one of the hub.
pub(crate) fn download(
    blob: &Blob,
    mut ask: impl FnMut(u64) -> Result<Response<Body>, FetchError>,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Result<(), FetchError>, HubError> {
    let partial = blob.path.with_extension("incomplete");
    let parent = partial.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(HubError::io("create", parent))?;
    let file = File::options().create(true).read(true).write(true).truncate(false).open(&partial);
    let mut transfer =
        Transfer { received: 0, total: blob.size, file: file.map_err(HubError::io("create", &partial))? };
    let disk = |error| HubError::io("write", &partial)(error);
    transfer.received = transfer.file.seek(SeekFrom::End(0)).map_err(disk)?;

    let (mut fruitless, mut attempts) = (0, 0);
    while !transfer.is_complete() {
        let before = transfer.received;
        let ended = match ask(transfer.received) {
            Ok(response) => {
                transfer.take(response, progress).map_err(|error| HubError::io("write", &partial)(error))?
            }
            Err(FetchError::NoConnection { .. }) if attempts > 0 => Ended::Cut,
            Err(reason) => return Ok(Err(reason)),
        };
        match ended {
            Ended::Whole => break,
            Ended::Refused(reason) => return Ok(Err(reason)),
            Ended::Cut => {}
        }
        attempts += 1;
        fruitless = if transfer.received > before { 0 } else { fruitless + 1 };
        if fruitless == MAX_FRUITLESS_ATTEMPTS || attempts == MAX_ATTEMPTS {
            return Ok(Err(FetchError::Cut { received: transfer.received, total: transfer.total }));
        }
        thread::sleep(PAUSE * (fruitless + 1));
    }
    let wrong = transfer.check(blob).map_err(HubError::io("read", &partial))?;
    if let Some(reason) = wrong {
        fs::remove_file(&partial).map_err(HubError::io("delete", &partial))?;
        return Ok(Err(reason));
    }
    transfer.file.sync_all().map_err(HubError::io("sync", &partial))?;
    fs::rename(&partial, &blob.path).map_err(HubError::io("rename a finished download to", &blob.path))?;
    Ok(Ok(()))
}

struct Transfer {
    /// Bytes in the file, which is positioned behind them.
    received: u64,
    total: Option<u64>,
    file: File,
}

/// How an answer ended.
enum Ended {
    Whole,
    Cut,
    Refused(FetchError),
}

impl Transfer {
    fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.received == total)
    }

    /// Appends an answer's body. The error is the disk's; a broken connection is [`Ended::Cut`].
    fn take(&mut self, mut response: Response<Body>, progress: &mut dyn FnMut(u64, Option<u64>)) -> io::Result<Ended> {
        let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
        match (response.status(), range.map(parse_range)) {
            (StatusCode::PARTIAL_CONTENT, Some(Some((start, total)))) if start == self.received => {
                self.total = self.total.or(total);
            }
            (StatusCode::OK, _) => {
                // The server gives everything again, whatever was asked for.
                self.restart()?;
                self.total = self.total.or(response.body().content_length());
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, _) if self.received > 0 => {
                // More is here than the file has: what is here belongs to another file.
                self.restart()?;
                return Ok(Ended::Cut);
            }
            (status, _) => {
                let problem = format!("a part was asked for, and it answers {status} with another");
                return Ok(Ended::Refused(FetchError::Answer { problem }));
            }
        }
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => {
                    self.file.write_all(&piece[..count])?;
                    self.received += count as u64;
                    progress(self.received, self.total);
                    if self.total.is_some_and(|total| self.received > total) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(Ended::Cut),
            }
        }
        Ok(if self.total.is_none_or(|total| self.received >= total) { Ended::Whole } else { Ended::Cut })
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.received = 0;
        Ok(())
    }

    /// Why the file is not the one that was promised, if it is not.
    fn check(&mut self, blob: &Blob) -> io::Result<Option<FetchError>> {
        if let Some(expected) = blob.size.filter(|&expected| expected != self.received) {
            return Ok(Some(FetchError::WrongSize { expected, found: self.received }));
        }
        let Some(expected) = &blob.sha256 else { return Ok(None) };
        self.file.rewind()?;
        let mut digest = Sha256::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.file.read(&mut piece)? {
                0 => break,
                count => digest.update(&piece[..count]),
            }
        }
        let found = hex::encode(digest.finalize());
        Ok((found != *expected).then(|| FetchError::WrongHash { expected: expected.clone(), found }))
    }
}

/// Start and total of `bytes 100-199/200`.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}
