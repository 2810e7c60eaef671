//! One file over HTTP: resumed after a kill or a broken connection, checked, and in its place only when whole.
//! Which address to ask and what an answer means is the caller's; [`get`] is the simple case.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::http::{Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::{Agent, Body};

use crate::{FileError, parent_of};

const PIECE_BYTES: usize = 1 << 18;
/// Requests altogether, for a server that gives a few bytes each time.
const MAX_REQUESTS: u32 = 1000;
/// Without a byte for so long, a connection is dead.
const SILENCE: Duration = Duration::from_mins(1);

/// The file to fetch.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// Where the file goes; what has arrived waits at [`partial_path`].
    pub target: &'a Path,
    /// Its length, if that is known.
    pub size: Option<u64>,
    /// Its sha256 in lower-case hexadecimal, if that is known.
    pub sha256: Option<&'a str>,
    /// When to give up.
    pub patience: Patience,
}

/// How many requests in a row may bring nothing, and how long to pause after the first of them (doubling each time).
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Requests in a row that may bring nothing.
    pub attempts: u32,
    /// Pause after the first such request.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 5, pause: Duration::from_millis(500) }
    }
}

/// Why a request was not answered with content.
#[derive(Debug)]
pub enum Refusal<E> {
    /// The same request may succeed later: no connection, or a server that is busy.
    Passing(E),
    /// Asking again is useless.
    Lasting(E),
}

/// Why a file could not be fetched.
#[derive(Debug)]
pub enum DownloadError<E> {
    /// This machine cannot store it.
    Disk(FileError),
    /// The last request was refused.
    Refused(E),
    /// What arrived is not the file.
    Transfer(TransferError),
}

/// What was wrong with what arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferError {
    /// The connection broke off, again and again.
    Cut {
        /// Bytes that are here.
        received: u64,
        /// Bytes that there are.
        total: Option<u64>,
    },
    /// Another part arrived than was asked for.
    WrongPart {
        /// HTTP status of the answer.
        status: u16,
    },
    /// The file is not as long as promised.
    WrongSize {
        /// The length that was promised.
        expected: u64,
        /// The length that was found.
        found: u64,
    },
    /// The file is not the one that was promised.
    WrongHash {
        /// The sha256 that was promised.
        expected: String,
        /// The sha256 of what arrived.
        found: String,
    },
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { received, total } => {
                let total = total.map_or("?".to_owned(), |total| total.to_string());
                write!(f, "the connection broke off after {received} of {total} bytes; run the command again to resume")
            }
            Self::WrongPart { status } => write!(f, "the answer {status} holds another part than was asked for"),
            Self::WrongSize { expected, found } => {
                write!(f, "expected {expected} bytes, found {found}; they were discarded, run the command again")
            }
            Self::WrongHash { expected, found } => {
                write!(f, "expected sha256 {expected}, found {found}; the file was discarded, run the command again")
            }
        }
    }
}

impl std::error::Error for TransferError {}

impl<E: fmt::Display> fmt::Display for DownloadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Refused(reason) => reason.fmt(f),
            Self::Transfer(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for DownloadError<E> {}

impl<E> From<FileError> for DownloadError<E> {
    fn from(error: FileError) -> Self {
        Self::Disk(error)
    }
}

impl<E> From<TransferError> for DownloadError<E> {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

/// The settings of an HTTP client that trusts the machine's certificates, uses the proxies of the environment, gives up on
/// silence and leaves every status to its caller.
pub fn client() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        // A compressed answer could be neither resumed nor counted.
        .accept_encoding("identity")
}

/// Asks `url` for its bytes from a position on; for [`download`].
pub fn get<'a>(agent: &'a Agent, url: &'a str) -> impl FnMut(u64) -> Result<Response<Body>, Refusal<String>> + 'a {
    move |start| {
        let response = agent.get(url).header("Range", format!("bytes={start}-")).call();
        let response = response.map_err(|error| Refusal::Passing(format!("cannot fetch {url}: {error}")))?;
        let status = response.status();
        let refusal = || format!("{url}: the server answers {status}");
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Ok(response),
            status if may_pass(status) => Err(Refusal::Passing(refusal())),
            _ => Err(Refusal::Lasting(refusal())),
        }
    }
}

/// Whether the same request may succeed later.
pub fn may_pass(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) || status.is_server_error()
}

/// Where the part of a file waits that has arrived.
pub fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".incomplete");
    name.into()
}

