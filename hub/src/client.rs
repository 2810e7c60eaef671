//! The hub as the environment describes it, and the way of a file from there into the cache.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use files::download::{self, Download, DownloadError, Patience, Refusal};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::cache::{Publishing, RepositoryCache, is_commit};
use crate::environment::Environment;
use crate::{FetchError, FileReference, HubError};

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// From the hub to its storage, and from a repository's old name to its new one.
const MAX_REDIRECTS: usize = 6;
/// Of a transfer. The hub has just answered: what fails now fails again.
const PATIENCE: Patience = Patience { attempts: 3, pause: Duration::from_millis(200) };

/// A hub: where it is, who asks, and where files are kept.
#[derive(Debug, Clone)]
pub struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    offline: Option<&'static str>,
    symlinks: bool,
    agent: Agent,
}

impl Hub {
    /// As the environment says, read as `huggingface_hub` reads it: `HF_ENDPOINT`; `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`,
    /// `HF_HOME` and `XDG_CACHE_HOME` for the cache; `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, `HF_TOKEN_PATH` or the file that a
    /// login left in `HF_HOME` for the token; `HF_HUB_DISABLE_IMPLICIT_TOKEN`, `HF_HUB_OFFLINE` and `TRANSFORMERS_OFFLINE`,
    /// `HF_HUB_DISABLE_SYMLINKS`. Folders may begin with `~` and hold `$VARS`.
    ///
    /// # Errors
    /// [`HubError::NoCache`] when there is no home folder either, [`HubError::Variable`] when a variable holds what cannot be
    /// sent.
    pub fn from_env() -> Result<Self, HubError> {
        let environment = Environment::read(|name| env::var_os(name), env::home_dir())?;
        let mut hub = Self::new(environment.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT), &environment.cache);
        hub.token = environment.token;
        hub.offline = environment.offline;
        hub.symlinks = environment.symlinks;
        Ok(hub)
    }

    /// The hub at `endpoint`, without a token, with its files under `cache`.
    pub fn new(endpoint: &str, cache: &Path) -> Self {
        // Redirects are followed here: they carry the hash, and the token must not follow them.
        let agent = download::client().max_redirects(0).max_redirects_will_error(false).build().new_agent();
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Self { endpoint, cache: cache.to_owned(), token: None, offline: None, symlinks: true, agent }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.trim().to_owned()), ..self }
    }

    /// The same, without making any request.
    #[must_use]
    pub fn offline(self) -> Self {
        Self { offline: Some("HF_HUB_OFFLINE"), ..self }
    }

    /// The same, with files in the place of symbolic links to them.
    #[must_use]
    pub fn without_symlinks(self) -> Self {
        Self { symlinks: false, ..self }
    }

    /// Where files are kept.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The local path of a file, fetched if the cache does not hold it. `progress` receives the bytes that are here and
    /// their total if that is known.
    ///
    /// # Errors
    /// [`HubError::Fetch`] when it is neither here nor to be had; what has arrived of it is kept and gone on from.
    pub fn file(
        &self,
        reference: &FileReference,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<PathBuf, HubError> {
        let cache = RepositoryCache::new(&self.cache, reference);
        if let Some(path) = cache.lookup(reference) {
            return Ok(path);
        }
        let failed = |reason| self.failed(reference, reason);
        if let Some(variable) = self.offline {
            return Err(failed(FetchError::Offline { variable, cache: cache.folder().to_owned() }));
        }
        let described = self.describe(reference).map_err(failed)?;
        if let Some(path) = cache.adopt(reference, &described.commit)? {
            return Ok(path);
        }
        let blob = cache.blob(&described.etag);
        let mut how = Publishing { symlinks: self.symlinks, is_new: false };
        if !blob.is_file() {
            let _lock = cache.lock(&described.etag)?;
            // The process that held the lock may have fetched it.
            if !blob.is_file() {
                let (size, sha256) = (described.size, described.sha256.as_deref());
                let wanted = Download { target: &blob, size, sha256, patience: PATIENCE };
                let ask = |start| self.content(reference, &described.commit, start).map_err(refusal);
                download::download(&wanted, ask, &mut progress).map_err(|error| match error {
                    DownloadError::Disk(error) => error.into(),
                    DownloadError::Refused(reason) => failed(reason),
                    DownloadError::Transfer(error) => failed(error.into()),
                })?;
                how.is_new = true;
            }
        }
        cache.publish(reference, &described.commit, &described.etag, how)
    }

    fn failed(&self, reference: &FileReference, reason: FetchError) -> HubError {
        HubError::Fetch {
            kind: reference.kind(),
            file: reference.file().to_owned(),
            repository: reference.repository().to_owned(),
            endpoint: self.endpoint.clone(),
            reason: Box::new(reason),
        }
    }

    /// Asks what the file is, without its content.
    fn describe(&self, reference: &FileReference) -> Result<Described, FetchError> {
        let mut address = self.address(reference, reference.revision());
        for _ in 0..MAX_REDIRECTS {
            let response = self.ask("HEAD", &address, 0)?;
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let status = response.status();
            if let (Some(commit), Some(etag)) =
                (header("x-repo-commit"), header("x-linked-etag").or_else(|| header("etag")))
                && (status.is_success() || status.is_redirection())
            {
                let size = header("x-linked-size")
                    .or_else(|| header("content-length").filter(|_| status.is_success()))
                    .and_then(|size| size.parse().ok());
                return Described::new(commit, etag, size);
            }
            address = next(&response, &address, reference)?;
        }
        Err(FetchError::Answer { problem: "it redirects without end".into() })
    }

    /// Asks for the content from byte `start` on.
    fn content(&self, reference: &FileReference, commit: &str, start: u64) -> Result<Response<Body>, FetchError> {
        let mut address = self.address(reference, commit);
        for _ in 0..MAX_REDIRECTS {
            let response = self.ask("GET", &address, start)?;
            if response.status().is_success() || response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                return Ok(response);
            }
            address = next(&response, &address, reference)?;
        }
        Err(FetchError::Answer { problem: "it redirects without end".into() })
    }

    fn address(&self, reference: &FileReference, revision: &str) -> String {
        let escaped = |text: &str| text.replace(' ', "%20");
        format!(
            "{}/{}{}/resolve/{}/{}",
            self.endpoint,
            reference.kind().address_prefix(),
            reference.repository(),
            // A branch may be named feature/x; as part of a path its slash must not look like one.
            escaped(revision).replace('/', "%2F"),
            escaped(reference.file())
        )
    }

    fn ask(&self, method: &str, address: &str, start: u64) -> Result<Response<Body>, FetchError> {
        let request = if method == "HEAD" { self.agent.head(address) } else { self.agent.get(address) };
        let request = match &self.token {
            Some(token) if self.is_ours(address) => request.header("Authorization", format!("Bearer {token}")),
            _ => request,
        };
        let request = if start > 0 { request.header("Range", format!("bytes={start}-")) } else { request };
        request.call().map_err(|error| FetchError::NoConnection { reason: error.to_string() })
    }

    /// Whether an address belongs to the hub itself, and not to the storage that it sends us to.
    fn is_ours(&self, address: &str) -> bool {
        origin(address) == origin(&self.endpoint)
    }
}

