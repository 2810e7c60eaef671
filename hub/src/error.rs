//! What can go wrong on the way from the hub. Each message is one sentence that says what was wanted and what to do.

use std::path::PathBuf;

use files::download::TransferError;

use crate::RepositoryKind;

/// Why a file of the hub is not here.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name of a repository, file or revision is not valid.
    #[error("{found:?} is not a {what}; expected {expected}")]
    Name {
        /// What it was given as.
        what: &'static str,
        /// What such a thing looks like.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// The hub did not give the file.
    #[error("cannot fetch {kind} file {file} of {repository} from {endpoint}: {reason}")]
    Fetch {
        /// Model or dataset.
        kind: RepositoryKind,
        /// File inside the repository.
        file: String,
        /// Repository on the hub.
        repository: String,
        /// Address that was asked.
        endpoint: String,
        /// Why not.
        reason: Box<FetchError>,
    },
    /// The cache cannot be read or written.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// A variable holds what no request can carry.
    #[error("{name} holds {problem}; correct or unset it")]
    Variable {
        /// The variable, or the file that it names.
        name: String,
        /// What is wrong with it. Tokens are never quoted.
        problem: String,
    },
    /// There is no place for the cache.
    #[error("neither HF_HOME nor HOME says where the hub's cache is; set HF_HOME to a folder")]
    NoCache,
}

/// Why the hub did not give a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No request may be made.
    #[error("{variable} is set and {} does not hold it; unset {variable} to download it", cache.display())]
    Offline {
        /// The variable that says so.
        variable: &'static str,
        /// The repository's folder in the cache.
        cache: PathBuf,
    },
    /// No connection came about.
    #[error("there is no connection ({reason}); check the network, HTTPS_PROXY and HF_ENDPOINT")]
    NoConnection {
        /// What the system says.
        reason: String,
    },
    /// 401.
    #[error(
        "it answers 401, the repository does not exist or needs a login; check the name, or set HF_TOKEN to a token that may read it"
    )]
    Unauthorized,
    /// 403.
    #[error(
        "it answers 403, the token in use may not read it; accept the conditions on the repository's page or set another HF_TOKEN"
    )]
    Forbidden,
    /// 404 for the repository.
    #[error("it answers 404, there is no such repository; check the name")]
    NoRepository,
    /// 404 for the revision.
    #[error("it answers 404, the repository has no revision {revision}; check what stands after the @")]
    NoRevision {
        /// Branch, tag or commit.
        revision: String,
    },
    /// 404 for the file.
    #[error("it answers 404, there is no such file at revision {revision}; check its name on the repository's page")]
    NoFile {
        /// Branch, tag or commit.
        revision: String,
    },
    /// Any other answer that is not a file.
    #[error("it answers {status}; try again later")]
    Status {
        /// HTTP status.
        status: u16,
    },
    /// An answer that is none of the hub.
    #[error("its answer makes no sense ({problem}); check HF_ENDPOINT")]
    Answer {
        /// What is wrong with it.
        problem: String,
    },
    /// The connection broke off, or what arrived is not the file that the hub describes.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}