/// Fetches the file, resuming what an earlier call left behind. `ask` gives the answer that begins at a byte of the file,
/// or, if the server cannot, at its start; `progress` receives the bytes that are here and their total if that is known.
///
/// # Errors
/// When the server refuses, the connection breaks again and again, another file arrives, or the disk refuses. What has
/// arrived is kept unless it belongs to another file.
pub fn download<E>(
    wanted: &Download<'_>,
    mut ask: impl FnMut(u64) -> Result<Response<Body>, Refusal<E>>,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(), DownloadError<E>> {
    let partial = partial_path(wanted.target);
    fs::create_dir_all(parent_of(&partial)).map_err(FileError::new("create", parent_of(&partial)))?;
    let file = File::options().create(true).read(true).write(true).truncate(false).open(&partial);
    let mut file = file.map_err(FileError::new("create", &partial))?;
    let received = file.seek(SeekFrom::End(0)).map_err(FileError::new("read", &partial))?;
    let mut transfer =
        Transfer { wanted, received, total: wanted.size, is_resumed: received > 0, file, path: &partial };
    if let Err(error) = transfer.run(&mut ask, progress) {
        if transfer.received == 0 {
            fs::remove_file(&partial).map_err(FileError::new("delete", &partial))?;
        }
        return Err(error);
    }
    transfer.file.sync_all().map_err(FileError::new("sync", &partial))?;
    fs::rename(&partial, wanted.target).map_err(FileError::new("rename the finished download to", wanted.target))?;
    Ok(())
}

struct Transfer<'a> {
    wanted: &'a Download<'a>,
    /// Bytes in the file, which is positioned behind them.
    received: u64,
    total: Option<u64>,
    /// Whether the file holds bytes of an earlier call, which may have been damaged since.
    is_resumed: bool,
    file: File,
    path: &'a Path,
}

/// What an answer brought.
enum Ended {
    Whole,
    /// It broke off; whether it brought bytes behind those that were here.
    Cut {
        is_progress: bool,
    },
}

impl Transfer<'_> {
    fn run<E>(
        &mut self,
        ask: &mut impl FnMut(u64) -> Result<Response<Body>, Refusal<E>>,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), DownloadError<E>> {
        loop {
            self.fetch(ask, progress)?;
            let Err(error) = self.check()? else { return Ok(()) };
            let is_resumed = self.is_resumed;
            self.restart()?;
            if !is_resumed {
                return Err(error.into());
            }
        }
    }

    /// Asks until the file is whole.
    fn fetch<E>(
        &mut self,
        ask: &mut impl FnMut(u64) -> Result<Response<Body>, Refusal<E>>,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), DownloadError<E>> {
        let Patience { attempts, pause } = self.wanted.patience;
        let (mut fruitless, mut requests) = (0, 0);
        progress(self.received, self.total);
        while self.total.is_none_or(|total| self.received < total) {
            let (reason, is_progress) = match ask(self.received) {
                Err(Refusal::Lasting(reason)) => return Err(DownloadError::Refused(reason)),
                Err(Refusal::Passing(reason)) => (DownloadError::Refused(reason), false),
                Ok(response) => match self.append(response, progress)? {
                    Ended::Whole => break,
                    Ended::Cut { is_progress } => {
                        (TransferError::Cut { received: self.received, total: self.total }.into(), is_progress)
                    }
                },
            };
            requests += 1;
            fruitless = if is_progress { 0 } else { fruitless + 1 };
            if fruitless >= attempts || requests == MAX_REQUESTS {
                return Err(reason);
            }
            if fruitless > 0 {
                thread::sleep(pause * 2_u32.pow(fruitless - 1));
            }
        }
        Ok(())
    }

    /// Appends an answer's body.
    fn append<E>(
        &mut self,
        mut response: Response<Body>,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Ended, DownloadError<E>> {
        let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
        let (is_continued, total) = match (response.status(), range.and_then(parse_range)) {
            (StatusCode::PARTIAL_CONTENT, Some((start, total))) if start == self.received => (true, total),
            // The server gives everything again, whatever was asked for.
            (StatusCode::OK, _) => (false, response.body().content_length()),
            (StatusCode::RANGE_NOT_SATISFIABLE, _) if self.received > 0 => {
                // More is here than the file has: what is here belongs to another file.
                self.restart()?;
                return Ok(Ended::Cut { is_progress: false });
            }
            (status, _) => return Err(TransferError::WrongPart { status: status.as_u16() }.into()),
        };
        if let (Some(expected), Some(found)) = (self.wanted.size, total)
            && expected != found
        {
            self.restart()?;
            return Err(TransferError::WrongSize { expected, found }.into());
        }
        if !is_continued {
            self.restart()?;
        }
        self.total = self.total.or(total);
        let before = self.received;
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut piece = vec![0; PIECE_BYTES];
        while self.total.is_none_or(|total| self.received <= total) {
            match reader.read(&mut piece) {
                Ok(0) if self.total.is_none_or(|total| self.received == total) => return Ok(Ended::Whole),
                Ok(count) if count > 0 => {
                    self.file.write_all(&piece[..count]).map_err(FileError::new("write", self.path))?;
                    self.received += count as u64;
                    progress(self.received, self.total);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A server that starts anew each time makes no progress.
                _ => return Ok(Ended::Cut { is_progress: is_continued && self.received > before }),
            }
        }
        Ok(Ended::Whole)
    }

    fn restart(&mut self) -> Result<(), FileError> {
        (self.received, self.is_resumed) = (0, false);
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(FileError::new("write", self.path))
    }

    /// Whether the file is the one that was promised.
    fn check(&mut self) -> Result<Result<(), TransferError>, FileError> {
        if let Some(expected) = self.wanted.size.filter(|&expected| expected != self.received) {
            return Ok(Err(TransferError::WrongSize { expected, found: self.received }));
        }
        let Some(expected) = self.wanted.sha256 else { return Ok(Ok(())) };
        let found = crate::sha256_of(self.path)?;
        Ok(if found == expected {
            Ok(())
        } else {
            Err(TransferError::WrongHash { expected: expected.to_owned(), found })
        })
    }
}

/// Start and total of `bytes 100-199/200`.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}