/// Whether the same request may succeed later.
fn refusal(reason: FetchError) -> Refusal<FetchError> {
    match reason {
        FetchError::NoConnection { .. } => Refusal::Passing(reason),
        FetchError::Status { status } if StatusCode::from_u16(status).is_ok_and(download::may_pass) => {
            Refusal::Passing(reason)
        }
        _ => Refusal::Lasting(reason),
    }
}

/// Where a redirect leads, or why the answer is a refusal.
fn next(response: &Response<Body>, address: &str, reference: &FileReference) -> Result<String, FetchError> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let revision = reference.revision().to_owned();
    match (response.status().as_u16(), header("x-error-code")) {
        (300..=399, _) => {}
        (401, _) => return Err(FetchError::Unauthorized),
        (403, _) => return Err(FetchError::Forbidden),
        (404, Some("RepoNotFound")) => return Err(FetchError::NoRepository),
        (404, Some("RevisionNotFound")) => return Err(FetchError::NoRevision { revision }),
        (404, _) => return Err(FetchError::NoFile { revision }),
        (200..=299, _) => return Err(FetchError::Answer { problem: "it names no commit and no ETag".into() }),
        (status, _) => return Err(FetchError::Status { status }),
    }
    let target = header("location").ok_or(FetchError::Answer { problem: "a redirect leads nowhere".into() })?;
    if target.starts_with('/') && !target.starts_with("//") {
        return Ok(format!("{}{target}", origin(address)));
    }
    let secure = target.starts_with("https://");
    if secure || target.starts_with("http://") && !address.starts_with("https://") {
        return Ok(target.to_owned());
    }
    Err(FetchError::Answer { problem: "a redirect leads out of https".into() })
}

/// What the hub says about a file.
struct Described {
    commit: String,
    /// Name of the blob.
    etag: String,
    /// For files of git LFS, whose `ETag` it is.
    sha256: Option<String>,
    size: Option<u64>,
}

impl Described {
    fn new(commit: &str, etag: &str, size: Option<u64>) -> Result<Self, FetchError> {
        if !is_commit(commit) {
            return Err(FetchError::Answer { problem: "its commit is none".into() });
        }
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        // It becomes a file's name: a git hash or a sha256, and from a mirror perhaps something else of that kind.
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=128).contains(&etag.len()) || !etag.bytes().all(harmless) {
            return Err(FetchError::Answer { problem: "its ETag is not a hash".into() });
        }
        let sha256 = (etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| etag.clone());
        Ok(Self { commit: commit.to_owned(), etag, sha256, size })
    }
}

/// Scheme, host and port of an address.
fn origin(address: &str) -> &str {
    let after_scheme = address.find("://").map_or(0, |scheme| scheme + 3);
    address[after_scheme..].find('/').map_or(address, |end| &address[..after_scheme + end])
}
