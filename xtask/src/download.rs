//! Fetching one file of known size and sha256 over HTTP: resumed after a kill or a cut connection, verified, and in
//! its place only when whole. Which address to fetch is `pip`'s business, what to do on failure that of `fetch`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use ureq::Agent;
use ureq::http::{StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};

use crate::digest;

/// The file to fetch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Download<'a> {
    /// Where it is.
    pub(crate) url: &'a str,
    /// Where it goes; the part that has arrived waits beside it, as `<name>.partial`.
    pub(crate) target: &'a Path,
    /// Its size.
    pub(crate) bytes: u64,
    /// Its sha256, in lower-case hexadecimal.
    pub(crate) sha256: &'a str,
}

/// How often to try again without any progress, and how long to pause (doubling each time).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Consecutive attempts that may bring nothing.
    pub(crate) attempts: u32,
    /// Pause after the first such attempt.
    pub(crate) pause: Duration,
}

/// Why a file could not be fetched.
#[derive(Debug)]
pub(crate) enum DownloadError {
    /// The other side did not give it, or gave another file: another way to fetch may succeed.
    Remote(String),
    /// This machine could not store it: another way to fetch would fail too.
    Local(anyhow::Error),
}

/// What one request brought.
enum Attempt {
    /// The server's answer ended, in full or cut off; `.0` says whether it continued where we stopped.
    Ended { resumed: bool, received: u64, cause: Option<String> },
    /// Asking again is useless.
    Refused(String),
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 5, pause: Duration::from_millis(500) }
    }
}

impl fmt::Display for DownloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(cause) => f.write_str(cause),
            Self::Local(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for DownloadError {}

impl From<anyhow::Error> for DownloadError {
    fn from(error: anyhow::Error) -> Self {
        Self::Local(error)
    }
}

/// An HTTP client that trusts the machine's certificates, uses the proxies of the environment and gives up on silence.
pub(crate) fn agent() -> Agent {
    let silence = Some(Duration::from_mins(1));
    Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(silence)
        .timeout_per_read(silence)
        // A compressed answer could be neither resumed nor counted.
        .accept_encoding("identity")
        .build()
        .new_agent()
}

/// Fetches the file, continuing what an earlier call left behind. `progress` counts its bytes.
pub(crate) fn download(
    agent: &Agent,
    download: &Download<'_>,
    patience: Patience,
    progress: &ProgressBar,
) -> Result<(), DownloadError> {
    let partial = partial_path(download.target);
    let (mut fruitless, mut from_before) = (0, length(&partial)? > 0);
    loop {
        let have = length(&partial)?;
        progress.set_position(have.min(download.bytes));
        if have >= download.bytes {
            if digest::matches(&partial, download.bytes, download.sha256)? {
                return Ok(publish(&partial, download.target)?);
            }
            remove(&partial)?;
            if !from_before {
                return Err(DownloadError::Remote(format!(
                    "{} is not the file that was pinned: its sha256 differs from {}",
                    download.url, download.sha256
                )));
            }
            // What an earlier run left was damaged; a fresh copy need not be.
            from_before = false;
            continue;
        }
        match attempt(agent, download, &partial, have, progress)? {
            Attempt::Refused(cause) => return Err(DownloadError::Remote(cause)),
            Attempt::Ended { cause: None, .. } => {}
            // A server that cannot resume starts anew each time: that is no progress.
            Attempt::Ended { resumed: true, received, .. } if received > 0 => fruitless = 0,
            Attempt::Ended { cause: Some(cause), .. } => {
                fruitless += 1;
                if fruitless >= patience.attempts {
                    return Err(DownloadError::Remote(cause));
                }
                std::thread::sleep(patience.pause * 2_u32.pow(fruitless - 1));
            }
        }
    }
}

/// Where the part of a file waits that has arrived.
pub(crate) fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn attempt(
    agent: &Agent,
    download: &Download<'_>,
    partial: &Path,
    have: u64,
    progress: &ProgressBar,
) -> Result<Attempt, DownloadError> {
    let url = download.url;
    let mut response = match agent.get(url).header(header::RANGE, format!("bytes={have}-")).call() {
        Ok(response) => response,
        Err(error) => {
            let cause = Some(format!("cannot fetch {url}: {error}"));
            return Ok(Attempt::Ended { resumed: true, received: 0, cause });
        }
    };
    let status = response.status();
    let (start, total) = match status {
        StatusCode::PARTIAL_CONTENT => match content_range(response.headers()) {
            Some(range) => range,
            None => return Ok(Attempt::Refused(format!("{url}: the answer lacks a valid Content-Range"))),
        },
        StatusCode::OK => (0, response.body().content_length()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            let cause = Some(format!("{url}: the server answers {status}"));
            return Ok(Attempt::Ended { resumed: true, received: 0, cause });
        }
        status if status.is_server_error() => {
            let cause = Some(format!("{url}: the server answers {status}"));
            return Ok(Attempt::Ended { resumed: true, received: 0, cause });
        }
        status => return Ok(Attempt::Refused(format!("{url}: the server answers {status}"))),
    };
    if total.is_some_and(|total| total != download.bytes) || (start != have && start != 0) {
        return Ok(Attempt::Refused(format!(
            "{url} is not the file that was pinned: expected {} bytes from byte {have}, the server offers {} from {start}",
            download.bytes,
            total.map_or_else(|| "an unknown number".to_owned(), |total| total.to_string()),
        )));
    }
    let resumed = status == StatusCode::PARTIAL_CONTENT;
    let (received, cause) = append(partial, start, download.bytes, response.body_mut().as_reader(), progress)?;
    Ok(Attempt::Ended { resumed, received, cause: cause.map(|cause| format!("{url}: {cause}")) })
}

/// Writes what the server sends behind byte `start`, at most up to `end`. A cut connection is a cause, not an error.
fn append(
    partial: &Path,
    start: u64,
    end: u64,
    body: impl io::Read,
    progress: &ProgressBar,
) -> Result<(u64, Option<String>), DownloadError> {
    let storing = || format!("cannot write {}", partial.display());
    let mut file = OpenOptions::new().create(true).append(true).open(partial).with_context(storing)?;
    file.set_len(start).with_context(storing)?;
    // One byte more than wanted is enough to notice a longer file, which its sum then refuses.
    let mut body = body.take(end - start + 1);
    let mut buffer = vec![0; 1 << 17];
    let mut received = 0;
    loop {
        match body.read(&mut buffer) {
            Ok(0) if start + received < end => {
                return Ok((received, Some(format!("the connection ended after {} of {end} bytes", start + received))));
            }
            Ok(0) => return Ok((received, None)),
            Ok(count) => {
                file.write_all(&buffer[..count]).with_context(storing)?;
                received += count as u64;
                progress.set_position(start + received);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok((received, Some(error.to_string()))),
        }
    }
}

/// The first byte and the total (if told) of `Content-Range: bytes FIRST-LAST/TOTAL`.
fn content_range(headers: &header::HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-')?.0.trim().parse().ok()?;
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    Some((first, total))
}

fn length(path: &Path) -> anyhow::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

fn publish(partial: &Path, target: &Path) -> anyhow::Result<()> {
    File::open(partial)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(partial, target))
        .with_context(|| format!("cannot move {} to {}", partial.display(), target.display()))
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
