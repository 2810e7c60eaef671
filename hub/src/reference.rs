//! Names of files on the hub: `owner/name/path/of/file@revision`.

use std::fmt;
use std::str::FromStr;

use hf_hub::{Repo, RepoType};

use crate::HubError;

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryKind {
    /// Weights.
    Model,
    /// Data.
    Dataset,
}

impl RepositoryKind {
    /// Before the repository in addresses.
    pub(crate) fn address_prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }
}

impl fmt::Display for RepositoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
        })
    }
}

/// One file of one repository at one revision; its parts are safe in addresses and paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReference {
    kind: RepositoryKind,
    repository: String,
    file: String,
    revision: String,
}

impl FileReference {
    /// File `file` of `repository` at `revision` (a branch, tag or commit).
    ///
    /// # Errors
    /// [`HubError::Name`] when a part is not a name of the hub.
    pub fn new(kind: RepositoryKind, repository: &str, file: &str, revision: &str) -> Result<Self, HubError> {
        let refused = |what, expected, found: &str| {
            Err(HubError::Name { what, expected, found: found.chars().take(200).collect() })
        };
        let parts = repository.split('/').count();
        if !(1..=2).contains(&parts) || !repository.split('/').all(is_name) {
            return refused("repository of the hub", "a name like owner/name", repository);
        }
        if file.len() > 512 || !file.split('/').all(is_name) {
            return refused(
                "file of a repository",
                "a path like folder/file, of letters, digits, '-', '_' and '.'",
                file,
            );
        }
        if revision.len() > 128 || !revision.split('/').all(is_name) {
            return refused("revision", "a branch, tag or commit", revision);
        }
        Ok(Self { kind, repository: repository.into(), file: file.into(), revision: revision.into() })
    }

    /// Model or dataset.
    pub fn kind(&self) -> RepositoryKind {
        self.kind
    }

    /// `owner/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The repository at this revision, as the hub's own crate names it.
    pub(crate) fn repo(&self) -> Repo {
        let kind = match self.kind {
            RepositoryKind::Model => RepoType::Model,
            RepositoryKind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.repository.clone(), kind, self.revision.clone())
    }

    /// Path inside the repository.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Another file of the same repository and revision.
    ///
    /// # Errors
    /// [`HubError::Name`] when `file` is not a name of the hub.
    pub fn sibling(&self, file: &str) -> Result<Self, HubError> {
        Self::new(self.kind, &self.repository, file, &self.revision)
    }
}

/// `owner/name/file` of a model, with `@revision` behind it if it is not `main`.
impl FromStr for FileReference {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let (path, revision) = text.rsplit_once('@').unwrap_or((text, "main"));
        let mut parts = path.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(owner), Some(name), Some(file)) => {
                Self::new(RepositoryKind::Model, &format!("{owner}/{name}"), file, revision)
            }
            _ => Err(HubError::Name {
                what: "file of the hub",
                expected: "owner/name/file or owner/name/file@revision",
                found: text.chars().take(200).collect(),
            }),
        }
    }
}

impl fmt::Display for FileReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.repository, self.file, self.revision)
    }
}

/// One part of a path that neither leaves its folder nor needs escaping.
fn is_name(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '=' | ' ');
    !part.is_empty()
        && part.len() <= 96
        && part != "."
        && part != ".."
        && part.chars().all(allowed)
        && part.trim() == part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let file: FileReference = "owner/name/folder/step_1@v1.0".parse().unwrap();
        assert_eq!((file.repository(), file.file(), file.revision()), ("owner/name", "folder/step_1", "v1.0"));
        assert_eq!(file.to_string(), "owner/name/folder/step_1@v1.0");
        let file: FileReference = "a/b/c".parse().unwrap();
        assert_eq!(file.revision(), "main");
    }

    #[test]
    fn names_that_leave_their_folder_are_refused() {
        for bad in
            ["a/b", "a", "", "../b/c", "a/../c", "a/b/../c", "a/b//c", "a/b/c@../x", "a/b/c?x", "a/b/c\nd", "/a/b/c"]
        {
            assert!(bad.parse::<FileReference>().is_err(), "{bad}");
        }
        assert!(FileReference::new(RepositoryKind::Dataset, "a/b/c", "d", "main").is_err());
        assert!(FileReference::new(RepositoryKind::Dataset, "gpt2", "d", "main").is_ok());
    }
}
