//! Files of datasets and models from the Hugging Face hub, kept in the cache that `huggingface_hub` uses.
//! Owns addresses, cache layout and limits; leaves the content of the files to whoever asks for them. Heeds `HF_ENDPOINT`,
//! `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_TOKEN`.

use std::env;
use std::fmt::Display;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use ureq::Body;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};

use crate::DatasetError;
use crate::store::write_file;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const REVISION: &str = "main";
const MAX_INFO_BYTES: u64 = 64 << 20;
const CHUNK_BYTES: usize = 1 << 18;

/// The local path of a file of a dataset repository, fetched if the cache does not hold it; `progress` is told the
/// bytes that have arrived and their total if that is known.
pub fn dataset_file(
    repository: &str,
    file: &str,
    progress: impl FnMut(u64, Option<u64>),
) -> Result<PathBuf, DatasetError> {
    file_of(&DATASETS, repository, file, progress)
}

/// The same for a file of a model repository.
pub fn model_file(
    repository: &str,
    file: &str,
    progress: impl FnMut(u64, Option<u64>),
) -> Result<PathBuf, DatasetError> {
    file_of(&MODELS, repository, file, progress)
}

/// How the hub and its cache name one kind of repository.
struct Kind {
    /// Of the API and of the cache's folders.
    plural: &'static str,
    /// Before the repository in addresses of files.
    resolve_prefix: &'static str,
}

const DATASETS: Kind = Kind { plural: "datasets", resolve_prefix: "datasets/" };
const MODELS: Kind = Kind { plural: "models", resolve_prefix: "" };

fn file_of(
    kind: &'static Kind,
    repository: &str,
    file: &str,
    progress: impl FnMut(u64, Option<u64>),
) -> Result<PathBuf, DatasetError> {
    let request = Request::new(kind, repository, file)?;
    if let Some(commit) = request.cached_commit() {
        let path = request.snapshot(&commit);
        return if path.is_file() { Ok(path) } else { request.fetch(&commit, progress) };
    }
    let commit = request.newest_commit()?;
    let path = request.fetch(&commit, progress)?;
    write_file(&request.reference(), |out| {
        out.write_all(commit.as_bytes()).map_err(DatasetError::io("write", &request.reference()))
    })?;
    Ok(path)
}

/// One file of one repository, and where both sides keep it.
struct Request {
    kind: &'static Kind,
    repository: String,
    file: String,
    endpoint: String,
    /// The repository's folder in the cache.
    cache: PathBuf,
}

/// What is read of the hub's description of a revision.
#[derive(Deserialize)]
struct RevisionInfo {
    sha: String,
}

impl Request {
    fn new(kind: &'static Kind, repository: &str, file: &str) -> Result<Self, DatasetError> {
        let plain = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.chars().all(allowed)
        };
        if repository.split('/').count() > 2 || !repository.split('/').all(plain) {
            return Err(DatasetError::argument("hub repository", "a name like owner/name", format!("{repository:?}")));
        }
        let endpoint = env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()).trim_end_matches('/').to_owned();
        let cache = cache_root()?.join(format!("{}--{}", kind.plural, repository.replace('/', "--")));
        Ok(Self { kind, repository: repository.to_owned(), file: file.to_owned(), endpoint, cache })
    }

    fn reference(&self) -> PathBuf {
        self.cache.join("refs").join(REVISION)
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.cache.join("snapshots").join(commit).join(&self.file)
    }

    fn cached_commit(&self) -> Option<String> {
        let mut commit = String::new();
        fs::File::open(self.reference()).ok()?.take(128).read_to_string(&mut commit).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    fn newest_commit(&self) -> Result<String, DatasetError> {
        let address = format!("{}/api/{}/{}/revision/{REVISION}", self.endpoint, self.kind.plural, self.repository);
        let mut response = self.get(&address)?;
        let text = response.body_mut().with_config().limit(MAX_INFO_BYTES).read_to_vec();
        let text = text.map_err(|error| self.failed(&error))?;
        let info: RevisionInfo = serde_json::from_slice(&text).map_err(|error| self.failed(&error))?;
        if is_commit(&info.sha) { Ok(info.sha) } else { Err(self.failed(&"the answer holds no commit id")) }
    }

    fn fetch(&self, commit: &str, mut progress: impl FnMut(u64, Option<u64>)) -> Result<PathBuf, DatasetError> {
        let address =
            format!("{}/{}{}/resolve/{commit}/{}", self.endpoint, self.kind.resolve_prefix, self.repository, self.file);
        let mut response = self.get(&address)?;
        let total = response.body().content_length();
        let path = self.snapshot(commit);
        write_file(&path, |out| {
            let mut reader = response.body_mut().as_reader();
            let (mut chunk, mut received) = (vec![0; CHUNK_BYTES], 0);
            loop {
                let bytes = reader.read(&mut chunk).map_err(|error| self.failed(&error))?;
                if bytes == 0 {
                    break;
                }
                out.write_all(&chunk[..bytes]).map_err(DatasetError::io("write", &path))?;
                received += bytes as u64;
                progress(received, total);
            }
            match total {
                Some(total) if total != received => Err(self.failed(&format!("{received} of {total} bytes arrived"))),
                _ => Ok(()),
            }
        })?;
        Ok(path)
    }

    fn get(&self, address: &str) -> Result<Response<Body>, DatasetError> {
        if env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0")) {
            let reason = format!("HF_HUB_OFFLINE is set and the file is not in {}", self.cache.display());
            return Err(self.failed(&reason));
        }
        let silence = Some(Duration::from_mins(1));
        let agent = ureq::Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(silence)
            .timeout_per_read(silence)
            .accept_encoding("identity")
            .build()
            .new_agent();
        let request = agent.get(address);
        let request = match env::var("HF_TOKEN") {
            Ok(token) if !token.is_empty() => request.header("Authorization", format!("Bearer {token}")),
            _ => request,
        };
        request.call().map_err(|error| self.failed(&error))
    }

    fn failed(&self, reason: &dyn Display) -> DatasetError {
        DatasetError::Hub {
            repo: self.repository.clone(),
            file: self.file.clone(),
            endpoint: self.endpoint.clone(),
            reason: reason.to_string(),
        }
    }
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn cache_root() -> Result<PathBuf, DatasetError> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("HF_HUB_CACHE")
        .or_else(|| Some(folder("HF_HOME")?.join("hub")))
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface/hub")))
        .or_else(|| Some(env::home_dir()?.join(".cache/huggingface/hub")))
        .ok_or_else(|| DatasetError::argument("HF_HOME", "a folder for the hub's cache", "neither HF_HOME nor HOME"))
}
